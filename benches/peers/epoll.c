/*
 * The lower bound: an echo server with the fewest system calls that epoll needs, and nothing else. No
 * log, no timeouts, no limits, no fairness: a fast sender can occupy it for ever.
 */
#define _GNU_SOURCE
#include "listen.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SCRATCH = 32 * 1024, EVENTS = 1024 };

struct session {
    int fd;
    /* Bytes not yet written; NULL for almost all sessions. */
    char *rest;
    size_t at, end;
};

static char scratch[SCRATCH];

/* Returns the number of bytes that were written, which may be 0, or -1. */
static ssize_t give(int fd, const char *bytes, size_t length)
{
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

/* Echoes until it would block; returns 0 if the session is over. */
static int echo(struct session *s, int hung_up)
{
    for (;;) {
        ssize_t got, sent;

        if (s->rest) {
            if ((sent = give(s->fd, s->rest + s->at, s->end - s->at)) < 0)
                return 0;
            if ((s->at += (size_t)sent) < s->end)
                return 1;
            free(s->rest);
            s->rest = NULL;
        }
        got = recv(s->fd, scratch, SCRATCH, 0);
        if (got <= 0)
            return got < 0 && errno == EAGAIN;
        if ((sent = give(s->fd, scratch, (size_t)got)) < 0)
            return 0;
        if (sent < got) {
            s->at = 0;
            s->end = (size_t)(got - sent);
            if (!(s->rest = malloc(s->end)))
                return 0;
            memcpy(s->rest, scratch + sent, s->end);
            return 1;
        }
        /* A short count: the socket is empty, and the next bytes cause an event. A FIN that came
         * already does not. */
        if (got < SCRATCH && !hung_up)
            return 1;
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct epoll_event watch = {.events = EPOLLIN};
    struct rlimit limit;
    int listener = listening(argc, argv, SOCK_NONBLOCK), poll = epoll_create1(0);

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &watch);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            struct session *s = events[i].data.ptr;
            int fd;

            if (s) {
                if (!echo(s, (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)) {
                    close(s->fd);
                    free(s->rest);
                    free(s);
                }
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (!(s = calloc(1, sizeof *s)))
                    return 1;
                s->fd = fd;
                /* Edge-triggered and for both directions, so it is registered only once. */
                watch.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
                watch.data.ptr = s;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &watch);
            }
        }
    }
}

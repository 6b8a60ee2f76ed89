/*
 * The epoll loop over OpenSSL, with what its manual recommends for many sessions: one read for many
 * records, and no buffers for an idle session.
 */
#define _GNU_SOURCE
#include "listen.h"
#include "openssl.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SCRATCH = 64 * 1024, EVENTS = 1024 };

struct session {
    SSL *ssl;
    int fd;
    unsigned events;
    /* Bytes not yet written; NULL for almost all sessions. */
    char *rest;
    size_t at, end;
};

static char scratch[SCRATCH];
static int poll;

/* Returns 1 to continue, 0 to wait for the socket, -1 if the session is over. */
static int judge(struct session *s, int result)
{
    switch (SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_NONE:
        return 1;
    case SSL_ERROR_WANT_READ:
        s->events = EPOLLIN;
        return 0;
    case SSL_ERROR_WANT_WRITE:
        s->events = EPOLLOUT;
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        SSL_shutdown(s->ssl);
        return -1;
    default:
        ERR_clear_error();
        return -1;
    }
}

/* Writes from `at` on; bytes that are not written stay in `rest`. */
static int give(struct session *s, const char *bytes, size_t length)
{
    size_t sent = 0;
    int state = 1;

    while (sent < length && state == 1) {
        size_t now = 0;

        state = judge(s, SSL_write_ex(s->ssl, bytes + sent, length - sent, &now));
        sent += now;
    }
    if (s->rest) {
        s->at += sent;
    } else if (state == 0) {
        s->at = 0;
        s->end = length - sent;
        if (!(s->rest = malloc(s->end)))
            return -1;
        memcpy(s->rest, bytes + sent, s->end);
    }
    return state;
}

static int echo(struct session *s)
{
    int state = 1;

    s->events = EPOLLIN;
    if (!SSL_is_init_finished(s->ssl) && (state = judge(s, SSL_accept(s->ssl))) != 1)
        return state;
    do {
        size_t got = 0;

        if (s->rest) {
            if ((state = give(s, s->rest + s->at, s->end - s->at)) != 1)
                return state;
            free(s->rest);
            s->rest = NULL;
        }
        if ((state = judge(s, SSL_read_ex(s->ssl, scratch, SCRATCH, &got))) != 1 ||
            (state = give(s, scratch, got)) != 1)
            return state;
        /* Level-triggered: bytes that are left in the socket cause another event. */
    } while (SSL_has_pending(s->ssl));
    return state;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct epoll_event watch = {.events = EPOLLIN};
    struct rlimit limit;
    int listener = listening(argc, argv, SOCK_NONBLOCK);
    SSL_CTX *ctx = context(argc, argv);

    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    poll = epoll_create1(0);
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &watch);
    for (;;) {
        int count = epoll_wait(poll, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            struct session *s = events[i].data.ptr;
            int fd;

            if (s) {
                unsigned before = s->events;

                if (echo(s) < 0) {
                    SSL_free(s->ssl);
                    close(s->fd);
                    free(s->rest);
                    free(s);
                } else if (s->events != before) {
                    watch.events = s->events;
                    watch.data.ptr = s;
                    epoll_ctl(poll, EPOLL_CTL_MOD, s->fd, &watch);
                }
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (!(s = calloc(1, sizeof *s)))
                    return 1;
                s->fd = fd;
                s->events = EPOLLIN;
                s->ssl = SSL_new(ctx);
                SSL_set_fd(s->ssl, fd);
                SSL_set_accept_state(s->ssl);
                watch.events = EPOLLIN;
                watch.data.ptr = s;
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &watch);
            }
        }
    }
}

/* A thread and a buffer of 1024 bytes for each client, as a first course teaches it, but without output on
 * the screen, and with a byte-exact echo. */
#define _GNU_SOURCE
#include "listen.h"
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static void *worker(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char buffer[1024];
    ssize_t got, sent;

    while ((got = recv(fd, buffer, sizeof buffer, 0)) > 0)
        for (ssize_t at = 0; at < got; at += sent)
            if ((sent = send(fd, buffer + at, (size_t)(got - at), MSG_NOSIGNAL)) < 0)
                goto end;
end:
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    int listener = listening(argc, argv, 0);

    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;

        if (fd < 0)
            continue;
        if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
}

/* threads.c over OpenSSL. */
#define _GNU_SOURCE
#include "listen.h"
#include "openssl.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static void *worker(void *argument)
{
    SSL *ssl = argument;
    int fd = SSL_get_fd(ssl), got;
    char buffer[1024];

    if (SSL_accept(ssl) == 1) {
        while ((got = SSL_read(ssl, buffer, sizeof buffer)) > 0 && SSL_write(ssl, buffer, got) > 0)
            ;
        if (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)
            SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    int listener = listening(argc, argv, 0);
    SSL_CTX *ctx = context(argc, argv);

    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        pthread_t thread;
        SSL *ssl;

        if (fd < 0)
            continue;
        ssl = SSL_new(ctx);
        SSL_set_fd(ssl, fd);
        if (pthread_create(&thread, NULL, worker, ssl) == 0) {
            pthread_detach(thread);
        } else {
            SSL_free(ssl);
            close(fd);
        }
    }
}

/* Usage: wolfssl PORT CA 1.2|1.3 [no-dhe-psk] */
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(WOLFSSL *tls, const char *what)
{
    char text[80];
    int error = tls ? wolfSSL_get_error(tls, -1) : 0;
    fprintf(stderr, "%s: %d %s\n", what, error, wolfSSL_ERR_error_string(error, text));
    exit(1);
}

int main(int argc, char **argv)
{
    wolfSSL_Init();
    WOLFSSL_CTX *context = wolfSSL_CTX_new(
        strcmp(argv[3], "1.3") ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    if (wolfSSL_CTX_load_verify_locations(context, argv[2], NULL) != SSL_SUCCESS)
        fail(NULL, "CA");
    /* Debian's build, like OpenSSL, verifies nothing by default. */
    wolfSSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    /* A client that does not offer psk_dhe_ke receives no tickets. */
    if (argc > 4)
        wolfSSL_CTX_no_dhe_psk(context);
    wolfSSL_CTX_UseSessionTicket(context);
    struct addrinfo *address, hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    if (getaddrinfo("localhost", argv[1], &hints, &address))
        fail(NULL, "address");
    WOLFSSL_SESSION *session = NULL;
    for (int resumed = 0; resumed < (argc > 4 ? 1 : 2); resumed++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, address->ai_addr, address->ai_addrlen))
            fail(NULL, "connect");
        WOLFSSL *tls = wolfSSL_new(context);
        wolfSSL_set_fd(tls, fd);
        wolfSSL_check_domain_name(tls, "localhost");
        if (session)
            wolfSSL_set_session(tls, session);
        if (wolfSSL_connect(tls) != SSL_SUCCESS)
            fail(tls, "handshake");
        for (int turn = 0; turn < 10; turn++) {
            char sent[10000], got[10000];
            memset(sent, 'a' + turn, sizeof sent);
            if (wolfSSL_write(tls, sent, sizeof sent) != sizeof sent)
                fail(tls, "write");
            for (size_t have = 0; have < sizeof got;) {
                int n = wolfSSL_read(tls, got + have, sizeof got - have);
                if (n <= 0)
                    fail(tls, "read");
                have += n;
            }
            if (memcmp(sent, got, sizeof sent))
                fail(NULL, "the echo differs");
        }
        if (wolfSSL_session_reused(tls) != resumed)
            fail(NULL, resumed ? "not resumed" : "resumed");
        session = wolfSSL_get1_session(tls);
        /* The first call sends close_notify, the second waits for the daemon's. */
        if (wolfSSL_shutdown(tls) != SSL_SUCCESS && wolfSSL_shutdown(tls) != SSL_SUCCESS)
            fail(tls, "close_notify");
        wolfSSL_free(tls);
        close(fd);
    }
    return 0;
}

/* Usage: mbedtls PORT CA 1.2 */
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int result, const char *what)
{
    char text[120];
    if (result >= 0)
        return;
    mbedtls_strerror(result, text, sizeof text);
    fprintf(stderr, "%s: -0x%04x %s\n", what, (unsigned)-result, text);
    exit(1);
}

int main(int argc, char **argv)
{
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_config config;
    mbedtls_ssl_session session;
    mbedtls_x509_crt ca;
    (void)argc;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random);
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_session_init(&session);
    mbedtls_x509_crt_init(&ca);
    check(mbedtls_ctr_drbg_seed(&random, mbedtls_entropy_func, &entropy, NULL, 0), "random");
    check(mbedtls_x509_crt_parse_file(&ca, argv[2]), "CA");
    check(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                      MBEDTLS_SSL_PRESET_DEFAULT), "config");
    mbedtls_ssl_conf_ca_chain(&config, &ca, NULL);
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random);
    for (int resumed = 0; resumed < 2; resumed++) {
        mbedtls_net_context stream;
        mbedtls_ssl_context tls;
        unsigned char sent[10000], got[10000];
        mbedtls_net_init(&stream);
        mbedtls_ssl_init(&tls);
        check(mbedtls_net_connect(&stream, "localhost", argv[1], MBEDTLS_NET_PROTO_TCP), "connect");
        check(mbedtls_ssl_setup(&tls, &config), "setup");
        check(mbedtls_ssl_set_hostname(&tls, "localhost"), "name");
        mbedtls_ssl_set_bio(&tls, &stream, mbedtls_net_send, mbedtls_net_recv, NULL);
        if (resumed)
            check(mbedtls_ssl_set_session(&tls, &session), "session");
        check(mbedtls_ssl_handshake(&tls), "handshake");
        for (int turn = 0; turn < 10; turn++) {
            memset(sent, 'a' + turn, sizeof sent);
            for (size_t out = 0, n; out < sizeof sent; out += n)
                check(n = mbedtls_ssl_write(&tls, sent + out, sizeof sent - out), "write");
            for (size_t in = 0, n; in < sizeof got; in += n)
                check(n = mbedtls_ssl_read(&tls, got + in, sizeof got - in), "read");
            if (memcmp(sent, got, sizeof sent))
                return 1;
        }
        check(mbedtls_ssl_get_session(&tls, &session), "session");
        check(mbedtls_ssl_close_notify(&tls), "close_notify");
        if (mbedtls_ssl_read(&tls, got, 1) != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
            return fprintf(stderr, "no close_notify\n"), 1;
        mbedtls_net_free(&stream);
        mbedtls_ssl_free(&tls);
    }
    return 0;
}

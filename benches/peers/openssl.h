/* Shared by the peers over OpenSSL: PROGRAM PORT CERT KEY, and a context with the defaults: TLS 1.2 and
 * 1.3 with session tickets. */
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *context(int argc, char **argv)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (argc < 4 || SSL_CTX_use_certificate_chain_file(ctx, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[3], SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(64);
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    return ctx;
}

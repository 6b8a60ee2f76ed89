/* A client as a beginner writes it: a line from the keyboard goes out with its closing NUL, one
 * read fetches what comes back. It takes for granted that one write comes back in one read. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: client HOST PORT\n");
        return 2;
    }
    struct hostent *host = gethostbyname(argv[1]);
    if (host == NULL || host->h_addrtype != AF_INET) {
        fprintf(stderr, "%s is not known\n", argv[1]);
        return 1;
    }
    struct sockaddr_in server;
    memset(&server, 0, sizeof server);
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)atoi(argv[2]));
    memcpy(&server.sin_addr, host->h_addr_list[0], sizeof server.sin_addr);

    int sock = socket(AF_INET, SOCK_STREAM, 0);
    if (sock < 0 || connect(sock, (struct sockaddr *)&server, sizeof server) < 0) {
        perror(argv[1]);
        return 1;
    }
    printf("Connected\n");
    fflush(stdout);

    char line[1024], reply[1024 + 1];
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (write(sock, line, strlen(line) + 1) < 0) {
            perror("write");
            return 1;
        }
        ssize_t count = read(sock, reply, sizeof reply - 1);
        if (count <= 0) {
            fprintf(stderr, "the server has gone\n");
            return 1;
        }
        reply[count] = '\0';
        printf("Received %zd bytes: %s", count, reply);
        fflush(stdout);
    }
    close(sock);
    return 0;
}

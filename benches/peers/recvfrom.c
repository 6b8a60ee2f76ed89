/*
 * The lower bound over UDP: two system calls a datagram, and nothing else. It answers whoever it receives
 * from: no guards, no limits, no log. It knows no other socket, and waits in recvfrom(2).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static char datagram[65535];

int main(int argc, char **argv)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};

    if (argc < 2)
        return 64;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((unsigned short)atoi(argv[1]));
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        perror("cannot bind");
        return 1;
    }
    for (;;) {
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t got =
            recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&peer, &length);

        if (got >= 0)
            sendto(fd, datagram, (size_t)got, 0, (struct sockaddr *)&peer, length);
    }
}

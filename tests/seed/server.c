/*
 * An echo server as a class writes its first one: one client at a time, and an echo that takes the
 * bytes for a string. Its reply ends with a NUL that nobody sent.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 10) < 0) {
        perror("cannot listen");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        char buffer[1024];
        int client = accept(listener, NULL, NULL);
        ssize_t count;

        while ((count = read(client, buffer, sizeof(buffer) - 1)) > 0) {
            buffer[count] = '\0';
            if (write(client, buffer, strlen(buffer) + 1) < 0)
                break;
        }
        close(client);
    }
}

/* What a thread for each connection costs without an interpreter: blocking recv and send.
 *
 * It reads frames of well-behaved clients that have come whole and are short, unmasks them and
 * sends them back; it must never be used for anything but to measure against.
 *
 * usage: threads --port N
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 4096, SHORT = 126, CLOSE = 0x88 };

/* The answer to the generator's key. */
static const char HEAD[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\n"
                           "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void *talk(void *argument) {
    int fd = (int)(intptr_t)argument;
    uint8_t in[ROOM], out[SHORT + 2];
    ssize_t length = recv(fd, in, sizeof in, 0);
    if (length > 0)
        length = send(fd, HEAD, sizeof HEAD - 1, MSG_NOSIGNAL);
    while (length > 0 && (length = recv(fd, in, sizeof in, 0)) > 0) {
        size_t size = in[1] & 0x7f;
        if (size >= SHORT || length != (ssize_t)size + 6)
            break;
        out[0] = in[0];
        out[1] = (uint8_t)size;
        for (size_t i = 0; i < size; i++)
            out[2 + i] = in[6 + i] ^ in[2 + i % 4];
        length = send(fd, out, size + 2, MSG_NOSIGNAL);
        if (in[0] == CLOSE)
            break;
    }
    close(fd);
    return NULL;
}

static int listen_on(int port) {
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1000) < 0) {
        perror("threads");
        exit(1);
    }
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "--port") != 0) {
        fputs("usage: threads --port N\n", stderr);
        return 2;
    }
    int listener = listen_on(atoi(argv[2])), one = 1;
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, NULL, talk, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
}

#include "redis_subscriber.h"

#include "process_stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

void subscriber_open(struct subscriber *subscriber, int port, const char *channel) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *subscriber = (struct subscriber){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    if (connect(subscriber->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("Redis on port %d: %s.", port, strerror(errno));
    struct timeval patience = {.tv_sec = 5};
    setsockopt(subscriber->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char command[128];
    int length = snprintf(command, sizeof command, "SUBSCRIBE %s\r\n", channel);
    if (send(subscriber->fd, command, (size_t)length, MSG_NOSIGNAL) != length)
        fail("Subscribing failed: %s.", strerror(errno));
    subscriber_expect(subscriber, channel);
}

void subscriber_expect(struct subscriber *subscriber, const char *text) {
    while (!strstr(subscriber->bytes, text)) {
        char *end = subscriber->bytes + subscriber->length;
        size_t space = sizeof subscriber->bytes - 1 - subscriber->length;
        ssize_t brought = recv(subscriber->fd, end, space, 0);
        if (brought <= 0) fail("%s was not published, but: %s", text, subscriber->bytes);
        subscriber->length += (size_t)brought;
        subscriber->bytes[subscriber->length] = 0;
    }
}

void subscriber_close(struct subscriber *subscriber) { close(subscriber->fd); }

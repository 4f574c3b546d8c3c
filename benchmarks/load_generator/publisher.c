#define _GNU_SOURCE
#include "publisher.h"

#include "process_stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PENDING_CAPACITY = 1 << 20, LARGEST_EVENT = 1024 };
enum { LARGEST_COMMAND = 2 * LARGEST_EVENT };

void publisher_connect(struct publisher *publisher, const struct broker *broker, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    publisher->broker = broker;
    publisher->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(publisher->fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail("%s on port %d: %s.", broker->name, port, strerror(errno));
    int on = 1;
    setsockopt(publisher->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(publisher->fd, F_SETFL, O_NONBLOCK);
    publisher->pending = malloc(PENDING_CAPACITY);
    if (!publisher->pending) fail("Out of memory.");
    publisher->pending_bytes = 0;
    publisher_queue_text(publisher, broker->greeting);
}

static int write_event(char *json, const struct event *event) {
    return snprintf(json, LARGEST_EVENT,
                    "{\"chatId\":\"%s\",\"messageId\":\"" MESSAGE_ID_PREFIX "%012" PRIu64 "\","
                    "\"recipientId\":\"%s\"," EVENT_SENDER "," EVENT_TEXT ",\"timestamp\":%" PRIu64
                    "," EVENT_MEDIA_TYPE "," EVENT_MEDIA_URL "}",
                    event->chat, event->sequence, event->recipient, event->timestamp_us);
}

void publisher_queue(struct publisher *publisher, const struct event *event) {
    if (publisher->pending_bytes + LARGEST_COMMAND > PENDING_CAPACITY) publisher_flush(publisher);
    char json[LARGEST_EVENT];
    int length = write_event(json, event);
    char *end = publisher->pending + publisher->pending_bytes;
    publisher->pending_bytes += (size_t)publisher->broker->write_command(end, event, json, length);
}

// Fits behind whatever was queued: events leave room for a command more.
void publisher_queue_text(struct publisher *publisher, const char *text) {
    memcpy(publisher->pending + publisher->pending_bytes, text, strlen(text));
    publisher->pending_bytes += strlen(text);
}

void publisher_flush(struct publisher *publisher) {
    size_t sent = 0;
    while (sent < publisher->pending_bytes) {
        ssize_t step = send(publisher->fd, publisher->pending + sent,
                            publisher->pending_bytes - sent, MSG_NOSIGNAL);
        if (step >= 0) sent += (size_t)step;
        // A broker stops reading when its answers are not taken, so taking them is what makes room.
        else if (errno == EAGAIN) publisher_read_answers(publisher);
        else fail("Publishing failed: %s.", strerror(errno));
    }
    publisher->pending_bytes = 0;
}

void publisher_read_answers(struct publisher *publisher) {
    static char answers[1 << 16];
    for (;;) {
        ssize_t length = recv(publisher->fd, answers, sizeof answers - 1, 0);
        if (length == 0) fail("%s closed the connection.", publisher->broker->name);
        if (length < 0) return;
        answers[length] = 0;
        publisher->broker->take_answers(publisher, answers);
    }
}

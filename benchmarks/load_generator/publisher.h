// One connection to a broker that publishes `chat:newMessage` events. It does not know who listens.
#ifndef PUBLISHER_H
#define PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct broker;

struct publisher {
    const struct broker *broker;
    int fd;
    char *pending; // commands that are queued and not yet sent
    size_t pending_bytes;
};

// What an event says. About 300 bytes of JSON, as the API publishes them.
struct event {
    const char *chat;      // "c1"
    const char *recipient; // "u7"
    bool is_for_chat;      // everybody in the chat is to receive it, or else the recipient alone
    uint64_t sequence;     // becomes the tail of `messageId`
    uint64_t timestamp_us; // becomes `timestamp`
};

// How events are published on one kind of broker.
struct broker {
    const char *name;
    const char *greeting; // goes before the first event
    // Writes the command that publishes `json`, which says what `event` does, and returns its length.
    int (*write_command)(char *command, const struct event *event, const char *json, int json_bytes);
    // Judges what one read brought, ended with a zero byte; fails on an error. A read may cut an answer.
    void (*take_answers)(struct publisher *publisher, const char *answers);
};

// `timestamp` has 16 digits and stays below 2^53, so that JavaScript passes it on unchanged.
#define TIMESTAMP_ORIGIN_US UINT64_C(1760000000000000)
#define MESSAGE_ID_PREFIX "3f2b8c1e-7d4a-4f7e-9a51-"
// The parts of a delivery that never change; a client that checks contents looks for each.
#define EVENT_SENDER "\"senderId\":\"u12345\""
#define EVENT_TEXT                                                                                  \
    "\"text\":\"The quick brown fox jumps over the lazy dog, then naps in the warm afternoon sun.\""
#define EVENT_MEDIA_TYPE "\"media_type\":\"image/png\""
#define EVENT_MEDIA_URL "\"media_url\":\"/files/48e869b3-7a10-464f-b2ac.png\""

// Connects to 127.0.0.1; fails when nobody answers.
void publisher_connect(struct publisher *publisher, const struct broker *broker, int port);

// Queues one event, or what else a broker wants to be told; publisher_flush sends what is queued.
void publisher_queue(struct publisher *publisher, const struct event *event);
void publisher_queue_text(struct publisher *publisher, const char *text);
void publisher_flush(struct publisher *publisher);

// Reads what the broker has sent, and fails on what says that events are not published.
void publisher_read_answers(struct publisher *publisher);

#endif

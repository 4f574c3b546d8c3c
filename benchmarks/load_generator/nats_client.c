#define _GNU_SOURCE
#include "nats_client.h"

#include "event_packet.h"
#include "nats_broker.h"
#include "process_stats.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_SESSION = 4096 }; // fifty chats take a third of it

// All at once, as no SUB is answered. The PONG says that the server has handled those before the PING.
static void subscribe(const struct crowd *crowd, struct client *client) {
    char session[LARGEST_SESSION], chat[32];
    size_t length = (size_t)snprintf(session, sizeof session, NATS_CONNECT "SUB user.u%d 1\r\n",
                                     crowd->first_user + client->number);
    for (int i = 0; i < crowd->chats_per_client; i++) {
        chat_name(chat, client, i);
        length += (size_t)snprintf(session + length, sizeof session - length,
                                   "SUB chat.%s %d\r\n", chat, i + 2);
        if (length + sizeof "PING\r\n" > sizeof session) fail("These are too many chats.");
    }
    memcpy(session + length, "PING\r\n", 6);
    client_send(client, BINARY, session, length + 6);
    client->state = ENTERING;
}

// `line` is `MSG <subject> <sid> <bytes>\r\n`, and the payload is behind it. Returns where the next line begins.
static const char *take_message(struct crowd *crowd, struct client *client, const char *line,
                                const char *payload, const char *end) {
    const char *digit = memrchr(line, ' ', (size_t)(payload - line));
    size_t bytes = 0;
    while (*++digit != '\r') bytes = bytes * 10 + (size_t)(*digit - '0');
    if ((size_t)(end - payload) < bytes + 2)
        fail("Client %d got a frame that cuts a message.", client->number);
    crowd->take_event(crowd->context, client->number, payload, bytes);
    return payload + bytes + 2;
}

static bool starts_with(const char *line, const char *end, const char *prefix) {
    size_t wanted = strlen(prefix);
    return (size_t)(end - line) >= wanted && memcmp(line, prefix, wanted) == 0;
}

// Takes one line, with the payload that it announces, and returns where the next one begins.
static const char *take_line(struct crowd *crowd, struct client *client, const char *line,
                             const char *end) {
    const char *line_end = memmem(line, (size_t)(end - line), "\r\n", 2);
    if (!line_end) fail("Client %d got a frame that cuts a line.", client->number);
    const char *next = line_end + 2;
    if (starts_with(line, end, "MSG ") && client->state >= ENTERING)
        return take_message(crowd, client, line, next, end);
    if (starts_with(line, end, "PING\r\n")) client_send(client, BINARY, "PONG\r\n", 6);
    else if (starts_with(line, end, "PONG\r\n") && client->state == ENTERING)
        client_is_ready(crowd, client);
    else if (starts_with(line, end, "INFO ") && client->state == OPENING) subscribe(crowd, client);
    else if (!starts_with(line, end, "INFO ")) // which may come again
        fail("Client %d did not expect: %.*s", client->number, (int)(line_end - line), line);
    return next;
}

// The server cuts messages at the ends of its frames for browsers alone, which it knows by their User-Agent.
static void take_lines(struct crowd *crowd, struct client *client, const char *payload,
                       size_t bytes) {
    const char *end = payload + bytes;
    while (payload < end) payload = take_line(crowd, client, payload, end);
}

const struct protocol nats = {
    .path = "/",
    .frame_type = BINARY,
    .take_payload = take_lines,
    .check_event = event_check,
};

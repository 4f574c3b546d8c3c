#define _GNU_SOURCE
#include "socketio_client.h"

#include "event_packet.h"
#include "process_stats.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_PACKET = 1024 };

static void send_text(struct client *client, const char *text) {
    client_send(client, TEXT, text, strlen(text));
}

static void enter_namespace(const struct crowd *crowd, struct client *client) {
    char packet[64];
    snprintf(packet, sizeof packet, "40/chats,{\"userId\":\"u%d\"}",
             crowd->first_user + client->number);
    send_text(client, packet);
    client->state = ENTERING;
}

// Joins the next chat, or is ready when there is none. One at a time: the ack of one asks for the next, so that a
// client never runs into a limit on what it may ask for at once.
static void join_next(struct crowd *crowd, struct client *client) {
    if (client->chats_joined == crowd->chats_per_client) {
        client_is_ready(crowd, client);
        return;
    }
    char chat[32], packet[128];
    chat_name(chat, client, client->chats_joined);
    snprintf(packet, sizeof packet, "42/chats,%d[\"join-chat\",{\"chatId\":\"%s\"}]",
             client->chats_joined, chat);
    send_text(client, packet);
    client->state = JOINING;
}

static void take_join_ack(struct crowd *crowd, struct client *client, const char *packet,
                          size_t length) {
    if (!memmem(packet, length, "\"success\":true", 14))
        fail("Client %d may not join: %.*s", client->number, (int)length, packet);
    client->chats_joined++;
    join_next(crowd, client);
}

void client_request(struct client *client, const char *event, uint64_t number, const char *json) {
    char packet[LARGEST_PACKET];
    int length = snprintf(packet, sizeof packet, "42/chats,%" PRIu64 "[\"%s\",%s]", number, event,
                          json);
    client_send(client, TEXT, packet, (size_t)length);
}

// `packet` begins with `43/chats,`.
static void take_ack(struct crowd *crowd, struct client *client, const char *packet,
                     size_t length) {
    const char *end = packet + length, *digit = packet + strlen("43/chats,");
    uint64_t number = 0;
    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++)
        number = number * 10 + (uint64_t)(*digit - '0');
    crowd->take_ack(crowd->context, client->number, number, digit, (size_t)(end - digit));
}

static bool starts_with(const char *packet, size_t length, const char *prefix) {
    size_t wanted = strlen(prefix);
    return length >= wanted && memcmp(packet, prefix, wanted) == 0;
}

static void take_packet(struct crowd *crowd, struct client *client, const char *packet,
                        size_t length) {
    if (starts_with(packet, length, "42/chats,") && client->state >= JOINING)
        crowd->take_event(crowd->context, client->number, packet, length);
    else if (length == 1 && packet[0] == '2')
        send_text(client, "3");
    else if (starts_with(packet, length, "0{") && client->state == OPENING)
        enter_namespace(crowd, client);
    else if (starts_with(packet, length, "40/chats,") && client->state == ENTERING)
        join_next(crowd, client);
    else if (starts_with(packet, length, "43/chats,") && client->state == JOINING)
        take_join_ack(crowd, client, packet, length);
    else if (starts_with(packet, length, "43/chats,") && client->state == READY)
        take_ack(crowd, client, packet, length);
    else
        fail("Client %d did not expect: %.*s", client->number, (int)length, packet);
}

const struct protocol socketio = {
    .path = "/socket.io/?EIO=4&transport=websocket",
    .frame_type = TEXT,
    .take_payload = take_packet,
    .check_event = packet_check,
};

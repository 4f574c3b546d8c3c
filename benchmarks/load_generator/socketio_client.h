// A crowd of Socket.IO clients (Engine.IO 4, WebSocket only) in one thread: they connect to `/chats`, join their chats one
// after another, answer pings, and hand every event to one function. What an event means is not known here.
#ifndef SOCKETIO_CLIENT_H
#define SOCKETIO_CLIENT_H

#include <stddef.h>
#include <stdint.h>

enum client_state { UNUSED, CONNECTING, UPGRADING, OPENING, ENTERING, JOINING, READY };

struct client {
    int fd;
    int number; // its user is "u<first_user + number>"
    enum client_state state;
    int chats_joined;
    // The part of a frame that a read ended with. Most reads end with a whole frame, so most clients never own memory.
    unsigned char *held;
    size_t held_bytes;
};

// `packet` is a whole Socket.IO EVENT packet, from `42/chats,` on.
typedef void on_event(void *context, int client, const char *packet, size_t bytes);

// `answer` is what an ACK packet to a request of this client has behind the number, from `[` on.
typedef void on_ack(void *context, int client, uint64_t number, const char *answer, size_t bytes);

struct crowd {
    int epoll_fd;
    int port;
    int chats_per_client;
    int first_user;
    int size;
    int started;
    int ready;
    struct client *clients;
    on_event *take_event;
    on_ack *take_ack;
    void *context;
    uint64_t reads;  // recv calls that brought something
    uint64_t frames; // WebSocket frames parsed
};

// Prepares `size` clients; nobody connects yet. `epoll_fd` events of a client carry its pointer.
void crowd_begin(struct crowd *crowd, int size);

// Starts clients until `wanted` have been started or `at_once` are on their way.
void crowd_start(struct crowd *crowd, int wanted, int at_once);

// To call for every epoll event that carries this client. Fails on whatever a gateway should not do: close, refuse,
// fragment, compress, or speak out of turn.
void client_proceed(struct crowd *crowd, struct client *client);

// Emits `event` with one argument, which is JSON, and asks for an acknowledgement under this number.
void client_request(struct client *client, const char *event, uint64_t number, const char *json);

// The name of one of a client's chats: the first is everybody's, "c1"; the others are shared by ten neighbours each.
void chat_name(char name[32], const struct client *client, int index);

#endif

// A crowd of WebSocket clients in one thread: connections, upgrades and frames. What the frames carry is the protocol's
// business: it opens each client's session and hands every event to one function. What an event means is not known here.
#ifndef CROWD_H
#define CROWD_H

#include <stddef.h>
#include <stdint.h>

enum client_state { UNUSED, CONNECTING, UPGRADING, OPENING, ENTERING, JOINING, READY };
enum opcode { TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xa };

struct client {
    int fd;
    int number; // its user is "u<first_user + number>"
    enum client_state state;
    int chats_joined;
    // The part of a frame that a read ended with. Most reads end with a whole frame, so most clients never own memory.
    unsigned char *held;
    size_t held_bytes;
};

struct crowd;

// What is spoken over the WebSocket.
struct protocol {
    const char *path;       // of the upgrade
    enum opcode frame_type; // of all frames with data, in both directions
    // Receives the payload of each frame, from state OPENING on, and leads the client to READY.
    void (*take_payload)(struct crowd *crowd, struct client *client, const char *payload, size_t bytes);
    // Fails unless this is the whole of what a client should receive of an event to chat c1.
    void (*check_event)(const char *packet, size_t bytes);
};

// `packet` holds a whole event, as the protocol delivers it.
typedef void on_event(void *context, int client, const char *packet, size_t bytes);

// `answer` is what an ACK packet to a request of this client has behind the number, from `[` on.
typedef void on_ack(void *context, int client, uint64_t number, const char *answer, size_t bytes);

struct crowd {
    int epoll_fd;
    int port;
    const struct protocol *protocol;
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

// To call for every epoll event that carries this client. Fails on whatever a server should not do: close, refuse,
// fragment, compress, or speak out of turn.
void client_proceed(struct crowd *crowd, struct client *client);

// For protocols: sends one frame, and notes that a client has all that it asked for.
void client_send(struct client *client, enum opcode opcode, const char *payload, size_t bytes);
void client_is_ready(struct crowd *crowd, struct client *client);

// The name of one of a client's chats: the first is everybody's, "c1"; the others are shared by ten neighbours each.
void chat_name(char name[32], const struct client *client, int index);

#endif

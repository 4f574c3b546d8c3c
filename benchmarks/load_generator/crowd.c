#define _GNU_SOURCE
#include "crowd.h"

#include "process_stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { LARGEST_SENT = 4096, CLIENTS_PER_ADDRESS = 16000, NEIGHBOURS = 10 };
enum { FIN = 0x80, MASKED = 0x80 };

void crowd_begin(struct crowd *crowd, int size) {
    crowd->size = size;
    crowd->clients = calloc((size_t)size, sizeof *crowd->clients);
    if (!crowd->clients) fail("Out of memory.");
    for (int number = 0; number < size; number++) crowd->clients[number].number = number;
}

void chat_name(char name[32], const struct client *client, int index) {
    if (index == 0) snprintf(name, 32, "c1");
    else snprintf(name, 32, "c%d-%d", index + 1, client->number / NEIGHBOURS);
}

void client_is_ready(struct crowd *crowd, struct client *client) {
    client->state = READY;
    crowd->ready++;
}

// ---- Sending ------------------------------------------------------------------------------------

static void send_bytes(struct client *client, const void *bytes, size_t length) {
    // A client sends a few hundred bytes in its life: they always fit the socket's buffer, or something is wrong.
    if (send(client->fd, bytes, length, MSG_NOSIGNAL) != (ssize_t)length)
        fail("Client %d cannot send: %s.", client->number, strerror(errno));
}

void client_send(struct client *client, enum opcode opcode, const char *payload, size_t length) {
    if (length > LARGEST_SENT) fail("Client %d would send %zu bytes.", client->number, length);
    unsigned char frame[LARGEST_SENT + 8];
    const unsigned char mask[4] = {0x1f, 0x2e, 0x3d, 0x4c};
    size_t header = 2;
    frame[0] = (unsigned char)(FIN | opcode);
    if (length < 126) {
        frame[1] = (unsigned char)(MASKED | length);
    } else {
        frame[1] = MASKED | 126;
        frame[2] = (unsigned char)(length >> 8);
        frame[3] = (unsigned char)length;
        header = 4;
    }
    memcpy(frame + header, mask, sizeof mask);
    header += sizeof mask;
    for (size_t i = 0; i < length; i++) frame[header + i] = (unsigned char)payload[i] ^ mask[i % 4];
    send_bytes(client, frame, header + length);
}

// ---- Connecting ---------------------------------------------------------------------------------

static void watch(struct crowd *crowd, struct client *client, int operation, uint32_t events) {
    struct epoll_event interest = {.events = events, .data.ptr = client};
    epoll_ctl(crowd->epoll_fd, operation, client->fd, &interest);
}

// One loopback address has some 28,000 local ports: larger crowds come from 127.0.0.2, 127.0.0.3, ...
static void bind_source(struct client *client) {
    int on = 1;
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    struct sockaddr_in source = {.sin_family = AF_INET};
    uint32_t offset = (uint32_t)(client->number / CLIENTS_PER_ADDRESS);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + offset);
    if (bind(client->fd, (struct sockaddr *)&source, sizeof source) != 0)
        fail("Client %d cannot bind: %s.", client->number, strerror(errno));
}

static void start_client(struct crowd *crowd, struct client *client) {
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (client->fd < 0) fail("Client %d has no socket: %s.", client->number, strerror(errno));
    int on = 1;
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bind_source(client);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)crowd->port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int result = connect(client->fd, (struct sockaddr *)&server, sizeof server);
    if (result != 0 && errno != EINPROGRESS)
        fail("Client %d cannot connect: %s.", client->number, strerror(errno));
    client->state = CONNECTING;
    watch(crowd, client, EPOLL_CTL_ADD, EPOLLOUT);
}

void crowd_start(struct crowd *crowd, int wanted, int at_once) {
    while (crowd->started < wanted && crowd->started - crowd->ready < at_once)
        start_client(crowd, &crowd->clients[crowd->started++]);
}

static void ask_for_upgrade(struct crowd *crowd, struct client *client) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) fail("Client %d cannot connect: %s.", client->number, strerror(error));
    char request[LARGEST_SENT];
    // The headers of a browser that matter; no compression is offered, as in most Socket.IO deployments.
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\n"
                          "Host: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\nOrigin: http://127.0.0.1:%d\r\n"
                          "User-Agent: constellation-load-generator\r\n\r\n",
                          crowd->protocol->path, crowd->port, crowd->port);
    send_bytes(client, request, (size_t)length);
    client->state = UPGRADING;
    watch(crowd, client, EPOLL_CTL_MOD, EPOLLIN);
}

// Returns the bytes of the HTTP answer's head, or 0 while it is incomplete.
static size_t take_upgrade(struct client *client, const char *bytes, size_t length) {
    const char *end = memmem(bytes, length, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(bytes, "HTTP/1.1 101", 12) != 0)
        fail("Client %d was refused: %.*s", client->number, 40, bytes);
    client->state = OPENING;
    return (size_t)(end - bytes) + 4;
}

// ---- WebSocket ----------------------------------------------------------------------------------

// Finds where a frame's payload starts and how long it is. Returns false while the header is incomplete.
static bool read_header(const unsigned char *frame, size_t available, size_t *header,
                        size_t *payload) {
    *header = 2;
    if (available < 2) return false;
    *payload = frame[1];
    int extra = frame[1] == 126 ? 2 : frame[1] == 127 ? 8 : 0;
    if (extra == 0) return true;
    *header += (size_t)extra;
    if (available < *header) return false;
    *payload = 0;
    for (int i = 0; i < extra; i++) *payload = *payload << 8 | frame[2 + i];
    return true;
}

static void take_frame(struct crowd *crowd, struct client *client, const unsigned char *frame,
                       size_t header, size_t length) {
    const char *payload = (const char *)frame + header;
    crowd->frames++;
    if (frame[1] & MASKED) fail("Client %d got a masked frame.", client->number);
    if (frame[0] == (FIN | crowd->protocol->frame_type))
        crowd->protocol->take_payload(crowd, client, payload, length);
    else if (frame[0] == (FIN | PING)) client_send(client, PONG, payload, length);
    else if (frame[0] == (FIN | CLOSE)) fail("Client %d was closed by the server.", client->number);
    else fail("Client %d got a frame that starts with 0x%02x.", client->number, frame[0]);
}

// Takes all whole frames and returns the bytes used. A server may join many frames in one write.
static size_t take_bytes(struct crowd *crowd, struct client *client, const unsigned char *bytes,
                         size_t length) {
    size_t used = 0, header, payload;
    if (client->state == UPGRADING) used = take_upgrade(client, (const char *)bytes, length);
    if (client->state == UPGRADING) return 0;
    while (read_header(bytes + used, length - used, &header, &payload)) {
        if (length - used < header + payload) break;
        take_frame(crowd, client, bytes + used, header, payload);
        used += header + payload;
    }
    return used;
}

static void hold(struct client *client, const unsigned char *bytes, size_t length) {
    client->held = realloc(client->held, length ? length : 1);
    if (!client->held) fail("Out of memory.");
    memcpy(client->held, bytes, length);
    client->held_bytes = length;
}

static void read_frames(struct crowd *crowd, struct client *client) {
    static unsigned char buffer[1 << 18];
    size_t length = client->held_bytes;
    if (length) memcpy(buffer, client->held, length);
    ssize_t brought = recv(client->fd, buffer + length, sizeof buffer - length, 0);
    if (brought < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (brought <= 0) fail("Client %d lost its connection.", client->number);
    crowd->reads++;
    length += (size_t)brought;
    size_t used = take_bytes(crowd, client, buffer, length);
    if (used < length || client->held_bytes) hold(client, buffer + used, length - used);
}

void client_proceed(struct crowd *crowd, struct client *client) {
    if (client->state == CONNECTING) ask_for_upgrade(crowd, client);
    else read_frames(crowd, client);
}

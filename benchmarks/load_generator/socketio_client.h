// The clients' side of Socket.IO (Engine.IO 4): they enter `/chats`, join their chats one after another, answer pings, and
// send requests.
#ifndef SOCKETIO_CLIENT_H
#define SOCKETIO_CLIENT_H

#include "crowd.h"

extern const struct protocol socketio;

// Emits `event` with one argument, which is JSON, and asks for an acknowledgement under this number.
void client_request(struct client *client, const char *event, uint64_t number, const char *json);

#endif

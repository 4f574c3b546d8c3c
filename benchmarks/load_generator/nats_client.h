// The clients' side of NATS over WebSocket: they subscribe to their user's subject and to those of their chats, and
// answer pings.
#ifndef NATS_CLIENT_H
#define NATS_CLIENT_H

#include "crowd.h"

extern const struct protocol nats;

#endif

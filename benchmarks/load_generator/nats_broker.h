// Publishing on a NATS server, which is also the server that is measured. Unlike on Redis, the subject says who
// receives an event: everybody in its chat, or its recipient alone.
#ifndef NATS_BROKER_H
#define NATS_BROKER_H

#include "publisher.h"

// Without it a server confirms each command with a line of its own.
#define NATS_CONNECT                                                                                \
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\n"

extern const struct broker nats_broker;

#endif

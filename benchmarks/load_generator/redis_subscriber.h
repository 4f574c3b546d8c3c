// One connection to Redis that reads what is published on a channel. Reading blocks: not for use while CPU is measured.
#ifndef REDIS_SUBSCRIBER_H
#define REDIS_SUBSCRIBER_H

#include <stddef.h>

struct subscriber {
    int fd;
    char bytes[8192]; // all that Redis has sent so far
    size_t length;
};

// Subscribes on 127.0.0.1; fails when Redis does not confirm it.
void subscriber_open(struct subscriber *subscriber, int port, const char *channel);

// Reads until `text` was among all that was published. Fails when it does not come within five seconds.
void subscriber_expect(struct subscriber *subscriber, const char *text);

void subscriber_close(struct subscriber *subscriber);

#endif

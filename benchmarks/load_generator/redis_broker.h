// Publishing on Redis, in raw RESP: every event on one channel. Who receives it is for the servers to find out.
#ifndef REDIS_BROKER_H
#define REDIS_BROKER_H

#include "publisher.h"

extern const struct broker redis_broker;

#endif

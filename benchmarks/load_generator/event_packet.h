// Reading a delivered `new-message`: the other end of what publisher writes.
#ifndef EVENT_PACKET_H
#define EVENT_PACKET_H

#include <stddef.h>
#include <stdint.h>

// Both fail when the packet has no such number.
uint64_t packet_sequence(const char *packet, size_t bytes);
uint64_t packet_timestamp_us(const char *packet, size_t bytes);

// Fails unless the keys of an event to chat c1 are there with untouched values.
void event_check(const char *json, size_t bytes);

// The same of a Socket.IO packet. Fails unless the contract's keys are there with untouched values and `recipientId` is not: a server that leaves out
// work must not look fast. Only for events to chat c1.
void packet_check(const char *packet, size_t bytes);

#endif

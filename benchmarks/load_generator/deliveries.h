// Bookkeeping of who must have received what, and how long it took. Pure: no sockets, no clock of its own.
//
// Every published event carries a sequence number: the chat's for events that reach everybody, the user's own for events
// that reach one user. A client must see its numbers rise by one. A number skipped is a delivery missing; a number seen
// before is one that came twice or late.
#ifndef DELIVERIES_H
#define DELIVERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_LATENCIES = 4 * 1000 * 1000 };

struct deliveries {
    int clients;
    uint64_t due;             // what all published events call for
    uint64_t received;        // by all clients together
    uint64_t missing;         // numbers skipped so far
    uint64_t doubled_or_late; // numbers below the next expected one
    uint64_t *next_expected;  // per client
    uint64_t *sent_to_user;   // per client: events addressed to it alone
    uint64_t sent_to_chat;    // events addressed to everybody
    bool timing;              // latencies are recorded only while this is set
    uint32_t *latencies_us;
    size_t latency_count;
};

void deliveries_begin(struct deliveries *book, int clients);

// Notes an event that everybody, or one client alone, must receive. Returns the sequence number that it carries.
// A run addresses clients in one of the two ways only: the numbers would mix.
uint64_t deliveries_expect_from_all(struct deliveries *book);
uint64_t deliveries_expect_from(struct deliveries *book, int client);

// Takes one delivery: client number, the event's sequence number, and how long it travelled.
void deliveries_take(struct deliveries *book, int client, uint64_t sequence, uint32_t latency_us);

// To call once, when nothing more is awaited: counts what never came into `missing`.
void deliveries_close(struct deliveries *book);

// A quantile of the recorded latencies, in milliseconds. Sorts them; 0 when there are none.
double deliveries_latency_ms(struct deliveries *book, double quantile);

// The same of those taken from one count of latencies to another; before the latencies of all are asked for.
double deliveries_slice_latency_ms(struct deliveries *book, size_t from, size_t to, double quantile);

#endif

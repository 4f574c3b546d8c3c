#include "deliveries.h"

#include "process_stats.h"

#include <stdlib.h>
#include <string.h>

void deliveries_begin(struct deliveries *book, int clients) {
    memset(book, 0, sizeof *book);
    book->clients = clients;
    book->next_expected = calloc((size_t)clients, sizeof *book->next_expected);
    book->sent_to_user = calloc((size_t)clients, sizeof *book->sent_to_user);
    book->latencies_us = malloc(MAX_LATENCIES * sizeof *book->latencies_us);
    if (!book->next_expected || !book->sent_to_user || !book->latencies_us) fail("Out of memory.");
}

uint64_t deliveries_expect_from_all(struct deliveries *book) {
    book->due += (uint64_t)book->clients;
    return book->sent_to_chat++;
}

uint64_t deliveries_expect_from(struct deliveries *book, int client) {
    book->due++;
    return book->sent_to_user[client]++;
}

void deliveries_take(struct deliveries *book, int client, uint64_t sequence, uint32_t latency_us) {
    book->received++;
    if (sequence < book->next_expected[client]) {
        book->doubled_or_late++;
        return;
    }
    book->missing += sequence - book->next_expected[client];
    book->next_expected[client] = sequence + 1;
    if (book->timing && book->latency_count < MAX_LATENCIES)
        book->latencies_us[book->latency_count++] = latency_us;
}

void deliveries_close(struct deliveries *book) {
    for (int client = 0; client < book->clients; client++)
        book->missing +=
            book->sent_to_chat + book->sent_to_user[client] - book->next_expected[client];
}

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

double deliveries_latency_ms(struct deliveries *book, double quantile) {
    return deliveries_slice_latency_ms(book, 0, book->latency_count, quantile);
}

double deliveries_slice_latency_ms(struct deliveries *book, size_t from, size_t to, double quantile) {
    if (to <= from) return 0;
    qsort(book->latencies_us + from, to - from, sizeof *book->latencies_us, ascending);
    size_t rank = from + (size_t)(quantile * (double)(to - from - 1));
    return book->latencies_us[rank] / 1e3;
}

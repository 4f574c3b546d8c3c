// Loads one server of Socket.IO, or of NATS, and prints one JSON object of what came of it.
//
// The story is in `main`: connect a crowd of clients, weigh the server, prove that events arrive whole, publish for some
// seconds, and check that every client received every event exactly once. Or, the other way, clients send requests, and
// each must be acknowledged exactly once. Sockets, protocols, brokers, the bookkeeping of deliveries and /proc are in
// load_generator/. One thread; it reports its own CPU, so that nobody has to believe that it was not the bottleneck.
// Linux only (epoll, /proc).
//
// Exit status: 0, or 1 with one sentence on stderr when the server misbehaved, 3 when deliveries were lost or doubled.
#define _GNU_SOURCE
#include "load_generator/crowd.h"
#include "load_generator/deliveries.h"
#include "load_generator/event_packet.h"
#include "load_generator/nats_broker.h"
#include "load_generator/nats_client.h"
#include "load_generator/options.h"
#include "load_generator/process_stats.h"
#include "load_generator/publisher.h"
#include "load_generator/redis_broker.h"
#include "load_generator/redis_subscriber.h"
#include "load_generator/socketio_client.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { ABSENT_PER_MARKER = 128, MARKERS_IN_FLIGHT = 2, PROOF_EVENTS = 3, SPARE_FILES = 64 };
enum { MAX_UNANSWERED_PER_CLIENT = 8 }; // what the gateway allows
#define POSITION "{\"lat\":52.5163,\"lng\":13.3777,\"speed\":8.5,\"at\":%" PRIu64 "}"
enum { MAX_SLICES = 1024 };
static const double PATIENCE_SECONDS = 30;
static const double LINGER_SECONDS = 0.2; // for what should not come: deliveries that are doubled

struct load {
    struct options options;
    struct crowd crowd;
    struct publisher publisher;
    struct deliveries book;
    int timer_fd;
    bool checking_contents;
    uint64_t events; // published, of the kind that is measured
    double began;    // measuring
    int slices;
    size_t slice_ends[MAX_SLICES]; // counts of latencies
    int next_user;
};

// ---- Taking deliveries --------------------------------------------------------------------------

static uint64_t timestamp_now(void) { return TIMESTAMP_ORIGIN_US + now_ns() / 1000; }

static void take_event(void *context, int client, const char *packet, size_t bytes) {
    struct load *load = context;
    if (load->checking_contents) load->crowd.protocol->check_event(packet, bytes);
    uint64_t sequence = packet_sequence(packet, bytes), latency_us = 0;
    if (load->book.timing) latency_us = timestamp_now() - packet_timestamp_us(packet, bytes);
    deliveries_take(&load->book, client, sequence, (uint32_t)latency_us);
}

static void take_ack(void *context, int client, uint64_t number, const char *answer, size_t bytes) {
    static const char accepted[] = "[{\"success\":true}]";
    if (bytes != strlen(accepted) || memcmp(answer, accepted, bytes) != 0)
        fail("Client %d was refused: %.*s", client, (int)bytes, answer);
    struct load *load = context;
    deliveries_take(&load->book, client, number, 0);
}

// ---- Publishing ---------------------------------------------------------------------------------

static void publish(struct load *load, const char *chat, const char *user, bool is_for_chat,
                    uint64_t sequence) {
    struct event event = {chat, user, is_for_chat, sequence, timestamp_now()};
    publisher_queue(&load->publisher, &event);
}

// To everybody in chat c1. The recipient has joined it too, as in a real chat, and must still get it once.
static void publish_to_chat(struct load *load) {
    char user[32];
    uint64_t sequence = deliveries_expect_from_all(&load->book);
    snprintf(user, sizeof user, "u%d", (int)(sequence % (uint64_t)load->crowd.size));
    publish(load, "c1", user, true, sequence);
}

// The stride visits all users without favouring neighbours.
static void choose_next_user(struct load *load) {
    load->next_user = (load->next_user + 7919) % load->crowd.size;
}

// To one user, in a chat that nobody has open.
static void publish_to_user(struct load *load) {
    char user[32];
    choose_next_user(load);
    snprintf(user, sizeof user, "u%d", load->options.first_user + load->next_user);
    publish(load, "c1-closed", user, false, deliveries_expect_from(&load->book, load->next_user));
}

static void publish_to_absent(struct load *load) {
    char user[32];
    snprintf(user, sizeof user, "absent-%d", (int)(load->events % 100000));
    publish(load, "c1-closed", user, false, load->events);
    load->events++;
}

static bool reaches_everybody(const struct load *load) {
    return load->options.chats > 0 && load->options.workload != UNICAST &&
           load->options.workload != DROPPED;
}

static uint64_t outstanding(const struct load *load) {
    uint64_t settled = load->book.received + load->book.missing;
    return load->book.due > settled ? load->book.due - settled : 0;
}

// From one user. The number of its acknowledgement is that of an event to this user.
static void send_request(struct load *load) {
    struct deliveries *book = &load->book;
    choose_next_user(load);
    int user = load->next_user;
    uint64_t unanswered = book->sent_to_user[user] - book->next_expected[user];
    if (unanswered >= MAX_UNANSWERED_PER_CLIENT) return;
    if (outstanding(load) >= (uint64_t)load->options.in_flight) return;
    char position[96];
    snprintf(position, sizeof position, POSITION, timestamp_now());
    uint64_t number = deliveries_expect_from(book, user);
    client_request(&load->crowd.clients[user], "report-position", number, position);
    load->events++;
}

static void publish_one(struct load *load) {
    if (load->options.workload == REQUESTS) {
        send_request(load);
        return;
    }
    if (reaches_everybody(load)) publish_to_chat(load);
    else publish_to_user(load);
    load->events++;
}

// Tells when the events before it have been handled: a server takes a channel's events in order.
static void publish_absent_and_marker(struct load *load) {
    for (int i = 0; i < ABSENT_PER_MARKER; i++) publish_to_absent(load);
    publish_to_user(load);
}

// ---- The loop -----------------------------------------------------------------------------------

static void on_timer(struct load *load) {
    uint64_t expirations = 0;
    if (read(load->timer_fd, &expirations, sizeof expirations) != sizeof expirations) return;
    while (expirations--) publish_one(load);
    publisher_flush(&load->publisher);
}

static void on_answers(struct load *load) {
    publisher_read_answers(&load->publisher);
    publisher_flush(&load->publisher); // a broker may have asked for an answer
}

static void watch_readable(struct load *load, int fd, void *tag) {
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = tag};
    epoll_ctl(load->crowd.epoll_fd, EPOLL_CTL_ADD, fd, &interest);
}

// Waits for what comes and handles it.
static void pump(struct load *load, int timeout_ms) {
    static struct epoll_event events[1024];
    int count = epoll_wait(load->crowd.epoll_fd, events, 1024, timeout_ms);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == &load->publisher) on_answers(load);
        else if (events[i].data.ptr == &load->timer_fd) on_timer(load);
        else client_proceed(&load->crowd, events[i].data.ptr);
    }
}

static void pump_for(struct load *load, double seconds) {
    double end = now_seconds() + seconds;
    while (now_seconds() < end) pump(load, 20);
}

// Waits for all that was published; what does not come within the patience is counted as missing later.
static void pump_until_delivered(struct load *load) {
    double end = now_seconds() + PATIENCE_SECONDS;
    while (outstanding(load) > 0 && now_seconds() < end) pump(load, 20);
}

// ---- Workloads ----------------------------------------------------------------------------------

static void fail_if_stalled(const struct load *load, uint64_t *seen, double *seen_at) {
    if (load->book.received != *seen) {
        *seen = load->book.received;
        *seen_at = now_seconds();
    }
    if (now_seconds() - *seen_at > PATIENCE_SECONDS)
        fail("Nothing was delivered for %.0f seconds.", PATIENCE_SECONDS);
}

// Publishes the next event as soon as fewer than `in_flight` are on their way.
static void publish_in_flight(struct load *load) {
    uint64_t recipients = reaches_everybody(load) ? (uint64_t)load->crowd.size : 1;
    uint64_t allowed = (uint64_t)(load->options.in_flight - 1) * recipients;
    while (outstanding(load) <= allowed) publish_one(load);
}

static void publish_dropped(struct load *load) {
    while (outstanding(load) < MARKERS_IN_FLIGHT) publish_absent_and_marker(load);
}

static void run_closed_loop(struct load *load, double seconds, void (*publish_more)(struct load *)) {
    uint64_t seen = 0;
    double end = now_seconds() + seconds, seen_at = now_seconds();
    while (now_seconds() < end) {
        publish_more(load);
        publisher_flush(&load->publisher);
        pump(load, 100);
        fail_if_stalled(load, &seen, &seen_at);
    }
}

// So that whoever changes something meanwhile can tell what came before it from what came after.
static void end_slice(struct load *load) {
    double slice = load->options.slice_seconds;
    if (!load->book.timing || slice <= 0 || load->slices == MAX_SLICES) return;
    if (now_seconds() - load->began >= (load->slices + 1) * slice)
        load->slice_ends[load->slices++] = load->book.latency_count;
}

static void run_open_loop(struct load *load, double seconds) {
    long interval_ns = (long)(1e9 / load->options.rate);
    struct itimerspec beat = {{0, interval_ns}, {0, interval_ns}}, silence = {{0, 0}, {0, 0}};
    timerfd_settime(load->timer_fd, 0, &beat, NULL);
    double end = now_seconds() + seconds;
    while (now_seconds() < end) {
        pump(load, 100);
        end_slice(load);
    }
    timerfd_settime(load->timer_fd, 0, &silence, NULL);
}

static void run(struct load *load, double seconds) {
    if (load->options.workload == LATENCY || load->options.workload == REQUESTS)
        run_open_loop(load, seconds);
    else if (load->options.workload == DROPPED) run_closed_loop(load, seconds, publish_dropped);
    else run_closed_loop(load, seconds, publish_in_flight);
}

// ---- Measuring ----------------------------------------------------------------------------------

struct reading {
    double wall, server_cpu, redis_cpu, own_cpu;
    uint64_t deliveries, events, reads, frames;
};

static struct reading take_reading(const struct load *load) {
    return (struct reading){
        .wall = now_seconds(),
        .server_cpu = cpu_seconds(load->options.server_pid),
        .redis_cpu = cpu_seconds(load->options.redis_pid),
        .own_cpu = own_cpu_seconds(),
        .deliveries = load->book.received,
        .events = load->events,
        .reads = load->crowd.reads,
        .frames = load->crowd.frames,
    };
}

static double ratio(double dividend, double divisor) { return divisor > 0 ? dividend / divisor : 0; }

static void print_span(const char *name, const struct reading *from, const struct reading *to) {
    double frames_per_read =
        ratio((double)(to->frames - from->frames), (double)(to->reads - from->reads));
    printf(",\"%s\":{\"wall_s\":%.3f,\"server_cpu_s\":%.2f,\"redis_cpu_s\":%.2f,"
           "\"generator_cpu_s\":%.2f,\"events\":%" PRIu64 ",\"deliveries\":%" PRIu64
           ",\"frames_per_read\":%.2f}",
           name, to->wall - from->wall, to->server_cpu - from->server_cpu,
           to->redis_cpu - from->redis_cpu, to->own_cpu - from->own_cpu, to->events - from->events,
           to->deliveries - from->deliveries, frames_per_read);
}

static void connect_until(struct load *load, int wanted) {
    double progress_at = now_seconds();
    for (int before = load->crowd.ready; load->crowd.ready < wanted;) {
        crowd_start(&load->crowd, wanted, load->options.at_once);
        pump(load, 100);
        if (load->crowd.ready != before) progress_at = now_seconds();
        before = load->crowd.ready;
        if (now_seconds() - progress_at > PATIENCE_SECONDS)
            fail("Only %d of %d clients got in.", load->crowd.ready, wanted);
    }
}

// The first clients pay for what a server sets up once (lazy imports, compiled code): they are not counted.
static void connect_crowd(struct load *load) {
    const struct options *options = &load->options;
    connect_until(load, options->warm_clients);
    pump_for(load, options->settle_seconds);
    long kib_before = anonymous_kib(options->server_pid);
    struct reading before = take_reading(load);
    connect_until(load, options->clients);
    struct reading after = take_reading(load);
    pump_for(load, options->settle_seconds);
    long kib_after = anonymous_kib(options->server_pid);
    int counted = options->clients - options->warm_clients;
    print_span("connecting", &before, &after);
    printf(",\"connects\":%d,\"kib_before\":%ld,\"kib_after\":%ld", counted, kib_before, kib_after);
}

static void prove_delivery(struct load *load) {
    load->checking_contents = reaches_everybody(load);
    for (int i = 0; i < PROOF_EVENTS; i++) publish_one(load);
    publisher_flush(&load->publisher);
    pump_until_delivered(load);
    pump_for(load, LINGER_SECONDS);
    load->checking_contents = false;
    if (outstanding(load) > 0)
        fail("Of %" PRIu64 " first deliveries %" PRIu64 " are missing.", load->book.due,
             outstanding(load));
}

// What is published must be the whole of what a backend is promised, and name the user who sent it.
static void prove_requests(struct load *load) {
    struct subscriber backend;
    subscriber_open(&backend, load->options.redis_port, "positions");
    prove_delivery(load);
    char sender[64];
    snprintf(sender, sizeof sender, "},\"userId\":\"u%d\",\"sid\":\"", load->next_user);
    subscriber_expect(&backend, "{\"event\":\"report-position\",\"data\":{\"lat\":52.5163,");
    subscriber_expect(&backend, sender);
    subscriber_expect(&backend, "\",\"namespace\":\"/chats\",\"address\":\"127.0.0.1\"}");
    subscriber_close(&backend);
}

static void print_slices(struct load *load) {
    printf(",\"began_s\":%.3f,\"slices_p99_ms\":[", load->began);
    for (int i = 0; i < load->slices; i++) {
        size_t from = i ? load->slice_ends[i - 1] : 0;
        printf("%s%.3f", i ? "," : "",
               deliveries_slice_latency_ms(&load->book, from, load->slice_ends[i], 0.99));
    }
    printf("]");
}

// From empty queues to empty queues, so that every delivery is counted with all the CPU that it cost, and no other.
static void measure(struct load *load) {
    run(load, load->options.warmup_seconds);
    pump_until_delivered(load);
    struct reading before = take_reading(load);
    load->book.timing = load->options.workload == LATENCY;
    load->began = now_seconds();
    run(load, load->options.seconds);
    pump_until_delivered(load);
    struct reading after = take_reading(load);
    pump_for(load, LINGER_SECONDS);
    print_span("measured", &before, &after);
    if (load->options.slice_seconds > 0) print_slices(load);
    if (load->options.workload == LATENCY)
        printf(",\"samples\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f",
               load->book.latency_count, deliveries_latency_ms(&load->book, 0.5),
               deliveries_latency_ms(&load->book, 0.99), deliveries_latency_ms(&load->book, 0.999));
}

// ---- The story -----------------------------------------------------------------------------------

static void begin(struct load *load) {
    bool speaks_nats = load->options.nats_port != 0;
    allow_open_files((unsigned long)load->options.clients + SPARE_FILES);
    deliveries_begin(&load->book, load->options.clients);
    load->crowd.epoll_fd = epoll_create1(0);
    load->crowd.port = load->options.ws_port;
    load->crowd.protocol = speaks_nats ? &nats : &socketio;
    load->crowd.chats_per_client = load->options.chats;
    load->crowd.first_user = load->options.first_user;
    load->crowd.take_event = take_event;
    load->crowd.take_ack = take_ack;
    load->crowd.context = load;
    crowd_begin(&load->crowd, load->options.clients);
    publisher_connect(&load->publisher, speaks_nats ? &nats_broker : &redis_broker,
                      speaks_nats ? load->options.nats_port : load->options.redis_port);
    watch_readable(load, load->publisher.fd, &load->publisher);
    load->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch_readable(load, load->timer_fd, &load->timer_fd);
}

int main(int count, char **arguments) {
    static struct load load;
    load.options = read_options(count, arguments);
    begin(&load);
    printf("{\"workload\":\"%s\",\"clients\":%d", load.options.workload_name, load.options.clients);
    connect_crowd(&load);
    if (load.options.workload == HOLD) pump_for(&load, load.options.seconds);
    else if (load.options.workload == REQUESTS) prove_requests(&load);
    else prove_delivery(&load);
    if (load.options.workload != CONNECT && load.options.workload != HOLD) measure(&load);
    deliveries_close(&load.book);
    printf(",\"missing\":%" PRIu64 ",\"doubled_or_late\":%" PRIu64 "}\n", load.book.missing,
           load.book.doubled_or_late);
    if (load.book.missing == 0 && load.book.doubled_or_late == 0) return 0;
    fprintf(stderr, "%" PRIu64 " deliveries are missing, %" PRIu64 " came twice or late.\n",
            load.book.missing, load.book.doubled_or_late);
    return 3;
}

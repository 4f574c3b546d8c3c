#include "options.h"

#include "process_stats.h"

#include <stdlib.h>
#include <string.h>

static enum workload workload_named(const char *name) {
    static const char *const names[] = {"fanout", "unicast", "dropped", "latency",
                                        "connect", "hold",    "requests"};
    for (int i = 0; i < 7; i++)
        if (strcmp(name, names[i]) == 0) return (enum workload)i;
    fail("No workload is called %s: fanout, unicast, dropped, latency, connect, hold or requests.", name);
}

static void set_option(struct options *options, const char *name, const char *value) {
    const struct { const char *name; int *whole; double *real; } settings[] = {
        {"clients", &options->clients, NULL},
        {"warm-clients", &options->warm_clients, NULL},
        {"first-user", &options->first_user, NULL},
        {"at-once", &options->at_once, NULL},
        {"chats", &options->chats, NULL},
        {"in-flight", &options->in_flight, NULL},
        {"ws-port", &options->ws_port, NULL},
        {"redis-port", &options->redis_port, NULL},
        {"nats-port", &options->nats_port, NULL},
        {"server-pid", &options->server_pid, NULL},
        {"redis-pid", &options->redis_pid, NULL},
        {"rate", NULL, &options->rate},
        {"warmup-seconds", NULL, &options->warmup_seconds},
        {"seconds", NULL, &options->seconds},
        {"settle-seconds", NULL, &options->settle_seconds},
        {"slice-seconds", NULL, &options->slice_seconds},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (strcmp(name, settings[i].name) != 0) continue;
        if (settings[i].whole) *settings[i].whole = atoi(value);
        else *settings[i].real = atof(value);
        return;
    }
    fail("No option is called --%s.", name);
}

struct options read_options(int count, char **arguments) {
    struct options options = {.workload = FANOUT, .workload_name = "fanout", .clients = 1000,
                              .warm_clients = 100, .at_once = 64, .chats = 1, .in_flight = 1,
                              .rate = 200, .warmup_seconds = 1, .seconds = 4,
                              .settle_seconds = 0.5};
    for (int i = 1; i < count; i++) {
        char *equals = strchr(arguments[i], '=');
        if (strncmp(arguments[i], "--", 2) != 0 || !equals) fail("Not --name=value: %s", arguments[i]);
        *equals = 0;
        if (strcmp(arguments[i] + 2, "workload") == 0) options.workload_name = equals + 1;
        else set_option(&options, arguments[i] + 2, equals + 1);
    }
    options.workload = workload_named(options.workload_name);
    if (!options.ws_port || !options.server_pid || !options.redis_port == !options.nats_port)
        fail("--ws-port, --server-pid and one of --redis-port and --nats-port are needed.");
    if (options.nats_port && options.workload == REQUESTS)
        fail("NATS acknowledges nothing that clients publish: it has no workload `requests`.");
    if (options.clients < 1 || options.warm_clients >= options.clients)
        fail("--clients must be more than --warm-clients.");
    return options;
}

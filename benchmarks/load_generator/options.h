// What one run is asked to do. Everything comes as `--name=value`; the harness is the only caller.
#ifndef OPTIONS_H
#define OPTIONS_H

enum workload {
    FANOUT,  // events to a chat that every client has joined
    UNICAST, // events to one user each
    DROPPED, // events to users who are not connected
    LATENCY, // events to a chat at a fixed rate
    CONNECT, // nothing is published beyond a proof of life
    HOLD,    // nothing is published; the clients stay for some seconds
    REQUESTS, // requests of clients at a fixed rate, each of which is acknowledged
};

struct options {
    enum workload workload;
    const char *workload_name;
    int clients, warm_clients; // of `clients`, those that connect first and are not counted
    int first_user;            // the number of the first client's user: crowds of several pods are other people
    int at_once;               // clients on their way in at the same time
    int chats;                 // that each client joins
    int in_flight;             // events not yet received by all, or requests not yet acknowledged
    int ws_port, redis_port, server_pid, redis_pid;
    int nats_port; // instead of `redis_port`: the server is a NATS server, and what is published goes there
    double rate; // events or requests per second
    double warmup_seconds, seconds;
    double settle_seconds; // of quiet before memory is read
    double slice_seconds;  // the p99 of LATENCY is given for each slice too, unless this is 0
};

// Fails with one sentence on an argument that is unknown or missing.
struct options read_options(int count, char **arguments);

#endif

#define _GNU_SOURCE
#include "nats_broker.h"

#include "process_stats.h"

#include <stdio.h>
#include <string.h>

static int write_pub(char *command, const struct event *event, const char *json, int json_bytes) {
    const char *kind = event->is_for_chat ? "chat" : "user";
    const char *name = event->is_for_chat ? event->chat : event->recipient;
    return sprintf(command, "PUB %s.%s %d\r\n%s\r\n", kind, name, json_bytes, json);
}

// No PUB is answered. Should a read cut a PING, the server sends another before it loses patience.
static void take_answers(struct publisher *publisher, const char *answers) {
    if (strstr(answers, "-ERR")) fail("NATS answered: %.100s", strstr(answers, "-ERR"));
    if (strstr(answers, "PING\r\n")) publisher_queue_text(publisher, "PONG\r\n");
}

const struct broker nats_broker = {
    .name = "NATS",
    .greeting = NATS_CONNECT,
    .write_command = write_pub,
    .take_answers = take_answers,
};

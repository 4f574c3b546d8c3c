#define _GNU_SOURCE
#include "redis_broker.h"

#include "process_stats.h"

#include <stdio.h>
#include <string.h>

static int write_publish(char *command, const struct event *event, const char *json,
                         int json_bytes) {
    (void)event; // its channel says what it is, not whom it reaches
    return sprintf(command,
                   "*3\r\n$7\r\nPUBLISH\r\n$15\r\nchat:newMessage\r\n$%d\r\n%s\r\n",
                   json_bytes, json);
}

// Answers to PUBLISH are ":<subscribers>\r\n". Split reads may cut one; a line's first bytes are all we judge.
static void take_answers(struct publisher *publisher, const char *answers) {
    (void)publisher;
    if (strchr(answers, '-')) fail("Redis answered: %.100s", strchr(answers, '-'));
    if (strstr(answers, ":0\r\n")) fail("Nobody subscribes to chat:newMessage.");
}

const struct broker redis_broker = {
    .name = "Redis",
    .greeting = "",
    .write_command = write_publish,
    .take_answers = take_answers,
};

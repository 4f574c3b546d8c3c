#define _GNU_SOURCE
#include "event_packet.h"

#include "process_stats.h"
#include "publisher.h"

#include <string.h>

enum { SEQUENCE_DIGITS = 12, TIMESTAMP_DIGITS = 16 };

static uint64_t read_digits(const char *text, int digits) {
    uint64_t value = 0;
    for (int i = 0; i < digits; i++) value = value * 10 + (uint64_t)(text[i] - '0');
    return value;
}

// Returns the number behind `label`, looking first where it stood the last time: all deliveries of one server look
// alike, and a search in each would cost more than the rest of the client.
static uint64_t number_after(const char *packet, size_t bytes, const char *label, int digits,
                             size_t *remembered) {
    size_t length = strlen(label);
    size_t last_start = bytes > length + (size_t)digits ? bytes - length - (size_t)digits : 0;
    if (*remembered > last_start || memcmp(packet + *remembered, label, length) != 0) {
        const char *found = memmem(packet, bytes, label, length);
        if (!found || (size_t)(found - packet) > last_start)
            fail("A delivery has no %s: %.*s", label, (int)bytes, packet);
        *remembered = (size_t)(found - packet);
    }
    return read_digits(packet + *remembered + length, digits);
}

uint64_t packet_sequence(const char *packet, size_t bytes) {
    static size_t remembered;
    return number_after(packet, bytes, "\"messageId\":\"" MESSAGE_ID_PREFIX, SEQUENCE_DIGITS,
                        &remembered);
}

uint64_t packet_timestamp_us(const char *packet, size_t bytes) {
    static size_t remembered;
    return number_after(packet, bytes, "\"timestamp\":", TIMESTAMP_DIGITS, &remembered);
}

static void require(const char *packet, size_t bytes, const char *part) {
    if (!memmem(packet, bytes, part, strlen(part)))
        fail("A delivery lacks %s: %.*s", part, (int)bytes, packet);
}

void event_check(const char *json, size_t bytes) {
    static const char *const required[] = {"\"chatId\":\"c1\"", EVENT_SENDER, EVENT_TEXT,
                                           EVENT_MEDIA_TYPE, EVENT_MEDIA_URL};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++)
        require(json, bytes, required[i]);
}

void packet_check(const char *packet, size_t bytes) {
    require(packet, bytes, "42/chats,[\"new-message\",{");
    event_check(packet, bytes);
    if (memmem(packet, bytes, "recipientId", 11))
        fail("A delivery forwards recipientId: %.*s", (int)bytes, packet);
}

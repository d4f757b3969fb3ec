/* SPDX-License-Identifier: BSD-2-Clause */
#include "log_limit.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"
#define WORD   DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.:-"

/* FNV-1a */
static uint64_t mix(uint64_t hash, char c)
{
    return (hash ^ (unsigned char)c) * 0x100000001b3ULL;
}

/* Of the line's level and text, in which each word with a digit is the same. */
static uint64_t key_of(enum lun_log_level level, const char *text)
{
    uint64_t key = mix(0xcbf29ce484222325ULL, (char)level);

    while (*text) {
        size_t word = strspn(text, WORD);
        if (strcspn(text, DIGITS) < word) {
            key = mix(key, '0');
            text += word;
            continue;
        }
        for (word += word == 0; word > 0; word--)
            key = mix(key, *text++);
    }
    return key;
}

/* To forget a kind of which all may be said again is to lose nothing. */
static bool forgettable(const struct log_limit_kind *kind, uint64_t now_us)
{
    return kind->waiting == 0 && kind->full_us <= now_us;
}

/* The first one is for the kinds that find no room. */
static struct log_limit_kind *find(struct log_limit *limit, uint64_t key, uint64_t now_us)
{
    struct log_limit_kind *room = &limit->kinds[0];

    for (unsigned i = 1; i < LOG_LIMIT_KINDS; i++) {
        struct log_limit_kind *kind = &limit->kinds[i];
        if (kind->key == key)
            return kind;
        if (room == &limit->kinds[0] && forgettable(kind, now_us))
            room = kind;
    }
    if (room != &limit->kinds[0])
        room->key = key;
    return room;
}

static uint64_t due_us(const struct log_limit_kind *kind)
{
    const uint64_t burst_us = (LOG_LIMIT_BURST - 1) * LOG_LIMIT_INTERVAL_US;

    return kind->full_us > burst_us ? kind->full_us - burst_us : 0;
}

/* `text` and all that waited before it. */
static void say(const struct log_limit *limit, struct log_limit_kind *kind, uint64_t now_us,
                const char *text)
{
    char line[LOG_LIMIT_TEXT_BYTES + 64];

    if (kind->waiting > 1) {
        uint64_t s = (now_us - kind->said_us + 500000) / 1000000;
        (void)snprintf(line, sizeof line, "%s (and %u more like it in %llu s)", kind->text,
                       kind->waiting - 1, (unsigned long long)s);
        text = line;
    }
    kind->waiting = 0;
    kind->said_us = now_us;
    kind->full_us = (kind->full_us > now_us ? kind->full_us : now_us) + LOG_LIMIT_INTERVAL_US;
    limit->say(kind->level, text);
}

void log_limit_line(struct log_limit *limit, uint64_t now_us, enum lun_log_level level,
                    const char *text)
{
    struct log_limit_kind *kind = find(limit, key_of(level, text), now_us);

    kind->waiting++;
    kind->level = level;
    (void)snprintf(kind->text, sizeof kind->text, "%s", text);
    if (due_us(kind) <= now_us)
        say(limit, kind, now_us, text);
    else if (due_us(kind) < limit->next_us)
        limit->next_us = due_us(kind);
}

static void say_waiting(struct log_limit *limit, uint64_t now_us, bool all)
{
    limit->next_us = UINT64_MAX;
    for (unsigned i = 0; i < LOG_LIMIT_KINDS; i++) {
        struct log_limit_kind *kind = &limit->kinds[i];
        if (kind->waiting == 0)
            continue;
        if (all || due_us(kind) <= now_us)
            say(limit, kind, now_us, kind->text);
        else if (due_us(kind) < limit->next_us)
            limit->next_us = due_us(kind);
    }
}

void log_limit_run(struct log_limit *limit, uint64_t now_us)
{
    if (now_us >= limit->next_us)
        say_waiting(limit, now_us, false);
}

void log_limit_flush(struct log_limit *limit, uint64_t now_us)
{
    say_waiting(limit, now_us, true);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How often the same is said: a host or a target that does the wrong thing a
 * thousand times a second does not fill the journal, nor hide what else happens.
 *
 * Lines are of one kind that differ in nothing but words with a digit in them
 * (counts, addresses, keys, error numbers). Of each kind the first
 * LOG_LIMIT_BURST are said at once, then one per LOG_LIMIT_INTERVAL_US, with the
 * number of those that were left out: "… (and 312 more like it in 60 s)". A kind
 * that is quiet for a while has its first lines again. Kinds are counted each on
 * its own, so that no kind holds up another; only who invents more of them than
 * LOG_LIMIT_KINDS has the rest counted as one.
 *
 * Pure: time comes from the caller, nothing is allocated.
 */
#ifndef LUNSTICK_DAEMON_LOG_LIMIT_H
#define LUNSTICK_DAEMON_LOG_LIMIT_H

#include "bridge/lun.h" /* enum lun_log_level */

#define LOG_LIMIT_BURST       5
#define LOG_LIMIT_INTERVAL_US 60000000ULL
#define LOG_LIMIT_KINDS       64
#define LOG_LIMIT_TEXT_BYTES  256 /* of a line that waits; what is longer is cut */

struct log_limit_kind {
    uint64_t key;
    uint64_t full_us; /* when all of the first lines may be said again */
    uint64_t said_us; /* the last one */
    unsigned waiting; /* lines that were not said; `text` is the last of them */
    enum lun_log_level level;
    char text[LOG_LIMIT_TEXT_BYTES];
};

/* Valid when zeroed, but for `say`. */
struct log_limit {
    void (*say)(enum lun_log_level level, const char *text);
    uint64_t next_us; /* call log_limit_run() then; UINT64_MAX: nothing waits */
    struct log_limit_kind kinds[LOG_LIMIT_KINDS];
};

/* Says the line, or counts it. */
void log_limit_line(struct log_limit *limit, uint64_t now_us, enum lun_log_level level,
                    const char *text);
/* Says what has waited for its interval; cheap before next_us. */
void log_limit_run(struct log_limit *limit, uint64_t now_us);
/* Says all that waits: at the end. */
void log_limit_flush(struct log_limit *limit, uint64_t now_us);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: one line per event to stderr, each written by one write(2), so that
 * the lines of parent and child never mix. Under the journal a line carries its
 * level as "<4>"; otherwise the program's name and the level in words. A log
 * that nobody reads holds up nothing: its lines are counted as lost. What comes
 * again and again is said now and then, with its count (log_limit.h); only debug
 * lines are all said.
 *
 * Behind the machine's own root the lines go to the kernel's log, which needs no
 * file and no memory: from there they are on the console, if they are errors, and in
 * the journal whenever there is one.
 */
#ifndef LUNSTICK_DAEMON_LOG_H
#define LUNSTICK_DAEMON_LOG_H

#include "bridge/lun.h" /* enum lun_log_level: the one scale of the whole program */

#define LOG_LINE_BYTES 1024

/* Call before the first line; `program` must outlive the log. */
void log_init(const char *program, enum lun_log_level max_level);
/* From now on to the kernel's log; errors and warnings to stdout, too, as long as
 * somebody reads them there. 0 or -errno: all is as it was. */
int log_to_kernel(void);

/* Text that came from a peer is harmless: what is not printable becomes '?'. */
void log_text(enum lun_log_level level, const char *text);
void log_printf(enum lun_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* When to call log_run_timeouts(); UINT64_MAX: never. */
uint64_t log_next_timeout_us(void);
void log_run_timeouts(void);
/* Before the process ends: says what was left out so far. */
void log_end(void);
/* In a new process: what its parent has left out is its parent's to say. */
void log_forked(void);

enum log_style { LOG_PLAIN, LOG_JOURNAL, LOG_KERNEL };

/* The line as it will be written, with its newline: for tests. Returns its length. */
size_t log_format(char line[LOG_LINE_BYTES], enum lun_log_level level, const char *text,
                  const char *program, enum log_style style);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The unprivileged process against a real target, with the test as its parent
 * and socket pairs as its USB. */
#ifndef LUNSTICK_TESTS_CHILD_BENCH_H
#define LUNSTICK_TESTS_CHILD_BENCH_H

#include "daemon/lunstickd/child.h"
#include "daemon/lunstickd/privsep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define PATIENCE_MS 10000

enum { USB_EP0, USB_EP_IN, USB_EP_OUT, USB_FILES };

struct bench {
    struct daemon_config config;
    struct child_start start;
    struct slot slots[BOT_LUNS_MAX];
    pid_t pid;
    int sock;
    int usb[USB_FILES]; /* our ends */
    struct sockaddr_un control;
    socklen_t control_bytes;
    char status[PRIVSEP_TEXT_BYTES]; /* the last one heard */
    const char *secret, *target_secret;
    bool ejected; /* all of its slots */
};

/* For cmocka: the bench is the state. */
int make_bench(void **state);
int end_bench(void **state);

/* The port of the tgtd that tests/target/run.sh started. */
const char *port(void);
/* One disk more, at this address, and what follows from it. */
void configure(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void start_child(struct bench *b);
/* Started, and its disk was found. */
void start_with_plain_target(struct bench *b);

/* Sends and forgets our copies of the descriptors. */
void tell(const struct bench *b, struct privsep_msg *msg);
/* Answers what belongs to set-up; true when a message of the type came. */
bool heard(struct bench *b, enum privsep_type type, struct privsep_msg *msg);
/* 0 and more: it ended so; less: by that signal; -1000: not in time. */
int exit_status(struct bench *b);

/* A request to its control socket; the answer to it, up to the end of file. */
int begin_to_ask(const struct bench *b, const char *line);
void hear_answer(int fd, char *answer, size_t size);
void ask(const struct bench *b, const char *line, char *answer, size_t size);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of `lunstick`: one function each, in verb_NAME.c, and what they
 * share. argv[0] is "lunstick VERB"; the result is the exit status. */
#ifndef LUNSTICK_CLI_VERBS_H
#define LUNSTICK_CLI_VERBS_H

#include "daemon/lunstickd/config.h"

#include <sys/types.h>

enum { CLI_OK = 0, CLI_TRANSIENT = 1, CLI_WRONG = 2 };

int cli_status(int argc, char **argv);
int cli_probe(int argc, char **argv);
int cli_cleanup(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_eject(int argc, char **argv);
int cli_insert(int argc, char **argv);
int cli_plug(int argc, char **argv);
int cli_unplug(int argc, char **argv);
int cli_map(int argc, char **argv);
int cli_unmap(int argc, char **argv);

/* The simple command lines: options (each `--name`, some with a value behind
 * it), a daemon's name ("lunstick" without one) and, where `url` is not NULL, an
 * address. `flags` ends with a NULL name. False after one line on stderr. */
struct cli_flag {
    const char *name;
    bool *set;
    const char **value; /* NULL: it has none */
};
bool cli_args(int argc, char **argv, const struct cli_flag *flags, const char **name,
              const char **url);

/* Asks the daemon over its control socket, one line, and waits so many seconds
 * for the answer. The answer's length, cut to `size` - 1 and terminated; or
 * -errno, which cli_explain() turns into a message and an exit status. */
ssize_t cli_ask(const char *name, const char *question, unsigned seconds, char *answer,
                size_t size);
int cli_explain(const char *program, const char *name, int error);

/* Calls `match` with the name of each daemon that has a control socket until it
 * returns true; whether it did. */
bool cli_each_daemon(bool (*match)(const char *name, void *ctx), void *ctx);

/* "PROGRAM: ..." on stderr. Returns `status`. */
int cli_fail(const char *program, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The numeric form of `host`, waited for at most `seconds`, whatever the
 * resolver does. False with a sentence in `why`. */
bool cli_resolve(const char *host, unsigned seconds, char *numeric, size_t size,
                 char why[CONFIG_WHY_BYTES]);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's command line. It overrides the configuration file. */
#ifndef LUNSTICK_DAEMON_OPTIONS_H
#define LUNSTICK_DAEMON_OPTIONS_H

#include "config.h"

#include <stdio.h>

enum options_result {
    OPTIONS_RUN,   /* `config` is complete */
    OPTIONS_DONE,  /* --help or --version was answered: exit 0 */
    OPTIONS_WRONG, /* one line on `err` said what and how to fix it: exit 2 */
};

/*
 * Everything from argv to a finished configuration: defaults, then the file
 * (--config, else CONFIG_DIR/NAME.conf if it exists), then the options. A URL
 * on the command line replaces the file's LUNs; the file's top-level keys for
 * LUNs stay its defaults. Messages begin with argv[0].
 */
enum options_result options_read(struct daemon_config *config, int argc, char **argv, FILE *out,
                                 FILE *err);

#endif

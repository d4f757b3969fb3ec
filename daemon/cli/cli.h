/* SPDX-License-Identifier: BSD-2-Clause */
/* The user's command: `lunstick VERB ...`. */
#ifndef LUNSTICK_CLI_H
#define LUNSTICK_CLI_H

/* Exit status: 0; 1 for a fault that may go away or something to fix; 2 for
 * wrong use or a fault that only the user can remove. */
int cli_main(int argc, char **argv);

#endif

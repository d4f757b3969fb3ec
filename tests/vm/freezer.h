/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The target stopped and continued from inside a guest: bot.sh listens at
 * LUNSTICK_FREEZER (ADDRESS:PORT) and does SIGSTOP for an 'S', SIGCONT for a
 * 'C', and answers with the same letter.
 */
#ifndef LUNSTICK_TESTS_FREEZER_H
#define LUNSTICK_TESTS_FREEZER_H

#include <stdbool.h>

/* Whether there is one. */
bool freezer_exists(void);
void freezer_stop(void);
void freezer_continue(void);

#endif

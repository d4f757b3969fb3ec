/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon: `lunstickd [OPTION...] URL`. */
#ifndef LUNSTICK_DAEMON_LUNSTICKD_H
#define LUNSTICK_DAEMON_LUNSTICKD_H

/* Exit status as parent_main() has it; 2 also for wrong use. */
int lunstickd_main(int argc, char **argv);

#endif

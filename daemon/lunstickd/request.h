/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What `lunstick` asks of the daemon over the control socket, one line each:
 *
 *   status | status json
 *   eject [lun N] [force]
 *   insert [lun N] [force] [read-only] [take-over] [URL]
 *   plug | unplug
 *   unmap
 *
 * The answer to `status` is the status; to the others it is one line, the exit
 * status of the command (0, 1, 2) and a sentence for the user.
 */
#ifndef LUNSTICK_DAEMON_REQUEST_H
#define LUNSTICK_DAEMON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

enum request_verb {
    REQUEST_STATUS,
    REQUEST_EJECT,
    REQUEST_INSERT,
    REQUEST_PLUG,
    REQUEST_UNPLUG,
    REQUEST_UNMAP,
};

#define REQUEST_ANY_LUN (-1)

struct request {
    enum request_verb verb;
    int lun;         /* 0 to 15, REQUEST_ANY_LUN: not given */
    bool json;       /* status */
    bool force;      /* eject, insert: although the host uses the disk */
    bool read_only;  /* insert */
    bool take_over;  /* insert: exclusive access, from whoever has it */
    const char *url; /* insert, into the line; NULL: none */
};

/* Takes the line apart, in place. False with a sentence in `why`. */
bool request_parse(struct request *request, char *line, char *why, size_t size);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* A discovery session (RFC 7143 4.3): which targets a portal tells of. */
#ifndef LUNSTICK_INITIATOR_DISCOVER_H
#define LUNSTICK_INITIATOR_DISCOVER_H

#include <stdint.h>

#define DISCOVER_TARGETS_MAX 64
#define DISCOVER_NAME_BYTES  224

struct discover_request {
    const char *portal; /* numeric: "192.0.2.1:3260", "[2001:db8::1]:3260" */
    const char *initiator_name;
    const char *user, *secret; /* "": no CHAP */
    unsigned timeout_ms;
    uint64_t (*now_us)(void); /* monotonic */
};

struct discover_result {
    char names[DISCOVER_TARGETS_MAX][DISCOVER_NAME_BYTES];
    unsigned count; /* may be more than DISCOVER_TARGETS_MAX: the rest is only counted */
    char why[192];  /* when it failed */
};

/* Waits at most timeout_ms. 0, or -1 with `why`. */
int discover(const struct discover_request *request, struct discover_result *result);

#endif

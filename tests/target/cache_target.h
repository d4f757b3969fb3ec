/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An iSCSI target with one disk on an image, and with a volatile write cache
 * that is gone when the target is killed. With the cache (WCE=1) a WRITE is GOOD
 * once it is in the cache; the image has it after a SYNCHRONIZE CACHE, or at
 * once with FUA. Without (WCE=0), at GOOD. Or with an overlay: all that a login
 * wrote is gone with the next, whatever was flushed.
 *
 * One connection at a time: a new one takes the place of the old. All data of a
 * WRITE travel with its command, as negotiated.
 */
#ifndef LUNSTICK_TESTS_TARGET_CACHE_TARGET_H
#define LUNSTICK_TESTS_TARGET_CACHE_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cache_target {
    const char *image;
    bool write_cache;
    bool overlay;
    const char *serial;
    pid_t pid;
    uint16_t port;
};

/* Listens on an IPv4 address; port 0: any. The descriptor, and the port in
 * `target`; a negative errno. */
int cache_target_listen(struct cache_target *target, const char *address, uint16_t port);
/* Serves for ever; ends the process if the image cannot be used. */
void cache_target_serve(const struct cache_target *target, int listener);

/* The same on loopback in a process of its own; the port stays the same when it
 * is started again after its power was cut: what was not flushed is lost. */
void cache_target_start(struct cache_target *target);
void cache_target_cut_power(struct cache_target *target);

#endif

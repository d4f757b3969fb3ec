/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NBD front end: takes the kernel's requests for one local block device from
 * a socket and has a logical unit serve them, several at a time.
 *
 * READ becomes READ(10) or (16), WRITE likewise, with FUA; FLUSH becomes
 * SYNCHRONIZE CACHE, TRIM becomes UNMAP, WRITE ZEROES becomes WRITE SAME, or WRITEs of
 * zeros where the target has none. A request waits for the target as long as it takes
 * (lun_config.answer_within_ms is 0). There is no way to tell the kernel of a unit
 * attention, so none may be raised (lun_config.attention_off), and the disk is a fixed
 * one: another behind the same name is refused (lun_config.disk_refused), and the
 * right one waited for.
 *
 * A request is taken from the socket when there is room for all of its data:
 * those of a READ are held until the last has arrived, because a simple reply
 * says first whether the READ went well.
 */
#ifndef LUNSTICK_BOOT_NBD_H
#define LUNSTICK_BOOT_NBD_H

#include "bridge/lun.h"

/* Requests that the kernel may have under way, segments of the longest READ or
 * WRITE, and of all: so many slices the pool has to have for them, beside what the
 * logical unit needs for itself. All the kernel's requests fit, so that the socket
 * is empty when the target is away: the kernel waits with a full one where it can
 * do nothing else any more (blk_mq_timeout_work). */
#define NBD_REQUESTS         8u
#define NBD_REQUEST_SEGMENTS 4u
#define NBD_SEGMENTS         (NBD_REQUESTS * NBD_REQUEST_SEGMENTS)

/* The device, as the kernel has to know it. */
struct nbd_geometry {
    uint64_t bytes;
    uint32_t block_bytes; /* 512 to 4096 */
    uint32_t max_bytes;   /* longest READ or WRITE, for queue/max_sectors_kb */
    uint32_t trim_blocks; /* of one UNMAP; 0: the disk has none */
    uint32_t zero_blocks; /* of one WRITE SAME; 0: the disk tells of none */
    bool zero_unmaps;     /* which may deallocate blocks that read as zeros then */
    uint16_t flags;       /* NBD_CAN_..., nbd_wire.h */
};
/* Of a disk; `segment_bytes` and `read_only` as the logical unit has them. */
struct nbd_geometry nbd_describe(const struct disk_identity *disk, uint32_t segment_bytes,
                                 bool read_only);

struct nbd_config {
    int fd; /* stream socket, not blocking; the caller's */
    struct lun *lun;
    struct deferred_list *deferred;
    void (*ended)(void *ctx); /* the kernel disconnected, or what it says is no NBD; once */
    void *ctx;
    void (*log)(enum lun_log_level level, const char *text); /* NULL: silent */
};

struct nbd;

/* NULL with errno (ENOMEM, EINVAL). Serves from nbd_begin() on, when the logical unit
 * has a disk: what does not fit into `geometry` is refused. */
struct nbd *nbd_create(const struct nbd_config *config);
void nbd_begin(struct nbd *nbd, const struct nbd_geometry *geometry, uint32_t segment_bytes);
/* What is under way is given up; the kernel asks for it again from the next
 * front end that takes the device over. */
void nbd_destroy(struct nbd *nbd);

/* POLLIN and POLLOUT, to be asked before each wait; and what came of it. */
short nbd_events(const struct nbd *nbd);
void nbd_ready(struct nbd *nbd);

struct nbd_stats {
    uint64_t reads, writes, flushes, trims, zeroes;
    uint64_t errors; /* replies that were not NBD_OK */
    unsigned outstanding;
};
const struct nbd_stats *nbd_stats(const struct nbd *nbd);

#endif

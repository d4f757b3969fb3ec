/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands before the logical units, in the child: the USB port, or the local
 * kernel's block device. There is one of them, so its functions take no object.
 *
 *   open()                what comes from the parent with FRONT: USB's at the begin, the
 *                         block device's whenever it is bound
 *   describe(), attach()  where the parent has endpoint files to open
 *   serve()               the logical units exist
 *   bind_text()           what the parent has to know to show the disk
 */
#ifndef LUNSTICK_DAEMON_FRONT_H
#define LUNSTICK_DAEMON_FRONT_H

#include "config.h"
#include "loop.h"
#include "privsep.h"
#include "status.h"

struct front_config {
    const struct daemon_config *config;
    struct loop *loop;
    struct deferred_list *deferred;
    void (*log)(enum lun_log_level level, const char *text);
    void (*ended)(void *ctx); /* whoever was served wants nothing more */
    void *ctx;
};

/* What fails says so in the log, and returns -errno. */
struct front_ops {
    void (*init)(const struct front_config *config);
    int (*open)(int fd);
    int (*describe)(void); /* NULL: there are no endpoint files, and FRONT comes later */
    int (*attach)(int in_fd, int out_fd);
    int (*serve)(struct lun *const *luns, unsigned count);
    void (*bind_text)(char text[PRIVSEP_TEXT_BYTES]);
    uint64_t (*prepare)(void); /* before the loop waits; when run_timeouts() is due */
    void (*run_timeouts)(void);
    bool (*host_present)(void);
    unsigned (*state)(void); /* another number when something moved */
    void (*view)(struct status_view *view);
};

extern const struct front_ops front_usb, front_nbd;

#endif

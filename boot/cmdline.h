/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel command line of the boot modes, one plain structure. The words are
 * one table in cmdline.c; the text is /proc/cmdline, or the command line that an
 * image brings. Nothing here allocates, opens a file or makes a system call.
 *
 * The rules are the kernel's: double quotes around a word or its value hold
 * blanks, `-` and `_` are the same in names, what follows `--` is for init, and
 * of several equal words the last counts (but every scsipub.iqn= is one more
 * target, in order). Words of other programs are passed over.
 */
#ifndef LUNSTICK_BOOT_CMDLINE_H
#define LUNSTICK_BOOT_CMDLINE_H

#include "boot/cmdline_ip.h"
#include "initiator/address.h"

#define CMDLINE_TARGETS_MAX 8
#define CMDLINE_TEXT_BYTES  256
#define CMDLINE_TIMEOUT_S   60 /* if lunstick.timeout= is not given */
/* An arm64 kernel's command line, its end included (COMMAND_LINE_SIZE). */
#define CMDLINE_BYTES 2048

enum cmdline_mode {
    CMDLINE_MODE_NONE, /* not given: this boot is not ours */
    CMDLINE_PIVOT_ROOT,
    CMDLINE_KEXEC,
    CMDLINE_USB_DISK,
};

enum cmdline_on_failure {
    CMDLINE_RETRY, /* if not given */
    CMDLINE_SHELL,
    CMDLINE_REBOOT,
    CMDLINE_NEXT_TARGET,
};

enum cmdline_overlay { CMDLINE_OVERLAY_NONE, CMDLINE_OVERLAY_TMPFS };

enum cmdline_access { CMDLINE_ACCESS_NONE, CMDLINE_READ_ONLY, CMDLINE_READ_WRITE };

enum cmdline_root_by {
    CMDLINE_ROOT_NONE,
    CMDLINE_ROOT_LABEL,
    CMDLINE_ROOT_UUID,
    CMDLINE_ROOT_PARTUUID,
    CMDLINE_ROOT_NUMBER,
    CMDLINE_ROOT_OTHER, /* root= alone: the word as it is */
};

struct cmdline_root {
    enum cmdline_root_by by;
    int number;                    /* of the partition, from 1; also of /dev/mmcblk0p2; or 0 */
    char name[CMDLINE_TEXT_BYTES]; /* without LABEL= and so on; empty for a number */
};

/* Strings are empty, numbers 0, if not given and not said otherwise. */
struct cmdline {
    enum cmdline_mode mode; /* scsipub.mode= */
    struct {
        unsigned count;
        char names[CMDLINE_TARGETS_MAX][224];
    } targets; /* scsipub.iqn=, several */
    struct {
        char host[256];
        uint16_t port;
    } portal;                                /* lunstick.portal=host[:port] */
    int lun;                                 /* lunstick.lun=; -1: not given */
    char user[CMDLINE_TEXT_BYTES];           /* lunstick.user=, CHAP */
    char secret_file[CMDLINE_TEXT_BYTES];    /* lunstick.secret-file=, an absolute path */
    struct cmdline_root root;                /* lunstick.root=LABEL=|UUID=|PARTUUID=|N */
    enum cmdline_overlay overlay;            /* lunstick.overlay=tmpfs|none */
    char interface[CMDLINE_INTERFACE_BYTES]; /* lunstick.iface=, or the device of .ip= */
    struct cmdline_ip ip;                    /* lunstick.ip= */
    int vlan;                                /* lunstick.vlan=, 1 to 4094 */
    int timeout_s;                           /* lunstick.timeout= */
    enum cmdline_on_failure on_failure;      /* lunstick.on-failure= */

    struct {
        struct cmdline_root root;       /* root= */
        enum cmdline_access access;     /* ro, rw */
        char type[64];                  /* rootfstype= */
        char flags[CMDLINE_TEXT_BYTES]; /* rootflags= */
        char init[CMDLINE_TEXT_BYTES];  /* init= */
    } kernel;                           /* the kernel's own words */
};

#define CMDLINE_PROBLEMS_MAX  8
#define CMDLINE_PROBLEM_BYTES 384

/* One line each, printable ASCII: the word, what is wrong, what is allowed, the
 * nearest right word. What may be a secret is not repeated. */
struct cmdline_problems {
    unsigned count;
    unsigned more; /* that found no room */
    char lines[CMDLINE_PROBLEMS_MAX][CMDLINE_PROBLEM_BYTES];
};

/* Nothing given. */
void cmdline_init(struct cmdline *cmdline);

/* Reads `text` over `defaults` (the builder's, or cmdline_init()'s). A word that
 * is wrong changes nothing. True if there were no problems. */
bool cmdline_parse(const char *text, const struct cmdline *defaults, struct cmdline *cmdline,
                   struct cmdline_problems *problems);

enum cmdline_portal_from {
    CMDLINE_PORTAL_UNKNOWN,
    CMDLINE_PORTAL_WORD,      /* lunstick.portal= */
    CMDLINE_PORTAL_BUILDER,   /* `defaults` */
    CMDLINE_PORTAL_ROOT_PATH, /* DHCP's */
    CMDLINE_PORTAL_TFTP,      /* the server that we came from, port 3260 */
};

/*
 * Where target number `target` is, and who said so. `root_path` (root_path.h) and
 * `tftp_server` are what DHCP gave, or NULL. Its target is taken if no word names
 * one, its LUN with its target only. `address` has an empty iqn if there is no
 * such target, an empty host if the portal is unknown.
 */
enum cmdline_portal_from cmdline_address(const struct cmdline *cmdline,
                                         const struct cmdline *defaults, unsigned target,
                                         const struct address *root_path, const char *tftp_server,
                                         struct address *address);

/* One target alone, its LUN and where it is, whatever was named before. */
void cmdline_set_target(struct cmdline *cmdline, const struct address *address);

/*
 * The command line of an image's own kernel: our words, as far as they differ
 * from `defaults`, then those of `image` without nr_cpus= and without any of
 * ours. cmdline_parse() of it over `defaults` gives `cmdline` again, with the
 * kernel's words of `image`. The length; or -E2BIG, and `out` is empty.
 */
int cmdline_for_image(const struct cmdline *cmdline, const struct cmdline *defaults,
                      const char *image, char *out, size_t size);

#endif

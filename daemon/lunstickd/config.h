/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the user wants: one plain structure, filled once from the defaults, the
 * configuration file and the command line (options.h), const from then on. It
 * holds no secret, only where the secrets are (secrets.h).
 */
#ifndef LUNSTICK_DAEMON_CONFIG_H
#define LUNSTICK_DAEMON_CONFIG_H

#include "bridge/lun.h"
#include "gadget/bot.h"
#include "initiator/address.h"

#define CONFIG_DIR     "/etc/lunstick"
#define CONFIG_RUN_DIR "/run/lunstick"
#define CONFIG_SCHEME  "/usr/share/lunstick/configfs-templates/disk.scheme"

#define CONFIG_NAME_BYTES 33 /* 32 characters */
#define CONFIG_PATH_BYTES 256
#define CONFIG_WHY_BYTES  512

/* A truth value that, if it is not given, follows from the rest. */
enum config_choice { CONFIG_BY_ITSELF, CONFIG_NO, CONFIG_YES };

/* Who may use the disk beside us. */
enum config_access { CONFIG_SHARED, CONFIG_EXCLUSIVE };

/* Whom the disk is for: a USB host, or this machine's own kernel. */
enum config_front { CONFIG_FRONT_USB, CONFIG_FRONT_NBD };

/* One disk. */
struct config_lun {
    struct address address;
    bool read_only;                      /* refuse writes although the target would take them */
    bool removable;                      /* RMB=1 to the host; true if not given */
    bool header_digest;                  /* ask for CRC32C */
    char secret_file[CONFIG_PATH_BYTES]; /* CHAP; empty: credential directory, or none */
    char target_user[256];               /* mutual CHAP; empty: none */
    char target_secret_file[CONFIG_PATH_BYTES]; /* empty: credential directory */
    enum medium_reinsert reinsert;              /* of a disk that the host ejected */
    uint32_t reinsert_after_s;                  /* MEDIUM_REINSERT_AFTER */
    uint32_t give_up_after_s;                   /* away for so long: no medium; 0: never */
    enum config_choice ephemeral;               /* config_ephemeral() */
    bool cdrom;                                 /* read-only and removable, too */
    bool continuity;                            /* proved after each login; true if not given */
    enum config_access access;
};

struct daemon_config {
    char name[CONFIG_NAME_BYTES];    /* [a-z0-9-]: gadget, FunctionFS instance, run directory */
    char run_dir[CONFIG_PATH_BYTES]; /* CONFIG_RUN_DIR/NAME; derived */
    char file[CONFIG_PATH_BYTES];    /* the configuration file that was read; empty: none */
    enum config_front front;
    bool root; /* this machine's own root is on the disk (supervisor.h) */
    char on_other_disk[CONFIG_PATH_BYTES]; /* what it runs then; empty: nothing */
    char udc[64];                          /* empty: the first that is free */
    bool prepare;   /* only make the gadget, for who has no rights (parent.h) */
    bool once;      /* a transient fault at start ends the daemon */
    bool early;     /* plugged in before a disk is there, as an empty drive */
    bool take_over; /* exclusive access, from whoever has it at start */
    struct config_lun luns[BOT_LUNS_MAX];
    unsigned lun_count;             /* 1 to BOT_LUNS_MAX */
    struct config_lun lun_defaults; /* what `luns` do not say themselves; a lone `url` */

    char board[33];           /* 32 hexadecimal digits, a hash of the board's serial; derived */
    char initiator_name[224]; /* default: iqn.2026-11.io.lunstick: and half of BOARD */
    char serial[33];          /* USB serial, 12 to 32 hexadecimal digits; default from board, LUN */
    char scheme_path[CONFIG_PATH_BYTES];
    char user[33]; /* whom the child becomes; default "lunstick" */

    const struct host_profile *host; /* NULL: recognised by what it sends */
    uint32_t answer_within_ms;       /* 0: as the host needs it */
    uint32_t segment_bytes;          /* 0: the logical unit's default (lun.h) */
    uint32_t login_timeout_ms;       /* 0: the session's default (session.h), and so on */
    uint32_t keepalive_ms;
    uint32_t backoff_max_ms;
    enum lun_log_level log_level;
    enum bot_short_in short_in;
};

/* All defaults that do not depend on anything else. */
void daemon_config_init(struct daemon_config *config);

/*
 * Reads a libconfig file, or the same as a text (`name` stands for the file in
 * messages), over what is in `config`. True, or false with one line in `why`:
 * FILE:LINE, the key, what is allowed; for an unknown key the nearest known
 * one. @include is refused: the file is read once, by root. Nothing is kept
 * of libconfig's memory.
 */
bool daemon_config_read_file(struct daemon_config *config, const char *path,
                             char why[CONFIG_WHY_BYTES]);
bool daemon_config_read_text(struct daemon_config *config, const char *text, const char *name,
                             char why[CONFIG_WHY_BYTES]);

/* Fills in what is derived (run_dir, board, initiator name, serial) and checks
 * what only the whole can tell: that there is a LUN, that each has an address. */
bool daemon_config_finish(struct daemon_config *config, char why[CONFIG_WHY_BYTES]);

/* The key of exclusive access: this board's. */
uint64_t config_reservation_key(const struct daemon_config *config);

/* The target makes a fresh disk at each login: as given, or because it is known
 * to do so. */
bool config_ephemeral(const struct config_lun *lun);

/* The checks of single values, for the file and the command line alike. */
bool config_name_valid(const char *name);
bool config_front(const char *word, enum config_front *front);
bool config_log_level(const char *word, enum lun_log_level *level);

#endif

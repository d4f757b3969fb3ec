/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CHAP secrets of one LUN. They come from a file of mode 0600 or from the
 * service manager's credential directory, never from argv or the environment,
 * and live in one place, which its owner wipes or never lets out of core.
 */
#ifndef LUNSTICK_DAEMON_SECRETS_H
#define LUNSTICK_DAEMON_SECRETS_H

#include "config.h"

#define SECRET_BYTES 256 /* with the terminating 0, as struct session_config has it */

struct lun_secrets {
    char secret[SECRET_BYTES];        /* empty: no CHAP */
    char target_secret[SECRET_BYTES]; /* empty: no mutual CHAP */
};

/*
 * What `lun` needs: `secret_file`, or, where that is closed to us, the credential
 * of the same name in $CREDENTIALS_DIRECTORY; no file given: the credential
 * chap-secret. The same with target_secret_file and target-secret for mutual
 * CHAP. A LUN without
 * a user needs none. False with one line in `why` (names the file and the fix).
 * True may leave advice in `why` (a length that some targets refuse), else "".
 * On false nothing of a secret remains in `secrets`.
 */
bool secrets_load(struct lun_secrets *secrets, const struct config_lun *lun,
                  char why[CONFIG_WHY_BYTES]);
void secrets_wipe(struct lun_secrets *secrets);

/* Zeroed room for those of `count` LUNs that no core file shows, for who keeps
 * them. It is never given back. NULL with errno. */
struct lun_secrets *secrets_room(unsigned count);

/* One file: regular, of root or the caller, mode without group and other bits,
 * one line of 1 to SECRET_BYTES - 1 characters, a newline at its end stripped. */
bool secret_read_file(char secret[SECRET_BYTES], const char *path, char why[CONFIG_WHY_BYTES]);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void secrets_wipe(struct lun_secrets *secrets)
{
    explicit_bzero(secrets, sizeof(*secrets));
}

struct lun_secrets *secrets_room(unsigned count)
{
    size_t size = count * sizeof(struct lun_secrets);
    void *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (room == MAP_FAILED)
        return NULL;
    if (madvise(room, size, MADV_DONTDUMP) != 0) {
        (void)munmap(room, size);
        return NULL;
    }
    return room;
}

static bool refuse(char why[CONFIG_WHY_BYTES], const char *path, const char *problem)
{
    snprintf(why, CONFIG_WHY_BYTES, "secret file %s: %s", path, problem);
    return false;
}

/* Nobody but its owner, who is root or the caller, may have looked at it. */
static bool check_private(int fd, const char *path, char why[CONFIG_WHY_BYTES])
{
    struct stat st;

    if (fstat(fd, &st))
        return refuse(why, path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(why, path, "not a regular file");
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return refuse(why, path, "belongs to another user; it must be root's or your own");
    if (st.st_mode & 077) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "secret file %.200s: others may read it (mode %04o); run: chmod 600 %.200s", path,
                 (unsigned)(st.st_mode & 07777), path);
        return false;
    }
    return true;
}

/* Straight into its only place: no stream, no second buffer. */
static bool read_line(int fd, char secret[SECRET_BYTES], const char *path,
                      char why[CONFIG_WHY_BYTES])
{
    size_t length = 0;
    char beyond = 0;
    ssize_t got;

    do {
        got = read(fd, secret + length, SECRET_BYTES - 1 - length);
        if (got > 0)
            length += (size_t)got;
    } while (got > 0 || (got < 0 && errno == EINTR));
    if (got < 0)
        return refuse(why, path, strerror(errno));
    if (length == SECRET_BYTES - 1 && read(fd, &beyond, 1) == 1 && beyond != '\n')
        return refuse(why, path, "longer than 255 characters");
    secret[length] = 0;
    if (length && secret[length - 1] == '\n')
        secret[--length] = 0;
    if (length && secret[length - 1] == '\r')
        secret[--length] = 0;
    if (!length)
        return refuse(why, path, "empty; it holds the secret in one line");
    if (strlen(secret) != length || strpbrk(secret, "\r\n"))
        return refuse(why, path, "more than one line, or not a text");
    return true;
}

static bool read_from(char secret[SECRET_BYTES], const char *path, bool must_be_private,
                      char why[CONFIG_WHY_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool good;

    why[0] = 0;
    if (fd < 0 && errno == EACCES && geteuid() != 0)
        return refuse(why, path,
                      "Permission denied; chown it to the user that has to read it, or add it to "
                      "the service (LoadCredential=)");
    if (fd < 0)
        return refuse(why, path, strerror(errno));
    good = (!must_be_private || check_private(fd, path, why)) && read_line(fd, secret, path, why);
    close(fd);
    if (!good)
        explicit_bzero(secret, SECRET_BYTES);
    return good;
}

bool secret_read_file(char secret[SECRET_BYTES], const char *path, char why[CONFIG_WHY_BYTES])
{
    return read_from(secret, path, true, why);
}

/* The path of a credential, if the service manager gave it; an empty line, as a
 * unit may have it for want of a file, is none. Who may read it is its business. */
static bool find_credential(char path[CONFIG_PATH_BYTES], const char *name)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    struct stat st;

    return dir &&
           (size_t)snprintf(path, CONFIG_PATH_BYTES, "%s/%s", dir, name) < CONFIG_PATH_BYTES &&
           !stat(path, &st) && st.st_size > 1;
}

/* From the file; where that is closed to us, from the credential of its name;
 * when no file is named, from `credential`, or "" if there is none. */
static bool load_one(char secret[SECRET_BYTES], const char *file, const char *credential,
                     char why[CONFIG_WHY_BYTES])
{
    const char *slash = strrchr(file, '/');
    char path[CONFIG_PATH_BYTES];
    bool closed = file[0] && access(file, R_OK) && errno == EACCES;

    secret[0] = 0;
    why[0] = 0;
    if (file[0] && !closed)
        return secret_read_file(secret, file, why);
    if (find_credential(path, closed && slash ? slash + 1 : closed ? file : credential))
        return read_from(secret, path, false, why);
    return !closed || secret_read_file(secret, file, why);
}

/* What only both parts together show to be wrong. */
static bool check_pair(const struct lun_secrets *secrets, const struct config_lun *lun,
                       char why[CONFIG_WHY_BYTES])
{
    bool user = lun->address.user[0], target_user = lun->target_user[0];

    if (user && !secrets->secret[0])
        snprintf(why, CONFIG_WHY_BYTES,
                 "no secret for the CHAP user \"%.64s\"; give --secret-file FILE (mode 0600)",
                 lun->address.user);
    else if (!user && lun->secret_file[0])
        snprintf(why, CONFIG_WHY_BYTES,
                 "a secret file but no CHAP user; put it into the address: iscsi://USER@%.128s/...",
                 lun->address.host);
    else if (target_user && !user)
        snprintf(why, CONFIG_WHY_BYTES,
                 "target_user without a CHAP user of our own; mutual CHAP needs both");
    else if (target_user && !secrets->target_secret[0])
        snprintf(why, CONFIG_WHY_BYTES, "target_user without target_secret_file");
    else if (!target_user && lun->target_secret_file[0])
        snprintf(why, CONFIG_WHY_BYTES, "target_secret_file without target_user");
    else if (target_user && !strcmp(secrets->secret, secrets->target_secret))
        /* RFC 7143 9.2.1: an attacker could send our own answer back to us. */
        snprintf(why, CONFIG_WHY_BYTES,
                 "the secrets of both directions are the same; mutual CHAP needs two");
    else
        return true;
    return false;
}

bool secrets_load(struct lun_secrets *secrets, const struct config_lun *lun,
                  char why[CONFIG_WHY_BYTES])
{
    size_t length;

    memset(secrets, 0, sizeof(*secrets));
    if (!load_one(secrets->secret, lun->secret_file, "chap-secret", why) ||
        !load_one(secrets->target_secret, lun->target_secret_file, "target-secret", why) ||
        !check_pair(secrets, lun, why)) {
        secrets_wipe(secrets);
        return false;
    }
    if (!lun->address.user[0])
        explicit_bzero(secrets->secret, sizeof(secrets->secret));
    if (!lun->target_user[0])
        explicit_bzero(secrets->target_secret, sizeof(secrets->target_secret));
    length = strlen(secrets->secret);
    why[0] = 0;
    if (length && (length < 12 || length > 16))
        snprintf(why, CONFIG_WHY_BYTES,
                 "the CHAP secret has %zu characters; 12 to 16 work with every target", length);
    return true;
}

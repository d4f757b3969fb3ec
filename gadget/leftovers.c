/* SPDX-License-Identifier: BSD-2-Clause */
#include "leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#define PATH_BYTES       512
#define FUNCTIONFS_MAGIC 0xa647361

/* False: too long. */
static bool join(char path[PATH_BYTES], const char *dir, const char *name)
{
    return (size_t)snprintf(path, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES;
}

/* Calls `each` for every entry that a user made: links and directories. Returns
 * the first error; 0 if the directory does not exist. */
static int for_each(const char *dir, int (*each)(const char *path))
{
    DIR *d = opendir(dir);
    int err = 0;

    if (!d)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *entry = readdir(d); entry && !err; entry = readdir(d)) {
        char path[PATH_BYTES];
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        if (!join(path, dir, entry->d_name))
            err = -ENAMETOOLONG;
        else if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
            err = each(path);
    }
    (void)closedir(d);
    return err;
}

static int remove_link(const char *path)
{
    struct stat st;

    if (lstat(path, &st) != 0 || !S_ISLNK(st.st_mode))
        return 0; /* configfs' own directories: strings and the like */
    return unlink(path) == 0 ? 0 : -errno;
}

static int remove_dir(const char *path)
{
    return rmdir(path) == 0 ? 0 : -errno;
}

static int remove_config(const char *path)
{
    char strings[PATH_BYTES];

    int err = for_each(path, remove_link);
    if (!err)
        err = join(strings, path, "strings") ? for_each(strings, remove_dir) : -ENAMETOOLONG;
    return err ? err : remove_dir(path);
}

/* In the order that the kernel asks for: links before what they point to. */
static int remove_gadget(const char *gadget)
{
    static const struct {
        const char *dir;
        int (*each)(const char *path);
    } steps[] = {
        {"os_desc", remove_link},
        {"configs", remove_config},
        {"functions", remove_dir},
        {"strings", remove_dir},
    };
    char path[PATH_BYTES];

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (!join(path, gadget, steps[i].dir))
            return -ENAMETOOLONG;
        int err = for_each(path, steps[i].each);
        if (err)
            return err;
    }
    return remove_dir(gadget);
}

/* ENODEV: it was not bound. */
static void unbind(const char *gadget)
{
    char path[PATH_BYTES];

    if (!join(path, gadget, "UDC"))
        return;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = write(fd, "\n", 1);
    (void)n;
    (void)close(fd);
}

int leftovers_remove_gadget(const char *gadgets, const char *name)
{
    char gadget[PATH_BYTES];

    if (!join(gadget, gadgets, name))
        return -ENAMETOOLONG;
    if (access(gadget, F_OK) != 0)
        return 0;
    unbind(gadget);
    int err = remove_gadget(gadget);
    return err ? err : 1;
}

bool leftovers_are_ours(const char *gadgets, const char *name)
{
    char path[PATH_BYTES], function[PATH_BYTES];
    bool ours = true;

    if ((size_t)snprintf(path, sizeof(path), "%s/%s/functions", gadgets, name) >= sizeof(path))
        return false;
    (void)snprintf(function, sizeof(function), "ffs.%s", name);
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT;
    for (struct dirent *entry = readdir(d); entry; entry = readdir(d))
        ours = ours && (entry->d_name[0] == '.' || strcmp(entry->d_name, function) == 0);
    (void)closedir(d);
    return ours;
}

int leftovers_remove_mount(const char *dir)
{
    struct statfs fs;
    int removed = 0;

    while (statfs(dir, &fs) == 0 && (unsigned long)fs.f_type == FUNCTIONFS_MAGIC) {
        if (umount2(dir, MNT_DETACH) != 0)
            return -errno;
        removed = 1;
    }
    if (rmdir(dir) == 0)
        return 1;
    return errno == ENOENT ? removed : -errno;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Neither a link nor `..` leads out of the tree. */
static int open_inside(int directory, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(O_CLOEXEC | flags),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long fd = directory < 0 ? -1 : syscall(SYS_openat2, directory, path, &how, sizeof(how));

    if (directory < 0)
        return -ENOENT;
    return fd < 0 ? -errno : (int)fd;
}

static void forget_file(struct image_trees *t)
{
    if (t->file >= 0)
        close(t->file);
    t->file = -1;
}

/* The last one stays open: a kernel is read in many pieces. */
static int open_file(struct image_trees *t, enum image_tree tree, const char *path)
{
    struct stat status;

    if (t->file >= 0 && t->file_tree == tree && strcmp(t->file_path, path) == 0)
        return 0;
    forget_file(t);
    if (strlen(path) >= sizeof(t->file_path))
        return -ENAMETOOLONG;
    t->file = open_inside(t->directories[tree], path, O_RDONLY | O_NONBLOCK);
    if (t->file < 0)
        return t->file;
    if (fstat(t->file, &status) != 0 || !S_ISREG(status.st_mode)) {
        forget_file(t);
        return -EINVAL;
    }
    t->file_tree = tree;
    memcpy(t->file_path, path, strlen(path) + 1);
    return 0;
}

static ssize_t read_file(void *context, enum image_tree tree, const char *path, uint64_t offset,
                         void *buffer, size_t size)
{
    struct image_trees *t = context;
    int error = open_file(t, tree, path);
    size_t done = 0;

    if (error)
        return error;
    while (done < size) {
        ssize_t got = pread(t->file, (char *)buffer + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static int list_directory(void *context, enum image_tree tree, const char *path,
                          void (*each)(void *argument, const char *name), void *argument)
{
    struct image_trees *t = context;
    int fd = open_inside(t->directories[tree], path, O_RDONLY | O_DIRECTORY);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (fd < 0)
        return fd;
    if (!directory) {
        close(fd);
        return -ENOMEM;
    }
    while ((entry = readdir(directory)) != NULL)
        each(argument, entry->d_name);
    closedir(directory);
    return 0;
}

int image_trees_open(struct image_trees *trees, const char *boot, const char *root,
                     const char **wrong)
{
    const char *names[] = {boot, root};

    *wrong = NULL;
    trees->file = trees->directories[0] = trees->directories[1] = -1;
    for (unsigned i = 0; i < 2; i++) {
        if (!names[i][0])
            continue;
        trees->directories[i] = open(names[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (trees->directories[i] < 0) {
            *wrong = names[i];
            return -errno;
        }
    }
    return 0;
}

void image_trees_close(struct image_trees *trees)
{
    forget_file(trees);
    for (unsigned i = 0; i < 2; i++) {
        if (trees->directories[i] >= 0)
            close(trees->directories[i]);
        trees->directories[i] = -1;
    }
}

struct image_files image_trees_files(struct image_trees *trees)
{
    return (struct image_files){read_file, list_directory, trees};
}

int image_trees_path(struct image_trees *trees, enum image_tree tree, const char *path, char *out,
                     size_t size)
{
    char link[32];
    ssize_t bytes;
    int fd = open_inside(trees->directories[tree], path, O_PATH);

    out[0] = '\0';
    if (fd < 0)
        return fd;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    bytes = readlink(link, out, size);
    close(fd);
    if (bytes < 0 || (size_t)bytes >= size) {
        out[0] = '\0';
        return bytes < 0 ? -errno : -ENAMETOOLONG;
    }
    out[bytes] = '\0';
    return 0;
}

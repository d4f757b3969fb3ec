/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void image_memory_add(struct image_memory *memory, enum image_tree tree, const char *path,
                      const void *data, size_t bytes)
{
    if (memory->count == IMAGE_MEMORY_FILES || path[0] != '/')
        abort();
    memory->files[memory->count].tree = tree;
    memory->files[memory->count].path = path;
    memory->files[memory->count].data = data;
    memory->files[memory->count++].bytes = bytes;
}

void image_memory_add_text(struct image_memory *memory, enum image_tree tree, const char *path,
                           const char *text)
{
    image_memory_add(memory, tree, path, text, strlen(text));
}

static ssize_t read_memory(void *context, enum image_tree tree, const char *path, uint64_t offset,
                           void *buffer, size_t size)
{
    const struct image_memory *m = context;

    for (unsigned i = 0; i < m->count; i++) {
        size_t left = offset < m->files[i].bytes ? m->files[i].bytes - (size_t)offset : 0;
        if (m->files[i].tree != tree || strcmp(m->files[i].path, path) != 0)
            continue;
        if (left > size)
            left = size;
        if (left > 0)
            memcpy(buffer, (const char *)m->files[i].data + offset, left);
        return (ssize_t)left;
    }
    return -ENOENT;
}

/* A directory below comes once for each file in it; nobody minds. */
static int list_memory(void *context, enum image_tree tree, const char *path,
                       void (*each)(void *argument, const char *name), void *argument)
{
    const struct image_memory *m = context;
    size_t bytes = strlen(path);
    int result = -ENOENT;

    while (bytes > 0 && path[bytes - 1] == '/')
        bytes--;
    for (unsigned i = 0; i < m->count; i++) {
        const char *below = m->files[i].path + bytes;
        char name[IMAGE_PATH_BYTES] = "";
        if (m->files[i].tree != tree || strncmp(m->files[i].path, path, bytes) != 0 ||
            below[0] != '/')
            continue;
        result = 0;
        strncat(name, below + 1,
                strcspn(below + 1, "/") < sizeof(name) - 1 ? strcspn(below + 1, "/")
                                                           : sizeof(name) - 1);
        each(argument, name);
    }
    return result;
}

struct image_files image_memory_files(struct image_memory *memory)
{
    return (struct image_files){read_memory, list_memory, memory};
}

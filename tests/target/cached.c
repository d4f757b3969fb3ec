/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For shell scripts: a disk with a volatile write cache (cache_target.h) until
 * it is killed: cached IMAGE ADDRESS PORT back|through SERIAL
 * Prints "ready" once it listens.
 */
#include "cache_target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct cache_target target = {0};
    if (argc != 6) {
        fprintf(stderr, "usage: cached IMAGE ADDRESS PORT back|through SERIAL\n");
        return 2;
    }
    target.image = argv[1];
    target.write_cache = strcmp(argv[4], "back") == 0;
    target.serial = argv[5];
    int listener = cache_target_listen(&target, argv[2], (uint16_t)strtoul(argv[3], NULL, 10));
    if (listener < 0) {
        fprintf(stderr, "%s: %s\n", argv[2], strerror(-listener));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    cache_target_serve(&target, listener);
}

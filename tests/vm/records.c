/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * records DEVICE ACKED COUNT TAG: writes numbered records, one block each, with
 * O_DIRECT, and after each tells in the file ACKED how many the disk has
 * acknowledged. An error ends it: what comes after it was never acknowledged.
 * TAG tells the records of one run from another's. The device is never made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 512

static void put_number(int fd, unsigned number)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%08u\n", number);
    if (pwrite(fd, text, (size_t)length, 0) != length)
        exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: records DEVICE ACKED COUNT TAG\n");
        return 2;
    }
    unsigned count = (unsigned)strtoul(argv[3], NULL, 10);
    int acked = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int disk = open(argv[1], O_WRONLY | O_DIRECT);
    char *block = aligned_alloc(4096, BLOCK_BYTES);
    if (acked < 0 || disk < 0 || !block) {
        fprintf(stderr, "records: %s\n", strerror(errno));
        return 2;
    }
    for (unsigned i = 0; i < count; i++) {
        memset(block, 0, BLOCK_BYTES);
        snprintf(block, BLOCK_BYTES, "record %s %08u", argv[4], i);
        ssize_t done = pwrite(disk, block, BLOCK_BYTES, (off_t)i * BLOCK_BYTES);
        if (done != BLOCK_BYTES) {
            fprintf(stderr, "records: record %u: %s\n", i, done < 0 ? strerror(errno) : "short");
            return 1;
        }
        put_number(acked, i + 1);
    }
    return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * block_load DEVICE read|write|randread|randwrite|bufread|bufwrite BYTES COUNT: as
 * many requests of BYTES, one after the other; past the page cache, but for buf...,
 * where the kernel reads ahead and writes behind, and fsync ends it. Prints the
 * microseconds that they took together. Random places are the same in each run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX (16u << 20)

static int fail(const char *what)
{
    fprintf(stderr, "block_load: %s: %s\n", what, strerror(errno));
    return 1;
}

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "block_load DEVICE MODE BYTES COUNT; MODE is read, write, randread, "
                        "randwrite, bufread or bufwrite\n");
        return 2;
    }
    bool random = strncmp(argv[2], "rand", 4) == 0;
    bool buffered = strncmp(argv[2], "buf", 3) == 0;
    bool write = strstr(argv[2], "write") != NULL;
    size_t bytes = strtoul(argv[3], NULL, 10);
    unsigned long count = strtoul(argv[4], NULL, 10);
    int fd = open(argv[1], (write ? O_WRONLY : O_RDONLY) | (buffered ? 0 : O_DIRECT) | O_CLOEXEC);
    if (fd < 0)
        return fail(argv[1]);
    off_t size = lseek(fd, 0, SEEK_END);
    void *buffer = NULL;
    if (bytes < 512 || bytes > BYTES_MAX || size < (off_t)bytes ||
        posix_memalign(&buffer, 4096, bytes) != 0) {
        errno = EINVAL;
        return fail("BYTES");
    }
    uint64_t places = (uint64_t)size / bytes, state = 1;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)next_random(&state);
    uint64_t began_us = now_us();
    for (unsigned long i = 0; i < count; i++) {
        off_t at = (off_t)((random ? next_random(&state) : i) % places * bytes);
        ssize_t n = write ? pwrite(fd, buffer, bytes, at) : pread(fd, buffer, bytes, at);
        if (n != (ssize_t)bytes)
            return fail(write ? "write" : "read");
    }
    if (buffered && write && fsync(fd) < 0)
        return fail("fsync");
    printf("%llu\n", (unsigned long long)(now_us() - began_us));
    free(buffer);
    return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unpacks a gzip file (RFC 1952) of any size in 40 KB of memory, from a source to
 * a sink. Pure. Its checksum is not looked at: who loads what was unpacked lets
 * gunzip do that.
 */
#ifndef LUNSTICK_BOOT_INFLATE_H
#define LUNSTICK_BOOT_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define INFLATE_WINDOW_BYTES 32768 /* RFC 1951, 3.2.5 */
#define INFLATE_INPUT_BYTES  4096
#define INFLATE_FAST_BITS    9
#define INFLATE_CODE_BITS    15 /* the longest code, RFC 1951, 3.2.7 */

/* A Huffman code, RFC 1951, 3.2.2. */
struct inflate_code {
    uint16_t fast[1 << INFLATE_FAST_BITS];  /* symbol << 4 | bits, by the next input; 0: longer */
    uint16_t counts[INFLATE_CODE_BITS + 1]; /* of codes, by their bits */
    uint16_t symbols[288];                  /* by their codes */
};

struct inflate {
    /* The next bytes of the packed data: their number, 0 at the end, or -errno. */
    ssize_t (*source)(void *context, uint8_t *buffer, size_t size);
    /* Takes unpacked data; false: that was enough. */
    bool (*sink)(void *context, const uint8_t *data, size_t bytes);
    void *context;

    /* the rest is inflate's own */
    uint8_t input[INFLATE_INPUT_BYTES];
    size_t input_bytes, input_at;
    uint32_t bits; /* taken out of the input, not used yet */
    unsigned bits_count;
    int error;
    uint8_t window[INFLATE_WINDOW_BYTES];
    size_t window_at;
    bool window_full; /* went round once */
    struct inflate_code literals, distances;
};

/* Unpacks all of it, its first member if there are several. 0; -ECANCELED if the
 * sink had enough; -EBADMSG: the data are damaged or not gzip; -ENODATA: they end
 * too early; or what the source said. */
int inflate_gzip(struct inflate *i);

#endif

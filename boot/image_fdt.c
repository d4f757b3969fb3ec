/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_fdt.h"

#include <string.h>

enum { BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4, END = 9 };

/* Offsets of the header's fields. */
enum { MAGIC = 0, TOTAL_SIZE = 4, STRUCT = 8, STRINGS = 12, STRINGS_SIZE = 32, STRUCT_SIZE = 36 };
#define HEADER_BYTES 40

static uint32_t be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

struct block {
    uint8_t *data;
    size_t bytes;
};

static bool take_block(uint8_t *fdt, size_t bytes, unsigned at, unsigned size, struct block *block)
{
    size_t from = be32(fdt + at);

    block->data = fdt + from;
    block->bytes = be32(fdt + size);
    return from <= bytes && block->bytes <= bytes - from;
}

static bool is_seed(const struct block *strings, uint32_t name)
{
    static const char seed[] = "kaslr-seed";

    return name <= strings->bytes && strings->bytes - name >= sizeof(seed) &&
           memcmp(strings->data + name, seed, sizeof(seed)) == 0;
}

/* How many bytes a token takes, itself included; 0: it is none. */
static size_t token_bytes(const uint8_t *token, size_t left)
{
    const uint8_t *end;

    switch (be32(token)) {
    case BEGIN_NODE:
        end = memchr(token + 4, '\0', left - 4);
        return end ? (size_t)(end - token) + 1 : 0;
    case PROP:
        return left >= 12 && be32(token + 4) <= left - 12 ? 12 + (size_t)be32(token + 4) : 0;
    case END_NODE:
    case NOP:
        return 4;
    default:
        return 0;
    }
}

bool image_fdt_wipe_seed(uint8_t *fdt, size_t bytes)
{
    struct block tokens, strings;
    size_t at = 0;

    if (bytes < HEADER_BYTES || be32(fdt + MAGIC) != 0xd00dfeed || be32(fdt + TOTAL_SIZE) > bytes ||
        !take_block(fdt, bytes, STRUCT, STRUCT_SIZE, &tokens) ||
        !take_block(fdt, bytes, STRINGS, STRINGS_SIZE, &strings))
        return false;
    while (tokens.bytes - at >= 4 && be32(tokens.data + at) != END) {
        uint8_t *token = tokens.data + at;
        size_t took = token_bytes(token, tokens.bytes - at);
        if (took == 0)
            return false;
        if (be32(token) == PROP && is_seed(&strings, be32(token + 8)))
            memset(token + 12, 0, took - 12);
        took = (took + 3) & ~(size_t)3;
        if (took > tokens.bytes - at)
            return false;
        at += took;
    }
    return tokens.bytes - at >= 4;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "inflate.h"

#include <errno.h>
#include <string.h>

/* ---- input; an error is kept in i->error, and what is read is then 0 ---- */

static void fail(struct inflate *i, int error)
{
    if (i->error == 0)
        i->error = error;
}

static unsigned next_byte(struct inflate *i)
{
    if (i->input_at == i->input_bytes && i->error == 0) {
        ssize_t got = i->source(i->context, i->input, sizeof(i->input));
        i->input_at = 0;
        i->input_bytes = got > 0 ? (size_t)got : 0;
        if (got <= 0)
            fail(i, got < 0 ? (int)got : -ENODATA);
    }
    return i->error == 0 ? i->input[i->input_at++] : 0;
}

/* Makes at least `count` (at most 16) bits available, the first one lowest. Behind
 * the end of the input stand zeros, which may be looked at but not taken. */
static void want_bits(struct inflate *i, unsigned count)
{
    while (i->bits_count < count) {
        i->bits |= (uint32_t)next_byte(i) << i->bits_count;
        i->bits_count += 8;
    }
}

static unsigned take_bits(struct inflate *i, unsigned count)
{
    unsigned value;

    want_bits(i, count);
    value = i->bits & ((1u << count) - 1);
    i->bits >>= count;
    i->bits_count -= count;
    return value;
}

/* ---- output ---- */

static void put_byte(struct inflate *i, unsigned byte)
{
    i->window[i->window_at++] = (uint8_t)byte;
    if (i->window_at == sizeof(i->window)) {
        i->window_at = 0;
        i->window_full = true;
        if (!i->sink(i->context, i->window, sizeof(i->window)))
            fail(i, -ECANCELED);
    }
}

static void put_copy(struct inflate *i, unsigned distance, unsigned bytes)
{
    if (distance > i->window_at && !i->window_full) {
        fail(i, -EBADMSG);
        return;
    }
    while (bytes-- > 0 && i->error == 0)
        put_byte(i, i->window[(i->window_at - distance) % INFLATE_WINDOW_BYTES]);
}

/* ---- codes ---- */

/* From the number of bits of each symbol, 0: not used. False: more codes than such
 * lengths leave room for, or fewer, but that one code alone is allowed. */
static bool make_code(struct inflate_code *code, const uint8_t *lengths, unsigned count)
{
    uint16_t next[INFLATE_CODE_BITS + 2] = {0}; /* place among the symbols, by bits */
    unsigned value = 0;                         /* of the next code */
    unsigned used;
    int room = 1;

    memset(code, 0, sizeof(*code));
    for (unsigned s = 0; s < count; s++)
        code->counts[lengths[s]]++;
    used = count - code->counts[0];
    code->counts[0] = 0;
    for (unsigned bits = 1; bits <= INFLATE_CODE_BITS; bits++) {
        room = room * 2 - code->counts[bits];
        if (room < 0)
            return false;
        next[bits + 1] = (uint16_t)(next[bits] + code->counts[bits]);
    }
    for (unsigned s = 0; s < count; s++)
        if (lengths[s] > 0)
            code->symbols[next[lengths[s]]++] = (uint16_t)s;

    /* `next` now holds the ends; codes count up, and their first bit comes first */
    for (unsigned bits = 1, s = 0; bits <= INFLATE_FAST_BITS; bits++, value <<= 1) {
        for (unsigned n = 0; n < code->counts[bits]; n++, s++, value++) {
            unsigned reversed = 0;
            for (unsigned b = 0; b < bits; b++)
                reversed |= (value >> b & 1) << (bits - 1 - b);
            for (; reversed < 1 << INFLATE_FAST_BITS; reversed += 1u << bits)
                code->fast[reversed] = (uint16_t)((unsigned)code->symbols[s] << 4 | bits);
        }
    }
    return room == 0 || used <= 1;
}

static unsigned take_symbol_slowly(struct inflate *i, const struct inflate_code *code)
{
    unsigned value = 0; /* of the bits so far */
    unsigned first = 0; /* the first code of so many bits */
    unsigned place = 0; /* of its symbol */

    for (unsigned bits = 1; bits <= INFLATE_CODE_BITS; bits++) {
        value |= take_bits(i, 1);
        if (value - first < code->counts[bits])
            return code->symbols[place + value - first];
        place += code->counts[bits];
        first = (first + code->counts[bits]) << 1;
        value <<= 1;
    }
    fail(i, -EBADMSG);
    return 0;
}

static unsigned take_symbol(struct inflate *i, const struct inflate_code *code)
{
    unsigned entry;

    /* near the end of the input there may be less than a look-up wants */
    while (i->bits_count < INFLATE_FAST_BITS && i->input_at < i->input_bytes)
        want_bits(i, i->bits_count + 1);
    if (i->bits_count < INFLATE_FAST_BITS)
        return take_symbol_slowly(i, code);
    entry = code->fast[i->bits & ((1u << INFLATE_FAST_BITS) - 1)];
    if (entry == 0)
        return take_symbol_slowly(i, code);
    i->bits >>= entry & 15;
    i->bits_count -= entry & 15;
    return entry >> 4;
}

/* ---- blocks (RFC 1951, 3.2.3 to 3.2.7) ---- */

static void stored_block(struct inflate *i)
{
    unsigned bytes;
    unsigned inverted;

    i->bits >>= i->bits_count % 8;
    i->bits_count -= i->bits_count % 8;
    bytes = take_bits(i, 16);
    inverted = take_bits(i, 16);
    if (bytes != (~inverted & 0xffff))
        fail(i, -EBADMSG);
    while (bytes-- > 0 && i->error == 0)
        put_byte(i, take_bits(i, 8));
}

static void compressed_block(struct inflate *i)
{
    static const uint16_t length_base[] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                           15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                           67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                          2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distance_base[] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

    while (i->error == 0) {
        unsigned symbol = take_symbol(i, &i->literals);
        unsigned bytes;
        unsigned distance;

        if (i->error != 0 || symbol == 256)
            return;
        if (symbol < 256) {
            put_byte(i, symbol);
            continue;
        }
        symbol -= 257;
        if (symbol >= sizeof(length_bits)) {
            fail(i, -EBADMSG);
            return;
        }
        bytes = length_base[symbol] + take_bits(i, length_bits[symbol]);
        symbol = take_symbol(i, &i->distances);
        if (symbol >= sizeof(distance_base) / sizeof(distance_base[0])) {
            fail(i, -EBADMSG);
            return;
        }
        distance = distance_base[symbol] + take_bits(i, symbol < 4 ? 0 : symbol / 2 - 1);
        put_copy(i, distance, bytes);
    }
}

static void make_fixed_codes(struct inflate *i)
{
    uint8_t lengths[288];

    for (unsigned s = 0; s < 288; s++)
        lengths[s] = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
    make_code(&i->literals, lengths, 288);
    memset(lengths, 5, 32);
    make_code(&i->distances, lengths, 32);
}

/* The lengths of both codes, themselves in a code. */
static bool read_lengths(struct inflate *i, uint8_t *lengths, unsigned count)
{
    unsigned n = 0;

    while (n < count && i->error == 0) {
        unsigned symbol = take_symbol(i, &i->literals);
        unsigned repeat = 1;
        uint8_t length = (uint8_t)symbol;

        if (symbol >= 16) {
            length = symbol == 16 && n > 0 ? lengths[n - 1] : 0;
            if (symbol == 16 && n == 0)
                return false;
            repeat = symbol == 16   ? 3 + take_bits(i, 2)
                     : symbol == 17 ? 3 + take_bits(i, 3)
                                    : 11 + take_bits(i, 7);
        }
        if (repeat > count - n)
            return false;
        memset(lengths + n, length, repeat);
        n += repeat;
    }
    return true;
}

static bool read_codes(struct inflate *i)
{
    static const uint8_t order[] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                    11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[288 + 32] = {0};
    unsigned literals = 257 + take_bits(i, 5);
    unsigned distances = 1 + take_bits(i, 5);
    unsigned count = 4 + take_bits(i, 4);

    for (unsigned n = 0; n < count; n++)
        lengths[order[n]] = (uint8_t)take_bits(i, 3);
    if (literals > 286 || !make_code(&i->literals, lengths, sizeof(order)))
        return false;
    memset(lengths, 0, sizeof(lengths));
    return read_lengths(i, lengths, literals + distances) && lengths[256] > 0 &&
           make_code(&i->literals, lengths, literals) &&
           make_code(&i->distances, lengths + literals, distances);
}

static void blocks(struct inflate *i)
{
    bool last = false;

    while (!last && i->error == 0) {
        unsigned type;

        last = take_bits(i, 1);
        type = take_bits(i, 2);
        if (type == 0) {
            stored_block(i);
            continue;
        }
        if (type == 1)
            make_fixed_codes(i);
        else if (type == 3 || !read_codes(i))
            fail(i, -EBADMSG);
        compressed_block(i);
    }
}

/* ---- the file (RFC 1952, 2.3) ---- */

static void skip_text(struct inflate *i)
{
    while (next_byte(i) != 0 && i->error == 0)
        ;
}

static void header(struct inflate *i)
{
    enum { HCRC = 2, EXTRA = 4, NAME = 8, COMMENT = 16 };
    unsigned magic = next_byte(i);
    unsigned flags;

    magic |= next_byte(i) << 8;
    magic |= next_byte(i) << 16;
    if (magic != 0x088b1f)
        fail(i, -EBADMSG);
    flags = next_byte(i);
    for (unsigned n = 0; n < 6; n++)
        next_byte(i);
    if (flags & EXTRA) {
        unsigned bytes = next_byte(i);
        bytes |= next_byte(i) << 8;
        while (bytes-- > 0 && i->error == 0)
            next_byte(i);
    }
    if (flags & NAME)
        skip_text(i);
    if (flags & COMMENT)
        skip_text(i);
    if (flags & HCRC) {
        next_byte(i);
        next_byte(i);
    }
}

int inflate_gzip(struct inflate *i)
{
    i->input_bytes = i->input_at = 0;
    i->bits = 0;
    i->bits_count = 0;
    i->error = 0;
    i->window_at = 0;
    i->window_full = false;
    header(i);
    blocks(i);
    if ((i->error == 0 || i->error == -ENODATA) && i->window_at > 0 &&
        !i->sink(i->context, i->window, i->window_at))
        i->error = -ECANCELED;
    return i->error;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "board.h"

#include "bridge/bytes.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- SHA-256, FIPS 180-4 ---- */

struct sha256 {
    uint32_t state[8];
    uint8_t block[64];
    uint64_t length_bytes;
};

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

static void sha256_block(struct sha256 *h)
{
    uint32_t w[64], s[8];

    for (unsigned i = 0; i < 16; i++)
        w[i] = get_be32(h->block + (size_t)4 * i);
    for (unsigned i = 16; i < 64; i++)
        w[i] = w[i - 16] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
               (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, h->state, sizeof(s));
    for (unsigned i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) +
                      ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha256_k[i] + w[i];
        uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) +
                      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(s[0]));
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        h->state[i] += s[i];
}

static void sha256_byte(struct sha256 *h, uint8_t byte)
{
    h->block[h->length_bytes++ % 64] = byte;
    if (h->length_bytes % 64 == 0)
        sha256_block(h);
}

static void sha256_end(struct sha256 *h)
{
    uint64_t bits = h->length_bytes * 8;

    sha256_byte(h, 0x80);
    while (h->length_bytes % 64 != 56)
        sha256_byte(h, 0);
    for (int shift = 56; shift >= 0; shift -= 8)
        sha256_byte(h, (uint8_t)(bits >> shift));
}

void board_hash(char *out, unsigned digits, const char *const *parts)
{
    struct sha256 h = {.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};

    for (; *parts; parts++) {
        for (const char *c = *parts;; c++) {
            sha256_byte(&h, (uint8_t)*c);
            if (!*c)
                break;
        }
    }
    sha256_end(&h);
    for (unsigned i = 0; i < digits && i < 64; i++)
        out[i] = "0123456789abcdef"[h.state[i / 8] >> (28 - 4 * (i % 8)) & 0xf];
    out[digits < 64 ? digits : 64] = 0;
}

/* ---- the board ---- */

/* The first line of a small file without its end; false if there is none. */
static bool first_line(const char *root, const char *path, char *line, size_t size)
{
    char full[512];
    ssize_t got;
    int fd;

    if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
        return false;
    fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    got = read(fd, line, size - 1);
    close(fd);
    if (got <= 0)
        return false;
    line[got] = 0;
    line[strcspn(line, "\r\n")] = 0;
    return line[0] != 0;
}

/* machine-id(5): "uninitialized" while the first boot goes on. */
static bool machine_id(const char *root, char *line, size_t size)
{
    return first_line(root, "/etc/machine-id", line, size) &&
           strspn(line, "0123456789abcdef") == 32 && !line[32];
}

/* The lowest of the addresses that the hardware brought (addr_assign_type 0). */
static bool lowest_mac(const char *root, char *line, size_t size)
{
    char dir[512], path[512], address[32], type[16];
    struct dirent *entry;
    DIR *net;

    line[0] = 0;
    snprintf(dir, sizeof(dir), "%s/sys/class/net", root);
    net = opendir(dir);
    if (!net)
        return false;
    while ((entry = readdir(net)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/sys/class/net/%.64s/addr_assign_type", entry->d_name);
        if (!first_line(root, path, type, sizeof(type)) || strcmp(type, "0") != 0)
            continue;
        snprintf(path, sizeof(path), "/sys/class/net/%.64s/address", entry->d_name);
        if (!first_line(root, path, address, sizeof(address)) ||
            !strcmp(address, "00:00:00:00:00:00") || strlen(address) >= size)
            continue;
        if (!line[0] || strcmp(address, line) < 0)
            memcpy(line, address, strlen(address) + 1);
    }
    closedir(net);
    return line[0] != 0;
}

bool board_id(char id[BOARD_ID_BYTES], const char *root)
{
    char line[128] = "";
    bool found =
        first_line(root, "/sys/firmware/devicetree/base/serial-number", line, sizeof(line)) ||
        machine_id(root, line, sizeof(line)) || lowest_mac(root, line, sizeof(line));

    board_hash(id, BOARD_ID_BYTES - 1, (const char *[]){"lunstick board", found ? line : "", NULL});
    return found;
}

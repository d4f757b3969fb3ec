/* SPDX-License-Identifier: BSD-2-Clause */
#include "guard.h"

#include <string.h>

/* A mark ends each block of a buffer, and the buffer itself. */
#define BLOCK_BYTES 512u
#define MARK_BYTES  sizeof(uint64_t)

static size_t total_bytes(const struct iovec *iov, int count)
{
    size_t total = 0;

    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    return total;
}

/* The end of the mark after `end`, at most the buffer's. */
static size_t next_end(size_t end, size_t buffer_bytes)
{
    size_t next = end + BLOCK_BYTES;

    return next < buffer_bytes ? next : buffer_bytes;
}

void guard_lay(const struct iovec *iov, int count, uint64_t mark)
{
    bool clear = total_bytes(iov, count) < GUARD_CLEAR_BYTES;

    for (int i = 0; i < count; i++) {
        uint8_t *base = iov[i].iov_base;
        size_t end = 0;
        if (clear)
            memset(base, 0, iov[i].iov_len);
        while (end < iov[i].iov_len) {
            size_t begin = end;
            end = next_end(end, iov[i].iov_len);
            if (end - begin >= MARK_BYTES)
                memcpy(base + end - MARK_BYTES, &mark, MARK_BYTES);
        }
    }
}

bool guard_overwritten(const struct iovec *iov, int count, uint64_t mark, uint32_t valid_bytes)
{
    size_t left = valid_bytes;

    for (int i = 0; i < count && left > 0; i++) {
        const uint8_t *base = iov[i].iov_base;
        size_t end = 0;
        while (end < iov[i].iov_len) {
            size_t begin = end;
            end = next_end(end, iov[i].iov_len);
            if (end > left)
                break;
            if (end - begin >= MARK_BYTES) {
                uint64_t found;
                memcpy(&found, base + end - MARK_BYTES, MARK_BYTES);
                if (found == mark)
                    return false;
            }
        }
        left -= left < iov[i].iov_len ? left : iov[i].iov_len;
    }
    return true;
}

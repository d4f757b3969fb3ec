/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unzstd <PACKED >UNPACKED: busybox has none, and an image's kernel may have its
 * modules so packed, or be so itself. Exit status 1, with a line, if the input is
 * damaged or cut off.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <zstd.h>

static char in_buffer[1 << 17];
static char out_buffer[1 << 17];

static int fail(const char *why)
{
    dprintf(STDERR_FILENO, "unzstd: %s\n", why);
    return 1;
}

static bool write_all(const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = write(STDOUT_FILENO, data, bytes);
        if (wrote < 0)
            return false;
        data += wrote;
        bytes -= (size_t)wrote;
    }
    return true;
}

int main(void)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    size_t left = 1; /* 0: a frame has ended, or nothing began */
    ssize_t got;

    if (!stream)
        return fail("out of memory");
    while ((got = read(STDIN_FILENO, in_buffer, sizeof(in_buffer))) != 0) {
        ZSTD_inBuffer in = {in_buffer, (size_t)got, 0};
        ZSTD_outBuffer out = {out_buffer, sizeof(out_buffer), 0};
        if (got < 0)
            return fail(strerror(errno));
        /* a full buffer: more may be waiting, but for at the end of a frame */
        while (in.pos < in.size || (left != 0 && out.pos == sizeof(out_buffer))) {
            out.pos = 0;
            left = ZSTD_decompressStream(stream, &out, &in);
            if (ZSTD_isError(left))
                return fail(ZSTD_getErrorName(left));
            if (!write_all(out_buffer, out.pos))
                return fail(strerror(errno));
        }
    }
    return left == 0 ? 0 : fail("the input is cut off");
}

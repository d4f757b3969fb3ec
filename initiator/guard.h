/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Proof that data-in came. libiscsi does not count the bytes of a Data-In
 * sequence: a target that answers GOOD and sends fewer would have the host
 * read what the buffer held before. So each buffer gets marks before it is lent,
 * and none may be left in what the target calls valid.
 */
#ifndef LUNSTICK_INITIATOR_GUARD_H
#define LUNSTICK_INITIATOR_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* Buffers shorter than this are cleared as well: their answers end anywhere. */
#define GUARD_CLEAR_BYTES 4096

/* `mark` is another one with each command, and not to be guessed: data that
 * hold it by chance in the right eight bytes (2^-64 a block) would be taken for
 * missing ones. */
void guard_lay(const struct iovec *iov, int count, uint64_t mark);
/* False if a mark is left in the first `valid_bytes`. */
bool guard_overwritten(const struct iovec *iov, int count, uint64_t mark, uint32_t valid_bytes);

#endif

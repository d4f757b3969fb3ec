/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines and words of the small text files that a boot loader reads. */
#ifndef LUNSTICK_BOOT_IMAGE_TEXT_H
#define LUNSTICK_BOOT_IMAGE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Part of a text, not terminated. */
struct text_span {
    const char *text;
    size_t bytes;
};

/* The next line of *at, which moves behind it, without blanks around and without
 * a carriage return; false at the end of the text. */
bool text_line(const char **at, struct text_span *line);

/* Takes the first word off *rest, and the blanks behind it; empty if there is none. */
struct text_span text_word(struct text_span *rest);

bool text_is(struct text_span span, const char *word);
bool text_is_any_case(struct text_span span, const char *word);
bool text_starts(struct text_span span, const char *word);

/* An unsigned number, decimal or 0x...; false if it is none, or over 32 bits. */
bool text_number(struct text_span span, unsigned long *number);

/* Terminated, and with bytes of value 0 behind; false if it is too long: then `to`
 * is empty. */
bool text_copy(struct text_span span, char *to, size_t size);

#endif

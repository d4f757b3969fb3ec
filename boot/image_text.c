/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_text.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static struct text_span strip(struct text_span span)
{
    while (span.bytes > 0 && is_blank(span.text[0])) {
        span.text++;
        span.bytes--;
    }
    while (span.bytes > 0 && is_blank(span.text[span.bytes - 1]))
        span.bytes--;
    return span;
}

bool text_line(const char **at, struct text_span *line)
{
    size_t bytes = strcspn(*at, "\n");

    if (**at == '\0')
        return false;
    *line = strip((struct text_span){*at, bytes});
    *at += bytes + ((*at)[bytes] == '\n');
    return true;
}

struct text_span text_word(struct text_span *rest)
{
    struct text_span from = strip(*rest);
    struct text_span word = {from.text, 0};

    while (word.bytes < from.bytes && !is_blank(from.text[word.bytes]))
        word.bytes++;
    *rest = strip((struct text_span){from.text + word.bytes, from.bytes - word.bytes});
    return word;
}

bool text_is(struct text_span span, const char *word)
{
    return span.bytes == strlen(word) && memcmp(span.text, word, span.bytes) == 0;
}

bool text_is_any_case(struct text_span span, const char *word)
{
    return span.bytes == strlen(word) && strncasecmp(span.text, word, span.bytes) == 0;
}

bool text_starts(struct text_span span, const char *word)
{
    return span.bytes >= strlen(word) && memcmp(span.text, word, strlen(word)) == 0;
}

bool text_number(struct text_span span, unsigned long *number)
{
    bool hexadecimal = text_starts(span, "0x") || text_starts(span, "0X");
    const char *allowed = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789";
    const char *digits;
    char text[24];
    unsigned long long value;

    if (!text_copy(span, text, sizeof(text)))
        return false;
    digits = text + (hexadecimal ? 2 : 0);
    if (digits[0] == '\0' || digits[strspn(digits, allowed)] != '\0')
        return false;
    value = strtoull(digits, NULL, hexadecimal ? 16 : 10);
    *number = (unsigned long)value;
    return value <= UINT32_MAX;
}

bool text_copy(struct text_span span, char *to, size_t size)
{
    bool fits = span.bytes < size;

    memset(to, 0, size);
    if (fits)
        memcpy(to, span.text, span.bytes);
    return fits;
}

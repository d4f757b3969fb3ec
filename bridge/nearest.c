/* SPDX-License-Identifier: BSD-2-Clause */
#include "nearest.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 40

/* Insertions, deletions, replacements and swaps of neighbours that make `b` of
 * `a`, whatever the case; WORD_MAX for words that are too long to be meant. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t a_length = strlen(a), b_length = strlen(b);

    if (a_length > WORD_MAX || b_length > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        int ca = tolower((unsigned char)a[i - 1]);
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            int cb = tolower((unsigned char)b[j - 1]);
            size_t best = above[j - 1] + (ca != cb);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]) && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[a_length % 3][b_length];
}

const char *nearest_word(const char *word, const char *const *words)
{
    size_t length = strlen(word);
    size_t best = length < 6 ? 3 : 4; /* this far is too far */
    const char *nearest = NULL;

    for (; *words; words++) {
        size_t d = edit_distance(word, *words);
        if (d < best && d < length) {
            best = d;
            nearest = *words;
        }
        /* The beginning of a word is near, but not as near as a slip. */
        if (!nearest && length >= 3 && !strncasecmp(word, *words, length))
            nearest = *words;
    }
    return nearest;
}

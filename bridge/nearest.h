/* SPDX-License-Identifier: BSD-2-Clause */
/* "Did you mean": keys, verbs, options and values that a user misspelt. */
#ifndef LUNSTICK_BRIDGE_NEAREST_H
#define LUNSTICK_BRIDGE_NEAREST_H

/* The word of `words` (NULL-terminated) that `word` was probably meant to be,
 * by edit distance, whatever the case; NULL if none is near. */
const char *nearest_word(const char *word, const char *const *words);

#endif

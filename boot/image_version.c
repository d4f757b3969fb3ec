/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_version.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int sign(int difference)
{
    return (difference > 0) - (difference < 0);
}

/* The numbers at *a and *b, of any length; moves both behind them. No digit is 0. */
static int compare_numbers(const char **a, const char **b)
{
    size_t a_digits = 0;
    size_t b_digits = 0;
    int order;

    while (**a == '0')
        (*a)++;
    while (**b == '0')
        (*b)++;
    while (is_digit((*a)[a_digits]))
        a_digits++;
    while (is_digit((*b)[b_digits]))
        b_digits++;
    order = a_digits != b_digits ? (a_digits > b_digits ? 1 : -1) : strncmp(*a, *b, a_digits);
    *a += a_digits;
    *b += b_digits;
    return sign(order);
}

/* ---- the Version Format Specification ---- */

static const char *skip_separators(const char *text)
{
    while (*text != '\0' && !is_digit(*text) && !is_letter(*text) && !strchr("-.~^", *text))
        text++;
    return text;
}

/* The letters at *a and *b, capital ones first; moves both behind them. */
static int compare_letters(const char **a, const char **b)
{
    while (is_letter(**a) && **a == **b) {
        (*a)++;
        (*b)++;
    }
    if (is_letter(**a) && is_letter(**b))
        return sign(**a - **b);
    return is_letter(**a) - is_letter(**b);
}

int image_version_compare(const char *a, const char *b)
{
    /* What it means that one of the two goes on with the character, and the other
     * does not. The tilde comes before the end of the text: 6.1~rc1 is older than
     * 6.1. */
    static const struct {
        char character;
        int order;
    } specials[] = {{'~', -1}, {'\0', -1}, {'-', -1}, {'^', 1}, {'.', -1}};
    int order = 0;

    while (order == 0) {
        a = skip_separators(a);
        b = skip_separators(b);
        for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
            char special = specials[i].character;
            if (*a != special && *b != special)
                continue;
            if (*a != *b)
                return *a == special ? specials[i].order : -specials[i].order;
            if (special == '\0')
                return 0;
            a++;
            b++;
        }
        if (is_digit(*a) || is_digit(*b))
            order = compare_numbers(&a, &b);
        else
            order = compare_letters(&a, &b);
    }
    return order;
}

/* ---- Debian's ---- */

/* The weight of what is not a digit: a tilde before the end, letters before the
 * rest. */
static int weight(const char *text)
{
    if (*text == '~' || (strncmp(text, "-rc", 3) == 0 && is_digit(text[3])))
        return -1;
    if (*text == '\0' || is_digit(*text))
        return 0;
    return is_letter(*text) ? *text : (unsigned char)*text + 256;
}

int image_version_compare_debian(const char *a, const char *b)
{
    int order = 0;

    while (order == 0 && (*a != '\0' || *b != '\0')) {
        while ((*a != '\0' && !is_digit(*a)) || (*b != '\0' && !is_digit(*b))) {
            order = weight(a) - weight(b);
            if (order != 0)
                return sign(order);
            a++;
            b++;
        }
        order = compare_numbers(&a, &b);
    }
    return order;
}

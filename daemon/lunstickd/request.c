/* SPDX-License-Identifier: BSD-2-Clause */
#include "request.h"

#include <stdio.h>
#include <string.h>

#define LUNS_MAX 16

static const struct verb {
    const char *name;
    enum request_verb verb;
    const char *words; /* that may follow: j json, l lun N, f force, r read-only,
                        * t take-over, u URL */
} verbs[] = {
    {"status", REQUEST_STATUS, "j"},     {"eject", REQUEST_EJECT, "lf"},
    {"insert", REQUEST_INSERT, "lfrtu"}, {"plug", REQUEST_PLUG, ""},
    {"unplug", REQUEST_UNPLUG, ""},      {"unmap", REQUEST_UNMAP, ""},
};

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; name && i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

/* "0" to "15"; -1 otherwise. */
static int lun_number(const char *word)
{
    size_t length = word ? strlen(word) : 0;
    int number = 0;

    if (length < 1 || length > 2 || strspn(word, "0123456789") != length)
        return -1;
    for (size_t i = 0; i < length; i++)
        number = number * 10 + (word[i] - '0');
    return number < LUNS_MAX ? number : -1;
}

/* One word behind the verb, and the number behind "lun". */
static bool take_word(struct request *request, const char *word, char **rest)
{
    if (strcmp(word, "json") == 0)
        request->json = true;
    else if (strcmp(word, "force") == 0)
        request->force = true;
    else if (strcmp(word, "read-only") == 0)
        request->read_only = true;
    else if (strcmp(word, "take-over") == 0)
        request->take_over = true;
    else if (strcmp(word, "lun") == 0)
        return (request->lun = lun_number(strtok_r(NULL, " ", rest))) >= 0;
    else if (request->url)
        return false;
    else
        request->url = word;
    return true;
}

static char letter_of(const char *word)
{
    static const char *const words[] = {"json", "lun", "force", "read-only", "take-over"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(word, words[i]) == 0)
            return words[i][0];
    return 'u';
}

bool request_parse(struct request *request, char *line, char *why, size_t size)
{
    char *rest = NULL;
    const char *word = strtok_r(line, " ", &rest);
    const struct verb *verb = find_verb(word);

    memset(request, 0, sizeof(*request));
    request->lun = REQUEST_ANY_LUN;
    if (!verb) {
        snprintf(why, size, "there is no such request; are lunstick and lunstickd of one version?");
        return false;
    }
    request->verb = verb->verb;
    while ((word = strtok_r(NULL, " ", &rest)) != NULL) {
        if (!strchr(verb->words, letter_of(word)) || !take_word(request, word, &rest)) {
            snprintf(why, size, "%s: \"%.64s\" is not understood", verb->name, word);
            return false;
        }
    }
    return true;
}

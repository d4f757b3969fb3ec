/* SPDX-License-Identifier: BSD-2-Clause */
/* lunstick eject, insert, plug, unplug: the daemon does it, and says what to tell. */
#include "daemon/lunstickd/control.h"
#include "verbs.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_SECONDS CONTROL_LATER_SECONDS

/* "STATUS SENTENCE\n" from the daemon. */
static int pass_on(const char *program, char *answer)
{
    int status = answer[0] - '0';

    answer[strcspn(answer, "\n")] = 0;
    if (status < CLI_OK || status > CLI_WRONG || answer[1] != ' ')
        return cli_fail(program, CLI_TRANSIENT,
                        "the daemon does not know this; restart it, it is of another version");
    if (status != CLI_OK)
        return cli_fail(program, status, "%s", answer + 2);
    puts(answer + 2);
    return CLI_OK;
}

static int request(const char *program, const char *name, const char *question)
{
    char answer[CONTROL_REQUEST_BYTES];
    ssize_t got = cli_ask(name, question, ANSWER_SECONDS, answer, sizeof(answer));

    return got < 0 ? cli_explain(program, name, (int)-got) : pass_on(program, answer);
}

static bool is_number(const char *word)
{
    size_t length = strlen(word);

    return length > 0 && length <= 2 && strspn(word, "0123456789") == length;
}

/* eject and insert. */
static int change_medium(int argc, char **argv, const char *verb, bool inserts)
{
    const char *name = NULL, *lun = NULL, *url = NULL;
    bool force = false, read_only = false, take_over = false;
    const struct cli_flag flags[] = {
        {.name = "force", .set = &force},
        {.name = "lun", .value = &lun},
        {.name = inserts ? "read-only" : NULL, .set = &read_only},
        {.name = "take-over", .set = &take_over},
        {.name = NULL},
    };
    struct address address;
    char question[CONTROL_REQUEST_BYTES], why[ADDRESS_WHY_BYTES];

    if (!cli_args(argc, argv, flags, &name, inserts ? &url : NULL))
        return CLI_WRONG;
    if (lun && !is_number(lun))
        return cli_fail(argv[0], CLI_WRONG, "--lun %s is no number; lunstick status shows them",
                        lun);
    if (url && !address_parse(url, &address, why))
        return cli_fail(argv[0], CLI_WRONG, "%s", why);
    int length =
        snprintf(question, sizeof(question), "%s%s%s%s%s%s%s%s\n", verb, lun ? " lun " : "",
                 lun ? lun : "", force ? " force" : "", read_only ? " read-only" : "",
                 take_over ? " take-over" : "", url ? " " : "", url ? url : "");
    if (length < 0 || (size_t)length >= sizeof(question))
        return cli_fail(argv[0], CLI_WRONG, "the address is too long");
    return request(argv[0], name, question);
}

/* plug and unplug. */
static int change_cable(int argc, char **argv, const char *question)
{
    static const struct cli_flag flags[] = {{.name = NULL}};
    const char *name = NULL;

    if (!cli_args(argc, argv, flags, &name, NULL))
        return CLI_WRONG;
    return request(argv[0], name, question);
}

int cli_eject(int argc, char **argv)
{
    return change_medium(argc, argv, "eject", false);
}

int cli_insert(int argc, char **argv)
{
    return change_medium(argc, argv, "insert", true);
}

int cli_plug(int argc, char **argv)
{
    return change_cable(argc, argv, "plug\n");
}

int cli_unplug(int argc, char **argv)
{
    return change_cable(argc, argv, "unplug\n");
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three texts, a line each: the builder's words (also tried as a root path), the
 * kernel command line, an image's command line. What is printed for the image's
 * kernel is read again as the same structure, and never cut.
 */
#include "boot/cmdline.h"
#include "boot/root_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Longer than all our words together. */
#define OURS_BYTES 8192

static struct cmdline none, builder, line, image, again;
static struct cmdline_problems problems;

static void check(int good)
{
    if (!good)
        abort();
}

static void check_line(const char *text, size_t bytes)
{
    check(text[0] != '\0' && memchr(text, '\0', bytes) != NULL);
    for (; *text != '\0'; text++)
        check(*text >= ' ' && *text <= '~');
}

static void parse(const char *text, const struct cmdline *defaults, struct cmdline *cmdline)
{
    memset(cmdline, 0xa5, sizeof(*cmdline));
    memset(&problems, 0xa5, sizeof(problems));
    check(cmdline_parse(text, defaults, cmdline, &problems) == (problems.count == 0));
    check(problems.count <= CMDLINE_PROBLEMS_MAX);
    check(problems.more == 0 || problems.count == CMDLINE_PROBLEMS_MAX);
    for (unsigned i = 0; i < problems.count; i++)
        check_line(problems.lines[i], sizeof(problems.lines[i]));
    check(cmdline->targets.count <= CMDLINE_TARGETS_MAX);
    check(cmdline->lun >= -1 && cmdline->lun <= 16383);
    check(cmdline->timeout_s >= 1 && cmdline->vlan <= 4094);
    check((cmdline->portal.host[0] == '\0') == (cmdline->portal.port == 0));
    check(cmdline->ip.prefix_bits >= 0 && cmdline->ip.prefix_bits <= 128);
}

static void check_root_path(const char *text)
{
    struct address address;
    struct address found;
    char why[ADDRESS_WHY_BYTES];
    char formatted[ADDRESS_TEXT_BYTES];

    memset(&address, 0xa5, sizeof(address));
    if (!root_path_parse(text, &address, why)) {
        check(why[0] != '\0' && memchr(why, '\0', sizeof(why)) != NULL);
        return;
    }
    check(address.iqn[0] != '\0' && address.port != 0 && address.lun >= 0 && address.lun <= 16383);
    check(cmdline_address(&none, &none, 0, &address, "tftp", &found) ==
          (address.host[0] != '\0' ? CMDLINE_PORTAL_ROOT_PATH : CMDLINE_PORTAL_TFTP));
    address_format(&found, formatted, sizeof(formatted));
    check(address_parse(formatted, &address, why));
    check(memcmp(&address, &found, sizeof(address)) == 0);
}

/* Every target that has a portal has a URL. */
static void check_addresses(void)
{
    struct address address;
    struct address same;
    char why[ADDRESS_WHY_BYTES];
    char text[ADDRESS_TEXT_BYTES];

    for (unsigned i = 0; i < line.targets.count; i++) {
        check(cmdline_address(&line, &builder, i, NULL, "192.0.2.9", &address) !=
              CMDLINE_PORTAL_UNKNOWN);
        address_format(&address, text, sizeof(text));
        check(address_parse(text, &same, why));
        check(memcmp(&same, &address, sizeof(same)) == 0);
    }
}

static void check_for_image(const char *text)
{
    size_t room = OURS_BYTES + strlen(text);
    char *out = malloc(room);
    char *exact;
    int bytes;

    check(out != NULL);
    check(cmdline_for_image(&line, &builder, "", out, room) >= 0);
    parse(out, &builder, &again);
    check(problems.count == 0);

    bytes = cmdline_for_image(&line, &builder, text, out, room);
    check(bytes >= 0 && strlen(out) == (size_t)bytes);
    parse(out, &builder, &again);
    parse(text, &builder, &image);
    memcpy(&line.kernel, &image.kernel, sizeof(line.kernel));
    check(memcmp(&line, &again, sizeof(line)) == 0);

    exact = malloc((size_t)bytes + 1);
    check(exact != NULL);
    check(cmdline_for_image(&line, &builder, text, exact, (size_t)bytes + 1) == bytes);
    check(memcmp(exact, out, (size_t)bytes + 1) == 0);
    check(cmdline_for_image(&line, &builder, text, exact, (size_t)bytes) == -E2BIG);
    check(bytes == 0 || exact[0] == '\0');
    free(exact);
    free(out);
}

/* The text up to the end of its line; *rest is what follows. */
static char *cut_line(char *text, char **rest)
{
    *rest = text + strcspn(text, "\n");
    if (**rest != '\0')
        *(*rest)++ = '\0';
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    char *rest;

    check(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    cmdline_init(&none);
    check_root_path(cut_line(text, &rest));
    parse(text, &none, &builder);
    parse(cut_line(rest, &rest), &builder, &line);
    check_addresses();
    check_for_image(rest);
    free(text);
    return 0;
}

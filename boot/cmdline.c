/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table of words; everything that is known about a word (its type, where its
 * value goes, what is allowed) is one line of it.
 */
#include "cmdline.h"

#include "bridge/nearest.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS_MAX 128
/* Longer than every value that is allowed. */
#define VALUE_BYTES 512
#define NAME_BYTES  64

enum row_type {
    ROW_TEXT,
    ROW_CHOICE, /* the index among the words */
    ROW_NUMBER,
    ROW_FLAG, /* no value: becomes `min` */
    ROW_PORTAL,
    ROW_TARGET,
    ROW_ROOT,
    ROW_KERNEL_ROOT,
    ROW_IP,
};

struct row {
    const char *name;
    enum row_type type;
    size_t offset, bytes;             /* of the member of struct cmdline */
    int min, max;                     /* ROW_NUMBER */
    bool (*valid)(const char *value); /* ROW_TEXT */
    bool hidden;                      /* its value may hold a secret: not repeated */
    const char *const *words;         /* ROW_CHOICE; an empty one cannot be given */
    const char *allowed;              /* for people */
};

static const char *const modes[] = {"", "pivot_root", "kexec", "usb-disk", NULL};
static const char *const overlays[] = {"none", "tmpfs", NULL};
static const char *const on_failures[] = {"retry", "shell", "reboot", "next-target", NULL};

_Static_assert(sizeof(enum cmdline_mode) == sizeof(int), "ROW_CHOICE writes an int");
_Static_assert(sizeof(enum cmdline_overlay) == sizeof(int), "ROW_CHOICE writes an int");
_Static_assert(sizeof(enum cmdline_on_failure) == sizeof(int), "ROW_CHOICE writes an int");
_Static_assert(sizeof(enum cmdline_access) == sizeof(int), "ROW_FLAG writes an int");

static bool text_valid(const char *value)
{
    return value[0] != '\0';
}

static bool path_valid(const char *path)
{
    return path[0] == '/';
}

/* What a URL can hold (address.h); `:` and `%` begin a secret there. */
static bool user_valid(const char *user)
{
    return strpbrk(user, ":%@/? ") == NULL;
}

#define AT(member) offsetof(struct cmdline, member), sizeof(((struct cmdline *)0)->member)

static const struct row rows[] = {
    {"scsipub.mode", ROW_CHOICE, AT(mode), .words = modes,
     .allowed = "pivot_root, kexec, usb-disk"},
    {"scsipub.iqn", ROW_TARGET, AT(targets),
     .allowed = "an iqn., eui. or naa. name of at most 223 characters"},
    {"lunstick.portal", ROW_PORTAL, AT(portal), .hidden = true,
     .allowed = "host[:port], an IPv6 address in brackets"},
    {"lunstick.lun", ROW_NUMBER, AT(lun), .min = 0, .max = 16383, .allowed = "0 to 16383"},
    {"lunstick.user", ROW_TEXT, AT(user), .valid = user_valid, .hidden = true,
     .allowed = "a CHAP name of at most 255 characters without blanks and :%@/?; the secret "
                "stands in lunstick.secret-file="},
    {"lunstick.secret-file", ROW_TEXT, AT(secret_file), .valid = path_valid, .hidden = true,
     .allowed = "an absolute path of at most 255 characters"},
    {"lunstick.root", ROW_ROOT, AT(root),
     .allowed = "LABEL=, UUID=, PARTUUID= or the partition's number, 1 to 128"},
    {"lunstick.overlay", ROW_CHOICE, AT(overlay), .words = overlays, .allowed = "tmpfs, none"},
    {"lunstick.iface", ROW_TEXT, AT(interface), .valid = cmdline_interface_valid,
     .allowed = "an interface's name, as eth0"},
    {"lunstick.ip", ROW_IP, AT(ip),
     .allowed = "dhcp, any, on, off, none or client:server:gateway:netmask:hostname:device:"
                "autoconf:dns0:dns1"},
    {"lunstick.vlan", ROW_NUMBER, AT(vlan), .min = 1, .max = 4094, .allowed = "1 to 4094"},
    {"lunstick.timeout", ROW_NUMBER, AT(timeout_s), .min = 1, .max = 86400,
     .allowed = "1 to 86400 (seconds)"},
    {"lunstick.on-failure", ROW_CHOICE, AT(on_failure), .words = on_failures,
     .allowed = "retry, shell, reboot, next-target"},
    /* The kernel's; they are never put into a command line. */
    {"root", ROW_KERNEL_ROOT, AT(kernel.root), .allowed = "at most 255 characters"},
    {"ro", ROW_FLAG, AT(kernel.access), .min = CMDLINE_READ_ONLY},
    {"rw", ROW_FLAG, AT(kernel.access), .min = CMDLINE_READ_WRITE},
    {"rootfstype", ROW_TEXT, AT(kernel.type), .valid = text_valid,
     .allowed = "at most 63 characters"},
    {"rootflags", ROW_TEXT, AT(kernel.flags), .valid = text_valid,
     .allowed = "at most 255 characters"},
    {"init", ROW_TEXT, AT(kernel.init), .valid = text_valid, .allowed = "at most 255 characters"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* ---- the kernel's words (its next_arg()) ---- */

struct part {
    const char *text;
    size_t bytes;
};

struct word {
    struct part whole; /* as it stands there, quotes and all */
    struct part name;
    struct part value;
    bool has_value;
};

/* As the kernel has it: a no-break space of Latin-1 is one, too. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (unsigned char)c == 0xa0;
}

/*
 * The next word of *at, which moves behind it; false: there is none. A quote may
 * open and close anywhere and holds blanks; it is taken away where it is the
 * first of the word or of the value, and with it one at the very end.
 */
static bool next_word(const char **at, struct word *word)
{
    const char *text = *at;
    size_t equals = 0;
    size_t value;
    size_t end;
    size_t bytes;
    bool quoted;
    bool open;

    while (is_blank(*text))
        text++;
    if (*text == '\0')
        return false;
    word->whole.text = text;
    quoted = open = *text == '"';
    text += quoted;
    for (bytes = 0; text[bytes] != '\0' && (open || !is_blank(text[bytes])); bytes++) {
        if (equals == 0 && text[bytes] == '=')
            equals = bytes;
        if (text[bytes] == '"')
            open = !open;
    }
    *at = text + bytes;
    word->whole.bytes = (size_t)(*at - word->whole.text);
    word->has_value = equals > 0;
    value = equals + 1;
    if (word->has_value && value < bytes && text[value] == '"') {
        value++;
        quoted = true;
    }
    end = quoted && bytes > 0 && text[bytes - 1] == '"' ? bytes - 1 : bytes;
    word->name = (struct part){text, word->has_value ? equals : end};
    word->value = (struct part){text + value, word->has_value && end > value ? end - value : 0};
    return true;
}

static bool name_is(struct part name, const char *text, size_t bytes)
{
    if (name.bytes < bytes)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        char a = name.text[i] == '-' ? '_' : name.text[i];
        char b = text[i] == '-' ? '_' : text[i];
        if (a != b)
            return false;
    }
    return true;
}

static const struct row *find_row(struct part name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (name.bytes == strlen(rows[i].name) && name_is(name, rows[i].name, name.bytes))
            return &rows[i];
    return NULL;
}

/* Where the name of one of our words goes on behind the prefix; 0: not ours. */
static size_t our_prefix(struct part name)
{
    static const char *const prefixes[] = {"scsipub.", "lunstick."};

    for (size_t i = 0; i < 2; i++)
        if (name_is(name, prefixes[i], strlen(prefixes[i])))
            return strlen(prefixes[i]);
    return 0;
}

static bool row_is_ours(const struct row *row)
{
    return strchr(row->name, '.') != NULL;
}

static bool ends_ours(const struct word *word)
{
    return !word->has_value && word->name.bytes == 2 && memcmp(word->name.text, "--", 2) == 0;
}

/* ---- problems ---- */

struct parser {
    struct cmdline *cmdline;
    struct cmdline_problems *problems;
    bool has_targets; /* of this text: the defaults' are gone */
};

__attribute__((format(printf, 2, 3))) static void tell(struct parser *p, const char *format, ...)
{
    struct cmdline_problems *problems = p->problems;
    char *line;
    va_list args;

    if (problems->count == CMDLINE_PROBLEMS_MAX) {
        problems->more++;
        return;
    }
    line = problems->lines[problems->count++];
    va_start(args, format);
    vsnprintf(line, CMDLINE_PROBLEM_BYTES, format, args);
    va_end(args);
    for (; *line != '\0'; line++)
        if (*line < ' ' || *line > '~')
            *line = '?';
}

/* Always false. */
static bool refuse(struct parser *p, const struct row *row, const char *value, const char *why)
{
    const char *nearest = row->words != NULL ? nearest_word(value, row->words) : NULL;

    tell(p, "%s=%.48s%s%s%s; allowed: %s%s%s%s", row->name, row->hidden ? "" : value,
         row->hidden || strlen(value) <= 48 ? "" : "...", why[0] != '\0' ? ": " : "", why,
         row->allowed, nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
         nearest != NULL ? "?" : "");
    return false;
}

/* By what follows the prefix: the other prefix is a slip, too. */
static void refuse_unknown(struct parser *p, struct part name, size_t prefix)
{
    const char *endings[ROWS + 1];
    char ending[NAME_BYTES];
    char list[CMDLINE_PROBLEM_BYTES] = "";
    const char *nearest;
    unsigned ours = 0;
    size_t used = 0;

    for (; ours < ROWS && row_is_ours(&rows[ours]); ours++)
        endings[ours] = strchr(rows[ours].name, '.') + 1;
    endings[ours] = NULL;
    snprintf(ending, sizeof(ending), "%.*s",
             (int)(name.bytes - prefix < NAME_BYTES ? name.bytes - prefix : NAME_BYTES),
             name.text + prefix);
    nearest = nearest_word(ending, endings);
    for (unsigned i = 0; i < ours; i++) {
        if (nearest != NULL && nearest != endings[i])
            continue;
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used > 0 ? ", " : "",
                                 rows[i].name);
    }
    tell(p, "unknown word %.*s; %s%s%s", (int)(name.bytes > 48 ? 48 : name.bytes), name.text,
         nearest != NULL ? "did you mean " : "known: ", list, nearest != NULL ? "?" : "");
}

/* ---- values ---- */

/* All of it is written, for who compares structures. */
static void set_text(char *member, size_t bytes, const char *value)
{
    memset(member, 0, bytes);
    memcpy(member, value, strlen(value) + 1);
}

/* Digits only; -1 if it is none from min to max. */
static int number(const char *text, int min, int max)
{
    long value;

    if (text[0] == '\0' || strlen(text) > 8 || text[strspn(text, "0123456789")] != '\0')
        return -1;
    value = strtol(text, NULL, 10);
    return value >= min && value <= max ? (int)value : -1;
}

static bool read_choice(struct parser *p, const struct row *row, const char *value, int *member)
{
    for (int i = 0; row->words[i] != NULL; i++) {
        if (strcmp(value, row->words[i]) == 0) {
            *member = i;
            return true;
        }
    }
    return refuse(p, row, value, "");
}

static bool read_number(struct parser *p, const struct row *row, const char *value, int *member)
{
    int read = number(value, row->min, row->max);

    if (read < 0)
        return refuse(p, row, value, "");
    *member = read;
    return true;
}

static bool read_text(struct parser *p, const struct row *row, const char *value, char *member)
{
    if (strlen(value) >= row->bytes || !row->valid(value))
        return refuse(p, row, value, "");
    set_text(member, row->bytes, value);
    return true;
}

static bool read_portal(struct parser *p, const struct row *row, const char *value)
{
    struct cmdline *c = p->cmdline;
    char why[ADDRESS_WHY_BYTES];
    struct address address;

    if (!address_parse_portal(value, &address, why))
        return refuse(p, row, value, why);
    memcpy(c->portal.host, address.host, sizeof(c->portal.host));
    c->portal.port = address.port;
    return true;
}

static bool read_target(struct parser *p, const struct row *row, const char *value)
{
    struct cmdline *c = p->cmdline;
    char why[ADDRESS_WHY_BYTES];
    struct address address;

    if (!address_parse_target(value, &address, why))
        return refuse(p, row, value, why);
    if (!p->has_targets) {
        memset(&c->targets, 0, sizeof(c->targets));
        p->has_targets = true;
    }
    if (c->targets.count == CMDLINE_TARGETS_MAX)
        return refuse(p, row, value, "one target too many; at most 8 are tried");
    memcpy(c->targets.names[c->targets.count++], address.iqn, sizeof(address.iqn));
    return true;
}

/* UUIDs and what FAT and MBR disks have in their place. */
static bool id_valid(const char *id)
{
    return id[strspn(id, "0123456789abcdefABCDEF-")] == '\0';
}

static const struct {
    const char *prefix;
    enum cmdline_root_by by;
    bool (*valid)(const char *name);
    bool kernel; /* in root= alone */
} root_forms[] = {
    {"LABEL=", CMDLINE_ROOT_LABEL, text_valid, false},
    {"UUID=", CMDLINE_ROOT_UUID, id_valid, false},
    {"PARTUUID=", CMDLINE_ROOT_PARTUUID, id_valid, false},
    {"/dev/disk/by-label/", CMDLINE_ROOT_LABEL, text_valid, true},
    {"/dev/disk/by-uuid/", CMDLINE_ROOT_UUID, id_valid, true},
    {"/dev/disk/by-partuuid/", CMDLINE_ROOT_PARTUUID, id_valid, true},
};

#define ROOT_FORMS (sizeof(root_forms) / sizeof(root_forms[0]))

static bool read_root_form(const char *value, bool kernel, struct cmdline_root *root)
{
    for (size_t i = 0; i < ROOT_FORMS; i++) {
        const char *name = value + strlen(root_forms[i].prefix);
        if (strncmp(value, root_forms[i].prefix, strlen(root_forms[i].prefix)) == 0 &&
            (kernel || !root_forms[i].kernel) && name[0] != '\0' && root_forms[i].valid(name) &&
            strlen(name) < sizeof(root->name)) {
            root->by = root_forms[i].by;
            set_text(root->name, sizeof(root->name), name);
            return true;
        }
    }
    return false;
}

/* /dev/sda2, /dev/mmcblk0p2: 2. /dev/mmcblk0: 0. */
static int partition_of(const char *device)
{
    static const char *const letters[] = {"sd", "vd", "hd", "xvd"};
    const char *name = device + strlen("/dev/");
    size_t bytes;
    int partition;

    if (strncmp(device, "/dev/", strlen("/dev/")) != 0)
        return 0;
    for (bytes = strlen(name); bytes > 0 && isdigit((unsigned char)name[bytes - 1]);)
        bytes--;
    partition = number(name + bytes, 1, PARTITIONS_MAX);
    if (partition < 0)
        return 0;
    if (bytes > 1 && name[bytes - 1] == 'p' && isdigit((unsigned char)name[bytes - 2]))
        return partition;
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++)
        if (strncmp(name, letters[i], strlen(letters[i])) == 0 && bytes > strlen(letters[i]) &&
            strspn(name, "abcdefghijklmnopqrstuvwxyz") == bytes)
            return partition;
    return 0;
}

static bool read_root(struct parser *p, const struct row *row, const char *value,
                      struct cmdline_root *member)
{
    bool kernel = row->type == ROW_KERNEL_ROOT;
    struct cmdline_root root;

    memset(&root, 0, sizeof(root));
    if (!read_root_form(value, kernel, &root)) {
        root.number = kernel ? partition_of(value) : number(value, 1, PARTITIONS_MAX);
        root.by = kernel ? CMDLINE_ROOT_OTHER : CMDLINE_ROOT_NUMBER;
        if (root.number < 0 || strlen(value) >= sizeof(root.name))
            return refuse(p, row, value, "");
        if (kernel)
            set_text(root.name, sizeof(root.name), value);
    }
    memcpy(member, &root, sizeof(root));
    return true;
}

static bool read_ip(struct parser *p, const struct row *row, const char *value)
{
    char why[CMDLINE_IP_WHY_BYTES];

    return cmdline_ip_parse(value, &p->cmdline->ip, p->cmdline->interface, why) ||
           refuse(p, row, value, why);
}

/* One value whose word is known. */
static bool read_value(struct parser *p, const struct row *row, const char *value)
{
    void *member = (char *)p->cmdline + row->offset;

    for (const char *c = value; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c) || (*c == '"' && row_is_ours(row)))
            return refuse(p, row, value, "a control character or a quotation mark in it");
    switch (row->type) {
    case ROW_TEXT:
        return read_text(p, row, value, member);
    case ROW_CHOICE:
        return read_choice(p, row, value, member);
    case ROW_NUMBER:
        return read_number(p, row, value, member);
    case ROW_FLAG:
        return true; /* with a value it is another program's */
    case ROW_PORTAL:
        return read_portal(p, row, value);
    case ROW_TARGET:
        return read_target(p, row, value);
    case ROW_ROOT:
    case ROW_KERNEL_ROOT:
        return read_root(p, row, value, member);
    case ROW_IP:
        return read_ip(p, row, value);
    }
    return false;
}

static void read_word(struct parser *p, const struct word *word)
{
    const struct row *row = find_row(word->name);
    char value[VALUE_BYTES];

    if (row == NULL) {
        size_t prefix = our_prefix(word->name);
        if (prefix > 0)
            refuse_unknown(p, word->name, prefix);
    } else if (row->type == ROW_FLAG) {
        if (!word->has_value)
            memcpy((char *)p->cmdline + row->offset, &row->min, sizeof(row->min));
    } else if (word->value.bytes == 0) {
        if (row_is_ours(row))
            refuse(p, row, "", "it has no value");
    } else if (word->value.bytes >= sizeof(value)) {
        snprintf(value, sizeof(value), "%.64s", word->value.text);
        refuse(p, row, value, "too long");
    } else {
        memcpy(value, word->value.text, word->value.bytes);
        value[word->value.bytes] = '\0';
        read_value(p, row, value);
    }
}

void cmdline_init(struct cmdline *cmdline)
{
    memset(cmdline, 0, sizeof(*cmdline));
    cmdline->lun = -1;
    cmdline->timeout_s = CMDLINE_TIMEOUT_S;
}

bool cmdline_parse(const char *text, const struct cmdline *defaults, struct cmdline *cmdline,
                   struct cmdline_problems *problems)
{
    struct parser p = {.cmdline = cmdline, .problems = problems};
    struct word word;

    memcpy(cmdline, defaults, sizeof(*cmdline));
    memset(problems, 0, sizeof(*problems));
    while (next_word(&text, &word) && !ends_ours(&word))
        read_word(&p, &word);
    return problems->count == 0;
}

/* ---- where the target is ---- */

static enum cmdline_portal_from find_portal(const struct cmdline *cmdline,
                                            const struct cmdline *defaults,
                                            const struct address *root_path,
                                            const char *tftp_server, struct address *address)
{
    if (cmdline->portal.host[0] != '\0') {
        memcpy(address->host, cmdline->portal.host, sizeof(address->host));
        address->port = cmdline->portal.port;
        return memcmp(&cmdline->portal, &defaults->portal, sizeof(cmdline->portal)) == 0
                   ? CMDLINE_PORTAL_BUILDER
                   : CMDLINE_PORTAL_WORD;
    }
    if (root_path != NULL && root_path->host[0] != '\0') {
        memcpy(address->host, root_path->host, sizeof(address->host));
        address->port = root_path->port;
        return CMDLINE_PORTAL_ROOT_PATH;
    }
    address->port = ADDRESS_DEFAULT_PORT;
    if (tftp_server == NULL || tftp_server[0] == '\0' ||
        strlen(tftp_server) >= sizeof(address->host))
        return CMDLINE_PORTAL_UNKNOWN;
    set_text(address->host, sizeof(address->host), tftp_server);
    return CMDLINE_PORTAL_TFTP;
}

void cmdline_set_target(struct cmdline *cmdline, const struct address *address)
{
    memset(&cmdline->targets, 0, sizeof(cmdline->targets));
    cmdline->targets.count = 1;
    memcpy(cmdline->targets.names[0], address->iqn, sizeof(address->iqn));
    memset(&cmdline->portal, 0, sizeof(cmdline->portal));
    memcpy(cmdline->portal.host, address->host, sizeof(address->host));
    cmdline->portal.port = address->port;
    cmdline->lun = address->lun;
}

enum cmdline_portal_from cmdline_address(const struct cmdline *cmdline,
                                         const struct cmdline *defaults, unsigned target,
                                         const struct address *root_path, const char *tftp_server,
                                         struct address *address)
{
    memset(address, 0, sizeof(*address));
    if (target < cmdline->targets.count)
        memcpy(address->iqn, cmdline->targets.names[target], sizeof(address->iqn));
    else if (target == 0 && root_path != NULL)
        memcpy(address->iqn, root_path->iqn, sizeof(address->iqn));
    if (cmdline->lun >= 0)
        address->lun = cmdline->lun;
    else if (root_path != NULL && strcmp(address->iqn, root_path->iqn) == 0)
        address->lun = root_path->lun;
    memcpy(address->user, cmdline->user, sizeof(address->user));
    return find_portal(cmdline, defaults, root_path, tftp_server, address);
}

/* ---- the other way round ---- */

struct writer {
    char *out;
    size_t size, used;
    bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
    size_t room = w->size - w->used;
    va_list args;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(w->out + w->used, room, format, args);
    va_end(args);
    if (bytes < 0 || (size_t)bytes >= room)
        w->full = true;
    else
        w->used += (size_t)bytes;
}

static void put_word(struct writer *w, const char *name, const char *value)
{
    const char *quote = "";

    for (const char *c = value; *c != '\0'; c++)
        if (is_blank(*c))
            quote = "\"";
    put(w, "%s%s=%s%s%s", w->used > 0 ? " " : "", name, quote, value, quote);
}

static void put_portal(struct writer *w, const char *name, const struct cmdline *c)
{
    bool ipv6 = strchr(c->portal.host, ':') != NULL;
    char value[sizeof(c->portal.host) + 16];

    if (c->portal.host[0] == '\0')
        return;
    snprintf(value, sizeof(value), "%s%s%s:%u", ipv6 ? "[" : "", c->portal.host, ipv6 ? "]" : "",
             c->portal.port);
    put_word(w, name, value);
}

static void put_root(struct writer *w, const char *name, const struct cmdline_root *root)
{
    char value[CMDLINE_TEXT_BYTES + 32];

    if (root->by == CMDLINE_ROOT_NUMBER) {
        snprintf(value, sizeof(value), "%d", root->number);
        put_word(w, name, value);
        return;
    }
    for (size_t i = 0; i < ROOT_FORMS; i++) {
        if (root_forms[i].by == root->by) {
            snprintf(value, sizeof(value), "%s%s", root_forms[i].prefix, root->name);
            put_word(w, name, value);
            return;
        }
    }
}

static void put_row(struct writer *w, const struct row *row, const struct cmdline *c)
{
    const void *member = (const char *)c + row->offset;
    char text[CMDLINE_IP_TEXT_BYTES];
    int value;

    switch (row->type) {
    case ROW_TEXT:
        if (*(const char *)member != '\0')
            put_word(w, row->name, member);
        break;
    case ROW_CHOICE:
        memcpy(&value, member, sizeof(value));
        if (row->words[value][0] != '\0')
            put_word(w, row->name, row->words[value]);
        break;
    case ROW_NUMBER:
        memcpy(&value, member, sizeof(value));
        snprintf(text, sizeof(text), "%d", value);
        if (value >= row->min)
            put_word(w, row->name, text);
        break;
    case ROW_PORTAL:
        put_portal(w, row->name, c);
        break;
    case ROW_TARGET:
        for (unsigned i = 0; i < c->targets.count; i++)
            put_word(w, row->name, c->targets.names[i]);
        break;
    case ROW_ROOT:
        put_root(w, row->name, member);
        break;
    case ROW_IP:
        cmdline_ip_format(&c->ip, text);
        put_word(w, row->name, text);
        break;
    case ROW_FLAG:
    case ROW_KERNEL_ROOT:
        break;
    }
}

/* The image's words as they stand there; ours come first, so that neither a
 * quote that is never closed nor `--` can take them away. */
static void put_image(struct writer *w, const char *image)
{
    static const char nr_cpus[] = "nr_cpus";
    bool ours = true; /* or, behind `--`, init's */
    struct word word;

    while (next_word(&image, &word) && !w->full) {
        ours = ours && !ends_ours(&word);
        if (ours && (our_prefix(word.name) > 0 || (word.name.bytes == strlen(nr_cpus) &&
                                                   name_is(word.name, nr_cpus, word.name.bytes))))
            continue;
        put(w, "%s%.*s", w->used > 0 ? " " : "", (int)word.whole.bytes, word.whole.text);
    }
}

int cmdline_for_image(const struct cmdline *cmdline, const struct cmdline *defaults,
                      const char *image, char *out, size_t size)
{
    struct writer w = {.out = out, .size = size};

    if (size == 0)
        return -E2BIG;
    out[0] = '\0';
    for (size_t i = 0; i < ROWS && row_is_ours(&rows[i]); i++)
        if (memcmp((const char *)cmdline + rows[i].offset, (const char *)defaults + rows[i].offset,
                   rows[i].bytes) != 0)
            put_row(&w, &rows[i], cmdline);
    put_image(&w, image);
    if (w.full) {
        out[0] = '\0';
        return -E2BIG;
    }
    return (int)w.used;
}

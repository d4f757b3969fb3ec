/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table of keys; everything that is known about a key (its type, where the
 * value goes, what is allowed) is one line of it.
 */
#include "config.h"

#include "board.h"
#include "bridge/nearest.h"

#include <libconfig.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

/* No configuration of this program comes near it. */
#define CONFIG_TEXT_MAX_BYTES 65536

enum key_type {
    KEY_BOOL,
    KEY_CHOICE, /* a truth value, into an enum config_choice */
    KEY_NUMBER,
    KEY_TEXT,
    KEY_WORD,
    KEY_HOST,
    KEY_URL,
    KEY_LUNS,
};

struct key {
    const char *name;
    enum key_type type;
    size_t offset;                    /* into the structure that its scope fills */
    long long min, max, step;         /* KEY_NUMBER; KEY_TEXT: max is the size of the array */
    bool zero;                        /* KEY_NUMBER: 0, too, although it is below min */
    bool (*valid)(const char *value); /* KEY_TEXT */
    const char *const *words;         /* KEY_WORD: the value is the index */
    const char *allowed;              /* for people */
};

static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const short_ins[] = {"packet", "halt", NULL};
static const char *const accesses[] = {"shared", "exclusive", NULL};
static const char *const fronts[] = {"usb", "nbd", NULL};
static const char *const reinserts[] = {"on-demand", "never", "after", NULL};

static bool all_of(const char *s, const char *set)
{
    return *s && strspn(s, set) == strlen(s);
}

bool config_name_valid(const char *name)
{
    return all_of(name, "abcdefghijklmnopqrstuvwxyz0123456789-") &&
           strlen(name) < CONFIG_NAME_BYTES;
}

static bool udc_valid(const char *udc)
{
    return *udc && !strchr(udc, '/') && strcmp(udc, ".") != 0 && strcmp(udc, "..") != 0;
}

static bool path_valid(const char *path)
{
    return path[0] == '/';
}

static bool user_valid(const char *user)
{
    return all_of(user, "abcdefghijklmnopqrstuvwxyz0123456789_-") && *user != '-';
}

static bool text_valid(const char *text)
{
    return *text != 0;
}

/* RFC 7143 4.2.7.1, in the lower case that 4.2.7.2 makes of it. */
static bool initiator_name_valid(const char *name)
{
    return (!strncmp(name, "iqn.", 4) || !strncmp(name, "eui.", 4) || !strncmp(name, "naa.", 4)) &&
           all_of(name, "abcdefghijklmnopqrstuvwxyz0123456789.:-") && name[4];
}

static bool serial_valid(const char *serial)
{
    return all_of(serial, "0123456789abcdefABCDEF") && strlen(serial) >= 12;
}

#define AT(scope, member)   .offset = offsetof(scope, member)
#define TEXT(scope, member) .type = KEY_TEXT, AT(scope, member), .max = sizeof(((scope *)0)->member)

static const struct key daemon_keys[] = {
    {"name", TEXT(struct daemon_config, name), .valid = config_name_valid,
     .allowed = "1 to 32 of a-z, 0-9 and -"},
    {"front", KEY_WORD, AT(struct daemon_config, front), .words = fronts,
     .allowed = "\"usb\" or \"nbd\""},
    {"udc", TEXT(struct daemon_config, udc), .valid = udc_valid,
     .allowed = "a name of /sys/class/udc"},
    {"once", KEY_BOOL, AT(struct daemon_config, once), .allowed = "true or false"},
    {"early", KEY_BOOL, AT(struct daemon_config, early), .allowed = "true or false"},
    {"initiator_name", TEXT(struct daemon_config, initiator_name), .valid = initiator_name_valid,
     .allowed = "an iSCSI name in lower case: iqn., eui. or naa., at most 223 characters"},
    {"serial", TEXT(struct daemon_config, serial), .valid = serial_valid,
     .allowed = "12 to 32 hexadecimal digits"},
    {"scheme", TEXT(struct daemon_config, scheme_path), .valid = path_valid,
     .allowed = "an absolute path"},
    {"user", TEXT(struct daemon_config, user), .valid = user_valid,
     .allowed = "a user's name of at most 32 characters"},
    {"host", KEY_HOST, AT(struct daemon_config, host)},
    {"answer_within_ms", KEY_NUMBER, AT(struct daemon_config, answer_within_ms), .zero = true,
     .min = 500, .max = 20000, .step = 1, .allowed = "0 (as the host needs it) or 500 to 20000"},
    {"segment_bytes", KEY_NUMBER, AT(struct daemon_config, segment_bytes), .min = 4096,
     .max = POOL_SLICE_BYTES, .step = 4096, .allowed = "4096 to 65536, a multiple of 4096"},
    {"login_timeout_ms", KEY_NUMBER, AT(struct daemon_config, login_timeout_ms), .min = 500,
     .max = 60000, .step = 1, .allowed = "500 to 60000"},
    {"keepalive_ms", KEY_NUMBER, AT(struct daemon_config, keepalive_ms), .min = 500, .max = 60000,
     .step = 1, .allowed = "500 to 60000"},
    {"backoff_max_ms", KEY_NUMBER, AT(struct daemon_config, backoff_max_ms), .min = 100,
     .max = 600000, .step = 1, .allowed = "100 to 600000"},
    {"log_level", KEY_WORD, AT(struct daemon_config, log_level), .words = log_levels,
     .allowed = "\"error\", \"warning\", \"info\" or \"debug\""},
    {"short_in", KEY_WORD, AT(struct daemon_config, short_in), .words = short_ins,
     .allowed = "\"packet\" or \"halt\""},
    {"luns", KEY_LUNS, .allowed = "a list of groups: ( { url = \"iscsi://...\"; }, ... )"},
    {NULL, .allowed = NULL},
};

/* At the top they are the defaults of all LUNs. */
static const struct key lun_keys[] = {
    {"url", KEY_URL, AT(struct config_lun, address),
     .allowed = "iscsi://[user@]host[:port]/iqn/lun"},
    {"read_only", KEY_BOOL, AT(struct config_lun, read_only), .allowed = "true or false"},
    {"removable", KEY_BOOL, AT(struct config_lun, removable), .allowed = "true or false"},
    {"header_digest", KEY_BOOL, AT(struct config_lun, header_digest), .allowed = "true or false"},
    {"secret_file", TEXT(struct config_lun, secret_file), .valid = path_valid,
     .allowed = "an absolute path"},
    {"target_user", TEXT(struct config_lun, target_user), .valid = text_valid,
     .allowed = "1 to 255 characters"},
    {"target_secret_file", TEXT(struct config_lun, target_secret_file), .valid = path_valid,
     .allowed = "an absolute path"},
    {"reinsert", KEY_WORD, AT(struct config_lun, reinsert), .words = reinserts,
     .allowed = "\"on-demand\", \"never\" or \"after\""},
    {"reinsert_after", KEY_NUMBER, AT(struct config_lun, reinsert_after_s), .min = 1, .max = 86400,
     .step = 1, .allowed = "1 to 86400 (seconds)"},
    {"give_up_after", KEY_NUMBER, AT(struct config_lun, give_up_after_s), .min = 0, .max = 86400,
     .step = 1, .allowed = "0 (never) to 86400 (seconds)"},
    {"cdrom", KEY_BOOL, AT(struct config_lun, cdrom), .allowed = "true or false"},
    {"continuity", KEY_BOOL, AT(struct config_lun, continuity), .allowed = "true or false"},
    {"access", KEY_WORD, AT(struct config_lun, access), .words = accesses,
     .allowed = "\"shared\" or \"exclusive\""},
    {"ephemeral", KEY_CHOICE, AT(struct config_lun, ephemeral), .allowed = "true or false"},
    {NULL, .allowed = NULL},
};

#define KEYS_MAX (sizeof(daemon_keys) / sizeof(struct key) + sizeof(lun_keys) / sizeof(struct key))

/* ---- words ---- */

static bool word_index(const char *word, const char *const *words, unsigned *index)
{
    for (*index = 0; words[*index]; ++*index) {
        if (!strcmp(word, words[*index]))
            return true;
    }
    return false;
}

bool config_front(const char *word, enum config_front *front)
{
    unsigned index;

    if (!word_index(word, fronts, &index))
        return false;
    *front = (enum config_front)index;
    return true;
}

bool config_log_level(const char *word, enum lun_log_level *level)
{
    unsigned index;

    if (!word_index(word, log_levels, &index))
        return false;
    *level = (enum lun_log_level)index;
    return true;
}

/* ---- reading ---- */

/* Where we are, for messages. */
struct reader {
    struct daemon_config *config;
    const char *name;
    char *why;
};

static bool refuse(const struct reader *r, const config_setting_t *s, const char *problem,
                   const char *allowed)
{
    snprintf(r->why, CONFIG_WHY_BYTES, "%s:%u: %s: %s; allowed: %s", r->name,
             config_setting_source_line(s), config_setting_name(s), problem, allowed);
    return false;
}

static bool refuse_unknown(const struct reader *r, const config_setting_t *s,
                           const struct key *const *keys)
{
    const char *words[KEYS_MAX];
    const char *nearest;
    unsigned n = 0;
    int at;

    for (; *keys; keys++) {
        for (const struct key *k = *keys; k->name; k++)
            words[n++] = k->name;
    }
    words[n] = NULL;
    at = snprintf(r->why, CONFIG_WHY_BYTES, "%s:%u: unknown key \"%.64s\"", r->name,
                  config_setting_source_line(s), config_setting_name(s));
    if (at < 0 || at >= CONFIG_WHY_BYTES)
        return false;
    nearest = nearest_word(config_setting_name(s), words);
    if (nearest) {
        snprintf(r->why + at, (size_t)(CONFIG_WHY_BYTES - at), "; did you mean \"%s\"?", nearest);
        return false;
    }
    for (n = 0; words[n] && at < CONFIG_WHY_BYTES; n++)
        at += snprintf(r->why + at, (size_t)(CONFIG_WHY_BYTES - at), "%s%s",
                       n ? ", " : "; known keys: ", words[n]);
    return false;
}

static bool read_number(const struct reader *r, const config_setting_t *s, const struct key *k,
                        uint32_t *value)
{
    long long v;

    if (config_setting_type(s) != CONFIG_TYPE_INT && config_setting_type(s) != CONFIG_TYPE_INT64)
        return refuse(r, s, "not a whole number", k->allowed);
    v = config_setting_get_int64(s);
    if ((v < k->min && !(k->zero && v == 0)) || v > k->max || v % k->step)
        return refuse(r, s, "out of range", k->allowed);
    *value = (uint32_t)v;
    return true;
}

static bool read_text(const struct reader *r, const config_setting_t *s, const struct key *k,
                      char *value)
{
    const char *text = config_setting_get_string(s);

    if (strlen(text) >= (size_t)k->max)
        return refuse(r, s, "too long", k->allowed);
    for (const char *c = text; *c; c++) {
        if (iscntrl((unsigned char)*c))
            return refuse(r, s, "a control character", k->allowed);
    }
    if (!k->valid(text))
        return refuse(r, s, "not valid", k->allowed);
    memcpy(value, text, strlen(text) + 1);
    return true;
}

static bool read_url(const struct reader *r, const config_setting_t *s, const struct key *k,
                     struct address *address)
{
    char why[ADDRESS_WHY_BYTES];

    if (address_parse(config_setting_get_string(s), address, why))
        return true;
    return refuse(r, s, why, k->allowed);
}

static bool read_host(const struct reader *r, const config_setting_t *s,
                      const struct host_profile **host)
{
    const char *name = config_setting_get_string(s);
    char allowed[CONFIG_WHY_BYTES] = "\"auto\"";
    const struct host_profile *row;
    size_t at = strlen(allowed);

    *host = name ? host_find(name) : NULL;
    if (*host || (name && !strcmp(name, "auto")))
        return true;
    for (unsigned i = 0; (row = host_row(i)) && at < sizeof(allowed); i++)
        at += (size_t)snprintf(allowed + at, sizeof(allowed) - at, ", \"%s\"", row->name);
    return refuse(r, s, "not one of its words", allowed);
}

/* One value whose key is known; `base` is the structure of the key's scope. */
static bool read_value(const struct reader *r, const config_setting_t *s, const struct key *k,
                       void *base)
{
    void *value = (char *)base + k->offset;
    bool is_text = config_setting_type(s) == CONFIG_TYPE_STRING;
    unsigned index;

    switch (k->type) {
    case KEY_BOOL:
        if (config_setting_type(s) != CONFIG_TYPE_BOOL)
            return refuse(r, s, "not a truth value", k->allowed);
        *(bool *)value = config_setting_get_bool(s) != 0;
        return true;
    case KEY_CHOICE:
        if (config_setting_type(s) != CONFIG_TYPE_BOOL)
            return refuse(r, s, "not a truth value", k->allowed);
        *(enum config_choice *)value = config_setting_get_bool(s) ? CONFIG_YES : CONFIG_NO;
        return true;
    case KEY_NUMBER:
        return read_number(r, s, k, value);
    case KEY_TEXT:
        return is_text ? read_text(r, s, k, value) : refuse(r, s, "not a string", k->allowed);
    case KEY_WORD:
        if (!is_text || !word_index(config_setting_get_string(s), k->words, &index))
            return refuse(r, s, "not one of its words", k->allowed);
        *(unsigned *)value = index; /* both enumerations begin at 0, in the words' order */
        return true;
    case KEY_HOST:
        return read_host(r, s, value);
    case KEY_URL:
        return is_text ? read_url(r, s, k, value) : refuse(r, s, "not a string", k->allowed);
    case KEY_LUNS:
        if (config_setting_type(s) != CONFIG_TYPE_LIST)
            return refuse(r, s, "not a list", k->allowed);
        return true; /* read_luns(), once the defaults are complete */
    }
    return false;
}

_Static_assert(sizeof(enum lun_log_level) == sizeof(unsigned), "KEY_WORD writes an unsigned");
_Static_assert(sizeof(enum config_front) == sizeof(unsigned), "KEY_WORD writes an unsigned");
_Static_assert(sizeof(enum config_access) == sizeof(unsigned), "KEY_WORD writes an unsigned");
_Static_assert(sizeof(enum medium_reinsert) == sizeof(unsigned), "KEY_WORD writes an unsigned");
_Static_assert(sizeof(enum bot_short_in) == sizeof(unsigned), "KEY_WORD writes an unsigned");

static const struct key *key_find(const struct key *keys, const char *name)
{
    for (; keys->name; keys++) {
        if (!strcmp(keys->name, name))
            return keys;
    }
    return NULL;
}

static bool read_lun(const struct reader *r, const config_setting_t *group, struct config_lun *lun)
{
    static const struct key *const scope[] = {lun_keys, NULL};
    bool has_url = false;

    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
        const struct key *k = key_find(lun_keys, config_setting_name(s));
        if (!k)
            return refuse_unknown(r, s, scope);
        if (!read_value(r, s, k, lun))
            return false;
        has_url = has_url || k->type == KEY_URL;
    }
    if (has_url)
        return true;
    snprintf(r->why, CONFIG_WHY_BYTES, "%s:%u: a LUN without url; each of luns needs one", r->name,
             config_setting_source_line(group));
    return false;
}

static bool read_luns(const struct reader *r, const config_setting_t *list)
{
    struct daemon_config *c = r->config;
    int count = config_setting_length(list);

    if (count < 1 || count > BOT_LUNS_MAX)
        return refuse(r, list, "too few or too many", "1 to 16 groups");
    if (c->lun_defaults.address.host[0])
        return refuse(r, list, "together with a url outside of it", "one of the two");
    for (int i = 0; i < count; i++) {
        const config_setting_t *group = config_setting_get_elem(list, (unsigned)i);
        if (config_setting_type(group) != CONFIG_TYPE_GROUP)
            return refuse(r, list, "an entry is no group", key_find(daemon_keys, "luns")->allowed);
        c->luns[i] = c->lun_defaults;
        if (!read_lun(r, group, &c->luns[i]))
            return false;
    }
    c->lun_count = (unsigned)count;
    return true;
}

static bool read_top(const struct reader *r, const config_setting_t *root)
{
    static const struct key *const scope[] = {daemon_keys, lun_keys, NULL};
    const config_setting_t *luns = NULL;

    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
        const struct key *k = key_find(daemon_keys, config_setting_name(s));
        void *base = r->config;
        if (!k) {
            k = key_find(lun_keys, config_setting_name(s));
            base = &r->config->lun_defaults;
        }
        if (!k)
            return refuse_unknown(r, s, scope);
        if (!read_value(r, s, k, base))
            return false;
        if (k->type == KEY_LUNS)
            luns = s;
    }
    return !luns || read_luns(r, luns);
}

/* libconfig would open the file on our behalf, as root, wherever it is. */
static bool has_include(const char *text)
{
    const char *at = text;

    for (; *at; at++) {
        if (*at == '@' && !strncasecmp(at, "@include", 8))
            return true;
    }
    return false;
}

bool daemon_config_read_text(struct daemon_config *config, const char *text, const char *name,
                             char why[CONFIG_WHY_BYTES])
{
    struct reader r = {.config = config, .name = name, .why = why};
    config_t parsed;
    bool good;

    why[0] = 0;
    if (strlen(text) >= CONFIG_TEXT_MAX_BYTES) {
        snprintf(why, CONFIG_WHY_BYTES, "%s: longer than %d bytes", name,
                 CONFIG_TEXT_MAX_BYTES - 1);
        return false;
    }
    if (has_include(text)) {
        snprintf(why, CONFIG_WHY_BYTES, "%s: @include is not supported; use one file", name);
        return false;
    }
    config_init(&parsed);
    good = config_read_string(&parsed, text) == CONFIG_TRUE;
    if (good)
        good = read_top(&r, config_root_setting(&parsed));
    else
        snprintf(why, CONFIG_WHY_BYTES, "%s:%d: %s", name, config_error_line(&parsed),
                 config_error_text(&parsed));
    config_destroy(&parsed);
    return good;
}

static bool refuse_file(const char *path, const char *problem, char why[CONFIG_WHY_BYTES])
{
    snprintf(why, CONFIG_WHY_BYTES, "%s: %s", path, problem);
    return false;
}

/* The whole file into `text`; its length, or -errno. */
static ssize_t slurp(const char *path, char *text, size_t size)
{
    struct stat st;
    size_t length = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    }
    while (length < size) {
        got = read(fd, text + length, size - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    if (got < 0)
        got = -errno;
    close(fd);
    return got < 0 ? got : (ssize_t)length;
}

bool daemon_config_read_file(struct daemon_config *config, const char *path,
                             char why[CONFIG_WHY_BYTES])
{
    char *text;
    ssize_t length;
    bool good;

    if (strlen(path) >= sizeof(config->file))
        return refuse_file(path, "the path is too long", why);
    text = malloc(CONFIG_TEXT_MAX_BYTES + 1);
    if (!text)
        return refuse_file(path, strerror(ENOMEM), why);
    length = slurp(path, text, CONFIG_TEXT_MAX_BYTES);
    if (length == -EINVAL) {
        good = refuse_file(path, "not a regular file", why);
    } else if (length < 0) {
        good = refuse_file(path, strerror((int)-length), why);
    } else if (memchr(text, 0, (size_t)length)) {
        good = refuse_file(path, "not a text file", why);
    } else {
        text[length] = 0;
        good = daemon_config_read_text(config, text, path, why);
    }
    free(text);
    if (good)
        memcpy(config->file, path, strlen(path) + 1);
    return good;
}

/* ---- defaults and what is derived ---- */

void daemon_config_init(struct daemon_config *config)
{
    memset(config, 0, sizeof(*config));
    snprintf(config->name, sizeof(config->name), "lunstick");
    snprintf(config->scheme_path, sizeof(config->scheme_path), CONFIG_SCHEME);
    snprintf(config->user, sizeof(config->user), "lunstick");
    config->lun_defaults.removable = config->lun_defaults.continuity = true;
    config->lun_defaults.reinsert_after_s = 10;
    config->log_level = LUN_LOG_INFO;
    config->short_in = BOT_SHORT_IN_PACKET;
}

/* Half of the board's hash; 0 would be none. */
uint64_t config_reservation_key(const struct daemon_config *config)
{
    char digits[17];

    snprintf(digits, sizeof(digits), "%.16s", config->board);
    uint64_t key = strtoull(digits, NULL, 16);
    return key ? key : 1;
}

/* At scsipub.com every login without a user makes an overlay that the log-out
 * throws away. */
bool config_ephemeral(const struct config_lun *lun)
{
    static const char scsipub[] = "iqn.2025-01.pub.scsipub:";
    bool anonymous = !lun->address.user[0];

    if (lun->ephemeral != CONFIG_BY_ITSELF)
        return lun->ephemeral == CONFIG_YES;
    return anonymous && !strncasecmp(lun->address.iqn, scsipub, strlen(scsipub));
}

/* The kernel has one fixed disk, which is there or is waited for. */
static bool finish_nbd(struct daemon_config *config, char why[CONFIG_WHY_BYTES])
{
    struct config_lun *lun = &config->luns[0];
    const char *wrong = config->lun_count > 1 ? "several disks (luns)"
                        : config->early       ? "early"
                        : lun->cdrom          ? "cdrom"
                                              : NULL;
    if (wrong) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "%s does not go with front = \"nbd\", which makes one local disk; use "
                 "front = \"usb\", or one lunstickd for each disk",
                 wrong);
        return false;
    }
    lun->removable = false;
    lun->give_up_after_s = 0;
    return true;
}

bool daemon_config_finish(struct daemon_config *config, char why[CONFIG_WHY_BYTES])
{
    why[0] = 0;
    if (!config->lun_count && config->lun_defaults.address.host[0]) {
        config->luns[0] = config->lun_defaults;
        config->lun_count = 1;
    }
    if (!config->lun_count) {
        snprintf(why, CONFIG_WHY_BYTES,
                 "no disk is named; give iscsi://[user@]host[:port]/iqn/lun, or url in %s",
                 config->file[0] ? config->file : CONFIG_DIR "/lunstick.conf");
        return false;
    }
    for (unsigned i = 0; i < config->lun_count; i++) {
        struct config_lun *lun = &config->luns[i];
        lun->removable = lun->removable || lun->cdrom;
        lun->read_only = lun->read_only || lun->cdrom;
        if (config->early && !lun->removable) {
            snprintf(why, CONFIG_WHY_BYTES,
                     "early shows an empty drive at first, which a fixed disk cannot be; set "
                     "removable = true, or early = false");
            return false;
        }
        lun->header_digest = lun->header_digest || lun->address.header_digest;
    }
    if (config->front == CONFIG_FRONT_NBD && !finish_nbd(config, why))
        return false;
    snprintf(config->run_dir, sizeof(config->run_dir), CONFIG_RUN_DIR "/%s", config->name);
    board_id(config->board, "");
    if (!config->initiator_name[0])
        snprintf(config->initiator_name, sizeof(config->initiator_name),
                 "iqn.2026-11.io.lunstick:%.16s", config->board);
    if (!config->serial[0]) {
        /* Not the portal: a disk that moves to another address stays the same disk. */
        const struct address *a = &config->luns[0].address;
        char lun[16];
        snprintf(lun, sizeof(lun), "%d", a->lun);
        board_hash(config->serial, 16,
                   (const char *[]){config->board, config->name, a->iqn, lun, NULL});
        for (char *c = config->serial; *c; c++)
            *c = (char)toupper((unsigned char)*c);
    }
    return true;
}

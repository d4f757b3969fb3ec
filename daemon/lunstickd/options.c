/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include "bridge/nearest.h"

#include <getopt.h>
#include <string.h>
#include <unistd.h>

static const char help[] =
    "Usage: lunstickd [OPTION...] [iscsi://[user@]host[:port]/iqn/lun]\n"
    "Offers an iSCSI disk on this machine's USB device port.\n"
    "\n"
    "  --udc NAME          the USB device controller (default: the first that is free)\n"
    "  --front usb|nbd     for a USB host, or for this machine itself as /dev/nbdN (default: usb)\n"
    "  --root              with --front nbd: this machine's own root will be on the disk; what\n"
    "                      serves it is started again whatever ends it, and reads no file\n"
    "  --on-other-disk PROGRAM\n"
    "                      with --root: run when another disk is behind the same name\n"
    "  --ro                the host may not write\n"
    "  --take-over         take the disk from whoever has it reserved (access = \"exclusive\")\n"
    "  --once              end when the target cannot be had at start, or when the part that\n"
    "                      serves the disk dies (default: wait for the one, start the other)\n"
    "  --prepare           only make the gadget, so that the user lunstick, without any right,\n"
    "                      can run lunstickd with the other options; lunstick cleanup undoes it\n"
    "  --config FILE       read FILE (default: " CONFIG_DIR "/NAME.conf, if there is one)\n"
    "  --name NAME         of the gadget and the run directory (default: lunstick)\n"
    "  --secret-file FILE  the CHAP secret, mode 0600\n"
    "  --header-digest     ask for checksums of the iSCSI headers\n"
    "  --scheme FILE       the gadget's scheme\n"
    "                      (default: " CONFIG_SCHEME ")\n"
    "  --log-level LEVEL   error, warning, info or debug (default: info)\n"
    "  --help, --version\n"
    "\n"
    "Exit status: 0 stopped by a signal; 1 a fault that may go away: no free USB device\n"
    "controller, or with --once no target; 2 wrong use, or a fault that only you can\n"
    "remove. See also: lunstick help\n";

enum {
    OPT_UDC = 256,
    OPT_FRONT,
    OPT_ROOT,
    OPT_ON_OTHER_DISK,
    OPT_RO,
    OPT_TAKE_OVER,
    OPT_ONCE,
    OPT_PREPARE,
    OPT_CONFIG,
    OPT_NAME,
    OPT_SECRET_FILE,
    OPT_HEADER_DIGEST,
    OPT_SCHEME,
    OPT_LOG_LEVEL,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"udc", required_argument, NULL, OPT_UDC},
    {"front", required_argument, NULL, OPT_FRONT},
    {"root", no_argument, NULL, OPT_ROOT},
    {"on-other-disk", required_argument, NULL, OPT_ON_OTHER_DISK},
    {"ro", no_argument, NULL, OPT_RO},
    {"take-over", no_argument, NULL, OPT_TAKE_OVER},
    {"once", no_argument, NULL, OPT_ONCE},
    {"prepare", no_argument, NULL, OPT_PREPARE},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"name", required_argument, NULL, OPT_NAME},
    {"secret-file", required_argument, NULL, OPT_SECRET_FILE},
    {"header-digest", no_argument, NULL, OPT_HEADER_DIGEST},
    {"scheme", required_argument, NULL, OPT_SCHEME},
    {"log-level", required_argument, NULL, OPT_LOG_LEVEL},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

#define OPTIONS_COUNT (sizeof(long_options) / sizeof(long_options[0]))

/* The command line as it was given; NULL or false: not given. */
struct given {
    const char *udc, *front, *on_other_disk, *config, *name, *secret_file, *scheme, *log_level,
        *url;
    bool root, ro, take_over, once, prepare, header_digest;
};

/* Where messages go, and whose they are. */
struct said {
    FILE *stream;
    const char *program;
};

static enum options_result wrong(const struct said *err, const char *what, const char *about,
                                 const char *fix)
{
    fprintf(err->stream, "%s: %s%s%s%s\n", err->program, what, about, *fix ? "; " : "", fix);
    return OPTIONS_WRONG;
}

static enum options_result unknown(const struct said *err, const char *word)
{
    const char *names[OPTIONS_COUNT];
    const char *nearest;
    char bare[64], fix[64];

    for (unsigned i = 0; i < OPTIONS_COUNT; i++)
        names[i] = long_options[i].name;
    snprintf(bare, sizeof(bare), "%s", word + strspn(word, "-"));
    bare[strcspn(bare, "=")] = 0;
    nearest = nearest_word(bare, names);
    if (nearest)
        snprintf(fix, sizeof(fix), "did you mean --%s?", nearest);
    else
        snprintf(fix, sizeof(fix), "lunstickd --help lists the options");
    return wrong(err, "unknown option ", word, fix);
}

/* What getopt_long did not like. Its own messages differ between C libraries. */
static enum options_result not_understood(const struct said *err, char **argv, int code)
{
    const char *word = argv[optind - 1];

    if (code == ':')
        return wrong(err, "a value is missing after ", word, "");
    if (optopt >= OPT_UDC)
        return wrong(err, "no value belongs to ", word, "");
    if (optopt > 0) {
        char letter[] = {'-', (char)optopt, 0};
        return unknown(err, letter);
    }
    return unknown(err, word);
}

static void take(struct given *g, int code)
{
    switch (code) {
    case OPT_UDC:
        g->udc = optarg;
        break;
    case OPT_FRONT:
        g->front = optarg;
        break;
    case OPT_ROOT:
        g->root = true;
        break;
    case OPT_ON_OTHER_DISK:
        g->on_other_disk = optarg;
        break;
    case OPT_RO:
        g->ro = true;
        break;
    case OPT_TAKE_OVER:
        g->take_over = true;
        break;
    case OPT_ONCE:
        g->once = true;
        break;
    case OPT_PREPARE:
        g->prepare = true;
        break;
    case OPT_CONFIG:
        g->config = optarg;
        break;
    case OPT_NAME:
        g->name = optarg;
        break;
    case OPT_SECRET_FILE:
        g->secret_file = optarg;
        break;
    case OPT_HEADER_DIGEST:
        g->header_digest = true;
        break;
    case OPT_SCHEME:
        g->scheme = optarg;
        break;
    case OPT_LOG_LEVEL:
        g->log_level = optarg;
        break;
    default:
        break;
    }
}

/* argv into `g`; it stays in argv's memory. */
static enum options_result parse(struct given *g, int argc, char **argv, FILE *out,
                                 const struct said *err)
{
    int code;

    optind = 0; /* both C libraries start anew, also after an earlier call */
    opterr = 0;
    while ((code = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (code == OPT_HELP) {
            fputs(help, out);
            return OPTIONS_DONE;
        }
        if (code == OPT_VERSION) {
            fprintf(out, "lunstickd %s\n", LUNSTICK_VERSION);
            return OPTIONS_DONE;
        }
        if (code == ':' || code == '?')
            return not_understood(err, argv, code);
        take(g, code);
    }
    if (argc - optind > 1)
        return wrong(err, "more than one address: ", argv[optind + 1],
                     "several disks are named in the configuration file (luns)");
    if (optind < argc)
        g->url = argv[optind];
    return OPTIONS_RUN;
}

static enum options_result put(char *to, size_t size, const char *value, const char *option,
                               const struct said *err)
{
    if (!*value || strlen(value) >= size)
        return wrong(err, option, *value ? ": the value is too long" : ": the value is empty", "");
    memcpy(to, value, strlen(value) + 1);
    return OPTIONS_RUN;
}

static enum options_result read_config(struct daemon_config *config, const struct given *g,
                                       const struct said *err)
{
    char why[CONFIG_WHY_BYTES], path[CONFIG_PATH_BYTES];

    snprintf(path, sizeof(path), CONFIG_DIR "/%s.conf", config->name);
    if (!g->config && access(path, F_OK))
        return OPTIONS_RUN;
    if (!daemon_config_read_file(config, g->config ? g->config : path, why))
        return wrong(err, why, "", "");
    return OPTIONS_RUN;
}

/* The options that belong to disks: to the one of the command line, or to all
 * of the file. */
static enum options_result put_luns(struct daemon_config *config, const struct given *g,
                                    const struct said *err)
{
    char why[ADDRESS_WHY_BYTES];

    if (g->url) {
        if (!address_parse(g->url, &config->lun_defaults.address, why))
            return wrong(err, why, "", "");
        config->lun_count = 0;
    }
    if (g->secret_file && config->lun_count > 1)
        return wrong(err, "--secret-file with several disks", "",
                     "give secret_file in the configuration file");
    for (unsigned i = 0; i <= config->lun_count; i++) {
        struct config_lun *lun = i ? &config->luns[i - 1] : &config->lun_defaults;
        lun->read_only = lun->read_only || g->ro;
        lun->header_digest = lun->header_digest || g->header_digest;
        if (g->secret_file && put(lun->secret_file, sizeof(lun->secret_file), g->secret_file,
                                  "--secret-file", err) != OPTIONS_RUN)
            return OPTIONS_WRONG;
    }
    return OPTIONS_RUN;
}

/* The options over the configuration file. */
static enum options_result put_all(struct daemon_config *config, const struct given *g,
                                   const struct said *err)
{
    config->once = config->once || g->once;
    config->take_over = g->take_over;
    config->prepare = g->prepare;
    if (g->name) /* again: a file may have a name of its own */
        memcpy(config->name, g->name, strlen(g->name) + 1);
    if (g->udc && put(config->udc, sizeof(config->udc), g->udc, "--udc", err) != OPTIONS_RUN)
        return OPTIONS_WRONG;
    if (g->scheme && put(config->scheme_path, sizeof(config->scheme_path), g->scheme, "--scheme",
                         err) != OPTIONS_RUN)
        return OPTIONS_WRONG;
    if (g->front && !config_front(g->front, &config->front))
        return wrong(err, "--front ", g->front, "allowed: usb, nbd");
    config->root = g->root;
    if (g->on_other_disk && put(config->on_other_disk, sizeof(config->on_other_disk),
                                g->on_other_disk, "--on-other-disk", err) != OPTIONS_RUN)
        return OPTIONS_WRONG;
    if (g->on_other_disk && (!g->root || g->on_other_disk[0] != '/'))
        return wrong(err, "--on-other-disk goes with --root, and is an absolute path", "", "");
    if (g->root && (config->front != CONFIG_FRONT_NBD || config->once))
        return wrong(err, "--root needs --front nbd", "", "and goes without --once");
    if (g->log_level && !config_log_level(g->log_level, &config->log_level))
        return wrong(err, "--log-level ", g->log_level, "allowed: error, warning, info, debug");
    return put_luns(config, g, err);
}

enum options_result options_read(struct daemon_config *config, int argc, char **argv, FILE *out,
                                 FILE *err_stream)
{
    const char *slash = argc ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc ? argv[0] : "lunstickd";
    const struct said program = {err_stream, name + (*name == '@')};
    const struct said *err = &program;
    struct given g = {0};
    char why[CONFIG_WHY_BYTES];
    enum options_result result = parse(&g, argc, argv, out, err);

    if (result != OPTIONS_RUN)
        return result;
    daemon_config_init(config);
    if (g.name) {
        if (!config_name_valid(g.name))
            return wrong(err, "--name ", g.name, "allowed: 1 to 32 of a-z, 0-9 and -");
        memcpy(config->name, g.name, strlen(g.name) + 1);
    }
    result = read_config(config, &g, err);
    if (result == OPTIONS_RUN)
        result = put_all(config, &g, err);
    if (result == OPTIONS_RUN && !daemon_config_finish(config, why))
        result = wrong(err, why, "", "");
    return result;
}

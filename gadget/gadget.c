/* SPDX-License-Identifier: BSD-2-Clause */
#include "gadget.h"

#include "leftovers.h"
#include "owner.h"
#include "scheme.h"
#include "udc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <usbg/usbg.h>

#define PATH_BYTES    256
#define CONFIGFS_ROOT "/sys/kernel/config"
#define UDC_CLASS     "/sys/class/udc"
#define SERIAL_MAX    126 /* of a USB string descriptor */
#define REOPEN_TRIES  50
#define REOPEN_NAP_MS 20

/* The paths of one gadget. All of them fit, or paths_set() refuses. */
struct paths {
    char gadgets[PATH_BYTES]; /* configfs' usb_gadget */
    char ffs[PATH_BYTES];     /* the FunctionFS mount */
    char dir[PATH_BYTES];     /* its parent, the gadget's own directory */
    char lock[PATH_BYTES];
    char view[PATH_BYTES]; /* the configfs that libusbgx is shown */
    char view_gadgets[PATH_BYTES];
    char bound_to[PATH_BYTES]; /* configfs' file UDC of the gadget */
};

struct gadget {
    char name[GADGET_NAME_MAX + 1];
    char udc[UDC_NAME_BYTES];
    bool any_udc;
    uid_t uid; /* whose the files are */
    gid_t gid;
    struct paths paths;
    struct owner owner;
    usbg_state *state;
    usbg_gadget *handle; /* of the state */
    bool mounted;
    bool ours; /* the gadget in configfs */
    int ep0_fd;
};

__attribute__((format(printf, 3, 4))) static enum gadget_error
fail(char why[GADGET_WHY_BYTES], enum gadget_error error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(why, GADGET_WHY_BYTES, format, args);
    va_end(args);
    return error;
}

/* ---- names and places ---- */

static bool name_is_good(const char *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t length = strlen(name);

    return length > 0 && length <= GADGET_NAME_MAX && strspn(name, good) == length;
}

static bool join(char path[PATH_BYTES], const char *dir, const char *name)
{
    return (size_t)snprintf(path, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES;
}

static enum gadget_error paths_set(struct paths *paths, const char *name, const char *ffs_dir,
                                   const char *root, char why[GADGET_WHY_BYTES])
{
    const char *slash = strrchr(ffs_dir, '/');

    if (!name_is_good(name))
        return fail(why, GADGET_SYSTEM,
                    "'%.40s' is no name for a gadget: letters, digits, - and _, at most %d", name,
                    GADGET_NAME_MAX);
    if (ffs_dir[0] != '/' || slash == ffs_dir || slash[1] == '\0' ||
        strlen(ffs_dir) >= PATH_BYTES - sizeof("/configfs/usb_gadget"))
        return fail(why, GADGET_SYSTEM, "'%.100s' is not an absolute path like /run/%s/ffs",
                    ffs_dir, name);
    (void)snprintf(paths->ffs, PATH_BYTES, "%s", ffs_dir);
    (void)snprintf(paths->dir, PATH_BYTES, "%.*s", (int)(slash - ffs_dir), ffs_dir);
    if (!join(paths->gadgets, root ? root : CONFIGFS_ROOT, "usb_gadget") ||
        !join(paths->lock, paths->dir, "lock") || !join(paths->view, paths->dir, "configfs") ||
        !join(paths->view_gadgets, paths->view, "usb_gadget") ||
        (size_t)snprintf(paths->bound_to, PATH_BYTES, "%s/%s/UDC", paths->gadgets, name) >=
            PATH_BYTES)
        return fail(why, GADGET_SYSTEM, "path too long: %.100s", ffs_dir);
    return GADGET_OK;
}

/* Makes a directory and what leads to it. */
static int make_dirs(const char *dir)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "%s", dir);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
    }
    return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : -errno;
}

static bool file_has_word(const char *path, const char *word)
{
    char line[512];
    bool found = false;
    FILE *file = fopen(path, "re");

    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file))
        found = strstr(line, word) != NULL;
    (void)fclose(file);
    return found;
}

/* The kernel has it, or can load it when the function is made. */
static bool functionfs_exists(void)
{
    char path[PATH_BYTES];
    struct utsname uts;

    if (file_has_word("/proc/filesystems", "functionfs"))
        return true;
    if (uname(&uts) != 0)
        return false;
    (void)snprintf(path, sizeof(path), "/lib/modules/%.100s/modules.dep", uts.release);
    return file_has_word(path, "/usb_f_fs.ko");
}

static enum gadget_error no_functionfs(char why[GADGET_WHY_BYTES])
{
    return fail(why, GADGET_NO_FUNCTIONFS,
                "this kernel has no FunctionFS: modprobe usb_f_fs (CONFIG_USB_CONFIGFS_F_FS)");
}

static enum gadget_error check_configfs(const char *gadgets, char why[GADGET_WHY_BYTES])
{
    if (access(gadgets, F_OK) == 0)
        return GADGET_OK;
    return fail(why, GADGET_NO_CONFIGFS,
                "there is no %s: modprobe libcomposite, and mount -t configfs none %s", gadgets,
                CONFIGFS_ROOT);
}

/* ---- libusbgx ---- */

static void close_view(const struct paths *paths)
{
    if (unlink(paths->view_gadgets) != 0)
        (void)rmdir(paths->view_gadgets);
    (void)rmdir(paths->view);
}

/*
 * usbg_init() reads all gadgets of the machine and fails for good when one has
 * a function that this version of libusbgx does not know, or changes under its
 * hands because another daemon starts (0.2 and 0.3). So it is shown an empty
 * configfs, which becomes a link to the real one afterwards: its view then
 * holds our gadget alone.
 */
static enum gadget_error open_state(struct gadget *g, char why[GADGET_WHY_BYTES])
{
    const struct paths *paths = &g->paths;

    close_view(paths);
    if (mkdir(paths->view, 0700) != 0 || mkdir(paths->view_gadgets, 0700) != 0)
        return fail(why, GADGET_SYSTEM, "%s: %s", paths->view_gadgets, strerror(errno));
    int err = usbg_init(paths->view, &g->state);
    if (err != USBG_SUCCESS) {
        g->state = NULL;
        return fail(why, GADGET_SYSTEM, "libusbgx cannot start: %s", usbg_strerror(err));
    }
    if (rmdir(paths->view_gadgets) != 0 || symlink(paths->gadgets, paths->view_gadgets) != 0)
        return fail(why, GADGET_SYSTEM, "%s: %s", paths->view_gadgets, strerror(errno));
    return GADGET_OK;
}

static enum gadget_error import_failed(const struct gadget *g, const char *scheme_path, int err,
                                       char why[GADGET_WHY_BYTES])
{
    if (!functionfs_exists())
        return no_functionfs(why);
    if (err == USBG_ERROR_EXIST)
        return fail(why, GADGET_EXISTS,
                    "a gadget %s, or a FunctionFS instance of that name, exists", g->name);
    if (err == USBG_ERROR_NO_ACCESS)
        return fail(why, GADGET_SYSTEM, "configfs cannot be written: run as root");
    return fail(why, GADGET_BAD_SCHEME, "%s: libusbgx says: %s", scheme_path, usbg_strerror(err));
}

/* On an error libusbgx takes back what it made. The gadget is not bound. */
static enum gadget_error import(struct gadget *g, const struct gadget_config *config,
                                char why[GADGET_WHY_BYTES])
{
    char *text = scheme_fill(config->scheme_path, g->name, config->serial, why);
    if (!text)
        return GADGET_BAD_SCHEME;
    enum gadget_error error = GADGET_OK;
    FILE *stream = fmemopen(text, strlen(text), "r");
    if (!stream) {
        error = fail(why, GADGET_SYSTEM, "no memory");
    } else {
        int err = usbg_import_gadget(g->state, stream, g->name, &g->handle);
        (void)fclose(stream);
        if (err != USBG_SUCCESS) {
            g->handle = NULL;
            error = import_failed(g, config->scheme_path, err, why);
        }
        g->ours = error == GADGET_OK;
    }
    free(text);
    return error;
}

/* ---- FunctionFS ---- */

static enum gadget_error open_ep0(struct gadget *g, char why[GADGET_WHY_BYTES])
{
    char path[PATH_BYTES];

    g->ep0_fd = join(path, g->paths.ffs, "ep0") ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (g->ep0_fd < 0)
        return fail(why, GADGET_SYSTEM, "%s: %s", path, strerror(errno));
    return GADGET_OK;
}

static enum gadget_error mount_ffs(struct gadget *g, char why[GADGET_WHY_BYTES])
{
    char options[64];
    int err = make_dirs(g->paths.ffs);
    if (err)
        return fail(why, GADGET_SYSTEM, "%s: %s", g->paths.ffs, strerror(-err));
    (void)snprintf(options, sizeof(options), "uid=%lu,gid=%lu,fmode=0600", (unsigned long)g->uid,
                   (unsigned long)g->gid);
    if (mount(g->name, g->paths.ffs, "functionfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) !=
        0) {
        err = errno;
        (void)rmdir(g->paths.ffs);
        if (err == ENODEV && !functionfs_exists())
            return no_functionfs(why);
        return fail(why, GADGET_SYSTEM, "cannot mount FunctionFS %s on %s: %s%s", g->name,
                    g->paths.ffs, strerror(err),
                    err == EBUSY ? " (a process still has its files open)" : "");
    }
    g->mounted = true;
    return GADGET_OK;
}

static void unmount_ffs(struct gadget *g)
{
    if (g->mounted)
        (void)leftovers_remove_mount(g->paths.ffs);
    g->mounted = false;
}

enum gadget_error gadget_open_endpoints(const struct gadget *gadget, int *ep_in_fd, int *ep_out_fd,
                                        char why[GADGET_WHY_BYTES])
{
    static const char *const names[2] = {"ep1", "ep2"}; /* as in descriptors.c */
    char path[PATH_BYTES];
    int fds[2] = {-1, -1};

    for (int i = 0; i < 2; i++) {
        if (join(path, gadget->paths.ffs, names[i]))
            fds[i] = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fds[i] < 0) {
            int err = errno;
            if (i == 1)
                (void)close(fds[0]);
            return fail(why, GADGET_SYSTEM, "%s: %s%s", path, strerror(err),
                        err == ENOENT ? " (no descriptors were written to ep0)" : "");
        }
    }
    *ep_in_fd = fds[0];
    *ep_out_fd = fds[1];
    return GADGET_OK;
}

/* ---- life ---- */

static void say_owner(const struct owner *owner, const char *name, char why[GADGET_WHY_BYTES])
{
    char process[32] = "";

    if (owner->other_owner)
        (void)snprintf(process, sizeof(process), " (process %ld)", (long)owner->other_owner);
    (void)fail(why, GADGET_EXISTS,
               "lunstickd is already running as %s%s; give this one another name, or stop that one",
               name, process);
}

static enum gadget_error take_lock(struct gadget *g, char why[GADGET_WHY_BYTES])
{
    int err = make_dirs(g->paths.dir);

    if (err)
        return fail(why, GADGET_SYSTEM, "%s: %s", g->paths.dir, strerror(-err));
    err = owner_take(&g->owner, g->paths.lock);
    if (err == -EBUSY) {
        say_owner(&g->owner, g->name, why);
        return GADGET_EXISTS;
    }
    if (!err)
        return GADGET_OK;
    (void)rmdir(g->paths.dir);
    return fail(why, GADGET_SYSTEM, "%s: %s", g->paths.lock, strerror(-err));
}

/* A gadget of our name without a living owner: what a killed daemon left, if
 * its lock file is there; otherwise somebody else's. */
static enum gadget_error clear_leftovers(struct gadget *g, char why[GADGET_WHY_BYTES])
{
    char path[PATH_BYTES + GADGET_NAME_MAX + 2];

    (void)snprintf(path, sizeof(path), "%s/%s", g->paths.gadgets, g->name);
    if (access(path, F_OK) == 0 &&
        !(g->owner.was_left && leftovers_are_ours(g->paths.gadgets, g->name)))
        return fail(why, GADGET_EXISTS,
                    "%s is there and was not made here; choose another name, or remove it "
                    "(lunstick cleanup)",
                    path);
    int err = leftovers_remove_mount(g->paths.ffs);
    if (err >= 0)
        err = leftovers_remove_gadget(g->paths.gadgets, g->name);
    if (err < 0)
        return fail(why, GADGET_SYSTEM, "what a killed lunstickd left cannot be removed: %s: %s",
                    path, strerror(-err));
    return GADGET_OK;
}

static enum gadget_error choose_udc(struct gadget *g, const char *wanted,
                                    char why[GADGET_WHY_BYTES])
{
    struct udc_places where = {.udc_class = UDC_CLASS, .gadgets = g->paths.gadgets};

    return udc_choose(&where, wanted, g->udc, why);
}

/* Without a place yet; NULL: no memory. */
static struct gadget *make(const struct gadget_config *config)
{
    struct gadget *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    g->ep0_fd = -1;
    g->owner.fd = -1;
    g->any_udc = !config->udc;
    g->uid = config->uid;
    g->gid = config->gid;
    return g;
}

static enum gadget_error find_place(struct gadget *g, const struct gadget_config *config,
                                    char why[GADGET_WHY_BYTES])
{
    enum gadget_error error =
        paths_set(&g->paths, config->name, config->ffs_dir, config->configfs_root, why);

    if (error != GADGET_OK)
        return error;
    (void)snprintf(g->name, sizeof(g->name), "%s", config->name);
    return check_configfs(g->paths.gadgets, why);
}

static enum gadget_error finish(struct gadget *g, enum gadget_error error, struct gadget **gadget)
{
    if (error == GADGET_OK)
        *gadget = g;
    else
        gadget_destroy(g);
    return error;
}

enum gadget_error gadget_create(const struct gadget_config *config, struct gadget **gadget,
                                char why[GADGET_WHY_BYTES])
{
    struct gadget *g = make(config);

    *gadget = NULL;
    why[0] = '\0';
    if (!g)
        return fail(why, GADGET_SYSTEM, "no memory");
    enum gadget_error error = find_place(g, config, why);
    if (error == GADGET_OK && strlen(config->serial) > SERIAL_MAX)
        error =
            fail(why, GADGET_SYSTEM, "the serial number has more than %d characters", SERIAL_MAX);
    if (error == GADGET_OK)
        error = take_lock(g, why);
    if (error == GADGET_OK)
        error = clear_leftovers(g, why);
    if (error == GADGET_OK)
        error = choose_udc(g, config->udc, why);
    if (error == GADGET_OK)
        error = open_state(g, why);
    if (error == GADGET_OK)
        error = import(g, config, why);
    if (error == GADGET_OK)
        error = mount_ffs(g, why);
    if (error == GADGET_OK)
        error = open_ep0(g, why);
    return finish(g, error, gadget);
}

static void forget(struct gadget *g)
{
    gadget_close_ep0(g);
    if (g->state)
        usbg_cleanup(g->state);
    if (g->owner.fd >= 0) {
        close_view(&g->paths);
        (void)close(g->owner.fd);
    }
    free(g);
}

int gadget_leave(struct gadget *gadget)
{
    if (chown(gadget->paths.bound_to, gadget->uid, gadget->gid) != 0 ||
        fchown(gadget->owner.fd, gadget->uid, gadget->gid) != 0)
        return -errno;
    forget(gadget);
    return 0;
}

/* The lock and the directories are root's work, and so may not be made here. */
enum gadget_error gadget_adopt(const struct gadget_config *config, struct gadget **gadget,
                               char why[GADGET_WHY_BYTES])
{
    struct gadget *g = make(config);

    *gadget = NULL;
    why[0] = '\0';
    if (!g)
        return fail(why, GADGET_SYSTEM, "no memory");
    enum gadget_error error = find_place(g, config, why);
    if (error == GADGET_OK &&
        (access(g->paths.lock, W_OK) != 0 || access(g->paths.bound_to, W_OK) != 0))
        error =
            fail(why, GADGET_SYSTEM, "there is no gadget %s that root made for this user (%s: %s)",
                 g->name, g->paths.bound_to, strerror(errno));
    if (error == GADGET_OK)
        error = take_lock(g, why);
    if (error == GADGET_OK) {
        g->ours = true;
        error = choose_udc(g, config->udc, why);
    }
    if (error == GADGET_OK)
        error = open_ep0(g, why);
    return finish(g, error, gadget);
}

int gadget_ep0_fd(const struct gadget *gadget)
{
    return gadget->ep0_fd;
}

void gadget_close_ep0(struct gadget *gadget)
{
    if (gadget->ep0_fd >= 0)
        (void)close(gadget->ep0_fd);
    gadget->ep0_fd = -1;
}

const char *gadget_udc(const struct gadget *gadget)
{
    return gadget->udc;
}

/* Binds, or with "" unbinds. Not by libusbgx, which goes by the UDCs of when it
 * started, and which who adopted the gadget does not have. 0 or -errno. */
static int write_udc(const struct gadget *g, const char *name)
{
    char line[UDC_NAME_BYTES + 1];
    int length = snprintf(line, sizeof(line), "%s\n", name), err = 0;
    int fd = open(g->paths.bound_to, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (write(fd, line, (size_t)length) != length)
        err = -errno;
    (void)close(fd);
    return err;
}

enum gadget_error gadget_bind(struct gadget *gadget, char why[GADGET_WHY_BYTES])
{
    int err = write_udc(gadget, gadget->udc);

    if (err == -EBUSY || err == -ENODEV) {
        char wanted[UDC_NAME_BYTES];
        (void)snprintf(wanted, sizeof(wanted), "%s", gadget->udc);
        enum gadget_error error = choose_udc(gadget, gadget->any_udc ? NULL : wanted, why);
        if (error != GADGET_OK)
            return error;
        err = write_udc(gadget, gadget->udc);
    }
    if (err == 0)
        return GADGET_OK;
    return fail(why, err == -EBUSY ? GADGET_UDC_BUSY : GADGET_SYSTEM,
                "the gadget %s cannot be bound to the UDC %s: %s%s", gadget->name, gadget->udc,
                strerror(-err), err == -ENODEV ? " (no descriptors were written to ep0?)" : "");
}

/* The death of the child unbinds, too. */
static bool is_bound(const struct gadget *g)
{
    char text[UDC_NAME_BYTES];
    int fd = open(g->paths.bound_to, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof(text));
    (void)close(fd);
    return n > 1; /* an unbound one says "\n" */
}

void gadget_unbind(struct gadget *gadget)
{
    if (gadget->ours && is_bound(gadget))
        (void)write_udc(gadget, "");
}

/* FunctionFS begins anew when the last of its files is closed, which the end of
 * a process does in the background. Then the endpoint files are gone, and an ep0
 * that is still on its way there cannot be opened (EBUSY). */
enum gadget_error gadget_reopen(struct gadget *gadget, char why[GADGET_WHY_BYTES])
{
    const struct timespec nap = {.tv_nsec = REOPEN_NAP_MS * 1000000L};
    enum gadget_error error = GADGET_SYSTEM;
    char path[PATH_BYTES];

    gadget_unbind(gadget);
    gadget_close_ep0(gadget);
    if (!join(path, gadget->paths.ffs, "ep1"))
        return fail(why, GADGET_SYSTEM, "path too long: %.100s", gadget->paths.ffs);
    for (int i = 0; i < REOPEN_TRIES && error != GADGET_OK; i++) {
        if (i > 0)
            (void)nanosleep(&nap, NULL);
        error = access(path, F_OK) == 0
                    ? fail(why, GADGET_SYSTEM, "%s: a process still has it open", path)
                    : open_ep0(gadget, why);
    }
    return error;
}

static void remove_gadget(struct gadget *g)
{
    gadget_unbind(g);
    unmount_ffs(g);
    if (g->handle && usbg_rm_gadget(g->handle, USBG_RM_RECURSE) != USBG_SUCCESS)
        (void)leftovers_remove_gadget(g->paths.gadgets, g->name);
    g->handle = NULL;
}

void gadget_destroy(struct gadget *gadget)
{
    if (!gadget)
        return;
    gadget_close_ep0(gadget);
    remove_gadget(gadget);
    if (gadget->owner.fd >= 0) {
        close_view(&gadget->paths);
        owner_release(&gadget->owner, gadget->paths.lock);
        (void)rmdir(gadget->paths.dir); /* unless the daemon has something in it */
    }
    forget(gadget);
}

/* ---- without a daemon ---- */

static int clean(const char *name, const struct paths *paths, char why[GADGET_WHY_BYTES])
{
    int removed = 0;

    if (!leftovers_are_ours(paths->gadgets, name)) {
        (void)fail(why, GADGET_EXISTS, "%s/%s has other functions than ours: left alone",
                   paths->gadgets, name);
        return 0;
    }
    int err = leftovers_remove_mount(paths->ffs);
    if (err < 0)
        (void)fail(why, GADGET_SYSTEM, "%s: %s", paths->ffs, strerror(-err));
    else
        removed += err;
    err = leftovers_remove_gadget(paths->gadgets, name);
    if (err < 0)
        (void)fail(why, GADGET_SYSTEM, "%s/%s: %s", paths->gadgets, name, strerror(-err));
    else
        removed += err;
    return removed;
}

int gadget_cleanup(const char *name, const char *ffs_dir, bool *busy, char why[GADGET_WHY_BYTES])
{
    struct owner owner = {.fd = -1};
    struct paths paths;

    *busy = false;
    why[0] = '\0';
    if (paths_set(&paths, name, ffs_dir, NULL, why) != GADGET_OK)
        return 0;
    /* Without its directory it has no lock, and no daemon. */
    int err = access(paths.dir, F_OK) == 0 ? owner_take(&owner, paths.lock) : 0;
    if (err == -EBUSY) {
        *busy = true;
        say_owner(&owner, name, why);
        return 0;
    }
    if (err) {
        (void)fail(why, GADGET_SYSTEM, "%s: %s", paths.lock, strerror(-err));
        return 0;
    }
    int removed = clean(name, &paths, why);
    if (owner.fd >= 0) {
        close_view(&paths);
        owner_release(&owner, paths.lock);
        removed += rmdir(paths.dir) == 0;
    }
    return removed;
}

enum gadget_error gadget_check(const char *udc, char why[GADGET_WHY_BYTES])
{
    static const char gadgets[] = CONFIGFS_ROOT "/usb_gadget";
    const struct udc_places where = {.udc_class = UDC_CLASS, .gadgets = gadgets};
    char chosen[UDC_NAME_BYTES], description[128];

    enum gadget_error error = check_configfs(gadgets, why);
    if (error == GADGET_OK && !functionfs_exists())
        error = no_functionfs(why);
    if (error == GADGET_OK)
        error = udc_choose(&where, udc, chosen, why);
    if (error != GADGET_OK)
        return error;
    udc_describe(&where, chosen, description, sizeof(description));
    return fail(why, GADGET_OK, "the UDC %s is free (%s), FunctionFS is there", chosen,
                description);
}

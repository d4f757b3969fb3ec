/* SPDX-License-Identifier: BSD-2-Clause */
#include "plan.h"

static const char *const modes[] = {"", "pivot_root", "kexec", "usb-disk"};
static const char *const failures[] = {"retry", "shell", "reboot", "next-target"};
static const char *const overlays[] = {"none", "tmpfs"};
static const char *const accesses[] = {"", "ro", "rw"};
static const char *const methods[] = {"any", "dhcp", "static", "off"};
static const char *const root_words[] = {"", "label", "uuid", "partuuid", "number", "other"};
static const char *const origins[] = {"nobody", "the kernel command line", "the builder",
                                      "DHCP's root path", "the TFTP server's address"};

void plan_assign(FILE *out, const char *name, const char *value)
{
    fprintf(out, "%s='", name);
    for (; *value; value++) {
        if (*value == '\'')
            fputs("'\\''", out);
        else
            fputc(*value, out);
    }
    fputs("'\n", out);
}

static void assign_number(FILE *out, const char *name, int value)
{
    fprintf(out, "%s='%d'\n", name, value);
}

static void print_root(FILE *out, const char *prefix, const struct cmdline_root *root)
{
    bool counts = root->number > 0; /* also /dev/mmcblk0p2: wherever it is now */
    char name[32], number[16];

    snprintf(name, sizeof(name), "%sroot_by", prefix);
    plan_assign(out, name, root_words[counts ? CMDLINE_ROOT_NUMBER : root->by]);
    snprintf(name, sizeof(name), "%sroot_value", prefix);
    snprintf(number, sizeof(number), "%d", root->number);
    plan_assign(out, name, counts ? number : root->name);
}

static void print_ip(FILE *out, const struct cmdline_ip *ip)
{
    plan_assign(out, "ip_method", methods[ip->method]);
    plan_assign(out, "ip_client", ip->client);
    assign_number(out, "ip_prefix", ip->prefix_bits);
    plan_assign(out, "ip_gateway", ip->gateway);
    fprintf(out, "ip_dns='%s%s%s'\n", ip->dns[0], ip->dns[1][0] ? " " : "", ip->dns[1]);
    plan_assign(out, "ip_hostname", ip->hostname);
}

static void print_target(FILE *out, unsigned number, const struct address *address,
                         enum cmdline_portal_from from)
{
    char name[16], url[ADDRESS_TEXT_BYTES] = "";

    snprintf(name, sizeof(name), "iqn_%u", number);
    plan_assign(out, name, address->iqn);
    snprintf(name, sizeof(name), "url_%u", number);
    plan_assign(out, name, address->host[0] ? address_format(address, url, sizeof(url)) : "");
    snprintf(name, sizeof(name), "from_%u", number);
    plan_assign(out, name, origins[from]);
}

void plan_print(FILE *out, const struct cmdline *cmdline, const struct cmdline *defaults,
                const struct address *root_path, const char *tftp_server)
{
    struct address address;
    unsigned count = 0;

    plan_assign(out, "mode", modes[cmdline->mode]);
    assign_number(out, "timeout", cmdline->timeout_s);
    plan_assign(out, "on_failure", failures[cmdline->on_failure]);
    plan_assign(out, "overlay", overlays[cmdline->overlay]);
    plan_assign(out, "secret_file", cmdline->secret_file);
    plan_assign(out, "access", accesses[cmdline->kernel.access]);
    plan_assign(out, "root_type", cmdline->kernel.type);
    plan_assign(out, "root_flags", cmdline->kernel.flags);
    plan_assign(out, "init", cmdline->kernel.init);
    plan_assign(out, "iface", cmdline->interface);
    assign_number(out, "vlan", cmdline->vlan);
    print_ip(out, &cmdline->ip);
    print_root(out, "", &cmdline->root);
    print_root(out, "image_", &cmdline->kernel.root);
    for (;;) {
        enum cmdline_portal_from from =
            cmdline_address(cmdline, defaults, count, root_path, tftp_server, &address);
        if (!address.iqn[0])
            break;
        print_target(out, ++count, &address, from);
    }
    fprintf(out, "targets='%u'\n", count);
}

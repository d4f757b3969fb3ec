/* SPDX-License-Identifier: BSD-2-Clause */
/* Which modules of an image's kernel are taken along. */
#include "boot/image_modules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct image_modules m;
static struct image_modules_alias aliases[32];

static const char dep[] =
    "kernel/drivers/block/nbd.ko.xz:\n"
    "kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz\n"
    "kernel/fs/jbd2/jbd2.ko.xz:\nkernel/lib/crc16.ko.xz:\n"
    "kernel/crypto/crc32c_generic.ko.xz:\n"
    "kernel/drivers/net/ethernet/broadcom/genet/genet.ko: "
    "kernel/drivers/net/mdio/mdio-bcm-unimac.ko\n"
    "kernel/drivers/net/mdio/mdio-bcm-unimac.ko:\n"
    "kernel/drivers/virtio/virtio-rng.ko.zst:\n"
    "kernel/drivers/gpu/drm/vc4/vc4.ko.xz: kernel/drivers/gpu/drm/drm.ko.xz\n"
    "kernel/drivers/gpu/drm/drm.ko.xz:\n"
    "kernel/a.ko: kernel/b.ko\nkernel/b.ko: kernel/a.ko\n"
    "updates/dkms/extra.kox.ko.gz:\n";
static const char alias[] = "# Aliases\n"
                            "alias crypto-crc32c crc32c_generic\n"
                            "alias of:N*T*Cbrcm,bcm2711-genet-v5C* genet\n"
                            "alias of:N*T*Cbrcm,bcm2711-genet-v5 genet\n"
                            "alias of:N*T*Cbrcm,bcm2711-vc5 vc4\n"
                            "alias usb:v0424p[7-9]E-0d* nbd\n"
                            "alias usb:v0424p[7-9]E-0d* gone\n"
                            "alias nonsense\n"
                            "alias ? virtio-rng\n";
static const char softdep[] = "# Soft\nsoftdep ext4 pre: crypto-crc32c\nsoftdep a pre: b post: a\n";
static const char builtin[] = "kernel/drivers/net/loopback.ko\nkernel/fs/fat/vf-at.ko\n";
static const char info[] = "macb.license=GPL\nmacb.alias=of:N*T*Craspberrypi,rp1-gemC*\n"
                           "macb.alias=of:N*T*Craspberrypi,rp1-gem\nfuse.alias=fs-fuse\nx\n";

static int start(void **state)
{
    (void)state;
    memset(&m, 0, sizeof(m));
    memset(m.taken, 0xa5, sizeof(m.taken));
    memset(aliases, 0xa5, sizeof(aliases));
    m.dep = dep;
    m.softdep = softdep;
    m.builtin = builtin;
    m.builtin_info = info;
    m.aliases = aliases;
    m.aliases_count = image_modules_index(alias, aliases, 32);
    assert_int_equal(m.aliases_count, 8);
    return 0;
}

/* All that was taken, in this order, without directories. */
static void took(const char *names)
{
    char got[512] = "";

    for (unsigned i = 0; i < m.count; i++) {
        struct text_span path = m.taken[i];
        const char *slash = memrchr(path.text, '/', path.bytes);
        size_t bytes = (size_t)(path.text + path.bytes - slash - 1);
        assert_true(strlen(got) + bytes + 2 < sizeof(got));
        strncat(strcat(got, i ? " " : ""), slash + 1, bytes);
    }
    assert_string_equal(got, names);
    assert_false(m.full);
}

static void module_is_taken_with_what_it_needs(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "ext4"), IMAGE_MODULES_TAKEN);
    took("ext4.ko.xz crc32c_generic.ko.xz jbd2.ko.xz crc16.ko.xz");
}

static void path_that_leads_out_is_not_taken(void **state)
{
    (void)state;
    m.dep = "kernel/a.ko: ../../../b.ko kernel/c.ko\n../nbd.ko:\n";
    m.softdep = "";
    image_modules_take(&m, "a");
    image_modules_take(&m, "nbd");
    took("a.ko c.ko");
}

static void module_is_taken_once(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "nbd"), IMAGE_MODULES_TAKEN);
    assert_int_equal(image_modules_take(&m, "nbd"), IMAGE_MODULES_TAKEN);
    took("nbd.ko.xz");
}

static void dash_and_underscore_are_the_same(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "mdio_bcm-unimac"), IMAGE_MODULES_TAKEN);
    assert_int_equal(image_modules_take(&m, "virtio_rng"), IMAGE_MODULES_TAKEN);
    assert_int_equal(image_modules_take(&m, "extra.kox"), IMAGE_MODULES_TAKEN);
    took("mdio-bcm-unimac.ko virtio-rng.ko.zst extra.kox.ko.gz");
}

static void alias_takes_its_modules(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "of:NethernetT(null)Cbrcm,bcm2711-genet-v5"),
                     IMAGE_MODULES_TAKEN);
    took("genet.ko mdio-bcm-unimac.ko");
}

static void alias_with_brackets_is_a_pattern(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "usb:v0424p8E-0d12"), IMAGE_MODULES_TAKEN);
    assert_int_equal(image_modules_take(&m, "usb:v0424p6E-0d12"), IMAGE_MODULES_MISSING);
    took("nbd.ko.xz");
}

static void wildcard_alone_matches_one_character(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "x"), IMAGE_MODULES_TAKEN);
    assert_int_equal(image_modules_take(&m, "xy"), IMAGE_MODULES_MISSING);
    took("virtio-rng.ko.zst");
}

static void what_is_built_in_is_known(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "loopback"), IMAGE_MODULES_BUILTIN);
    assert_int_equal(image_modules_take(&m, "vf_at"), IMAGE_MODULES_BUILTIN);
    assert_int_equal(image_modules_take(&m, "of:NethernetT(null)Craspberrypi,rp1-gemCx"),
                     IMAGE_MODULES_BUILTIN);
    assert_int_equal(image_modules_take(&m, "fs-fuse"), IMAGE_MODULES_BUILTIN);
    took("");
}

static void what_is_missing_is_told(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "nb"), IMAGE_MODULES_MISSING);
    assert_int_equal(image_modules_take(&m, "kernel/drivers/block/nbd"), IMAGE_MODULES_MISSING);
    assert_int_equal(image_modules_take(&m, "of:NethernetT(null)Cother"), IMAGE_MODULES_MISSING);
    assert_int_equal(image_modules_take(&m, ""), IMAGE_MODULES_MISSING);
    took("");
}

static void built_in_aliases_of_old_kernels_are_not_known(void **state)
{
    (void)state;
    m.builtin_info = "";
    assert_int_equal(image_modules_take(&m, "of:NethernetT(null)Cother"), IMAGE_MODULES_BUILTIN);
    assert_int_equal(image_modules_take(&m, "nb"), IMAGE_MODULES_MISSING);
}

static void devices_that_no_root_needs_are_left(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take_device(&m, "of:NgpuT(null)Cbrcm,bcm2711-vc5"),
                     IMAGE_MODULES_TAKEN);
    took("");
    assert_int_equal(image_modules_take_device(&m, "of:NethernetT(null)Cbrcm,bcm2711-genet-v5"),
                     IMAGE_MODULES_TAKEN);
    took("genet.ko mdio-bcm-unimac.ko");
    assert_int_equal(image_modules_take(&m, "vc4"), IMAGE_MODULES_TAKEN);
    took("genet.ko mdio-bcm-unimac.ko vc4.ko.xz drm.ko.xz");
}

static void circles_have_an_end(void **state)
{
    (void)state;
    assert_int_equal(image_modules_take(&m, "a"), IMAGE_MODULES_TAKEN);
    took("a.ko b.ko");
}

static void too_many_are_told(void **state)
{
    static char text[IMAGE_MODULES_MAX * 16 + 64] = "k/all.ko:";
    char *at = text + strlen(text);

    (void)state;
    for (unsigned i = 0; i < IMAGE_MODULES_MAX; i++, at += 8) {
        memcpy(at, " k/00.ko", 8);
        at[3] = (char)('A' + i % 32);
        at[4] = (char)('A' + i / 32);
    }
    m.dep = text;
    assert_int_equal(image_modules_take(&m, "all"), IMAGE_MODULES_TAKEN);
    assert_int_equal(m.count, IMAGE_MODULES_MAX);
    assert_true(m.full);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, start)
    const struct CMUnitTest tests[] = {
        TEST(module_is_taken_with_what_it_needs),
        TEST(module_is_taken_once),
        TEST(path_that_leads_out_is_not_taken),
        TEST(dash_and_underscore_are_the_same),
        TEST(alias_takes_its_modules),
        TEST(alias_with_brackets_is_a_pattern),
        TEST(wildcard_alone_matches_one_character),
        TEST(what_is_built_in_is_known),
        TEST(what_is_missing_is_told),
        TEST(built_in_aliases_of_old_kernels_are_not_known),
        TEST(devices_that_no_root_needs_are_left),
        TEST(circles_have_an_end),
        TEST(too_many_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

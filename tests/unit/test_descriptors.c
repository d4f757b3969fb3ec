/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bridge/bytes.h"
#include "gadget/descriptors.h"

#include <linux/usb/ch9.h>
#include <linux/usb/functionfs.h>
#include <string.h>

static uint8_t blob[256];

static int setup(void **state)
{
    (void)state;
    memset(blob, 0xa5, sizeof(blob));
    return 0;
}

/* What a host would find in the descriptors of one speed. */
struct parsed {
    unsigned interfaces, endpoints, companions;
    uint8_t class_code, subclass, protocol, declared_endpoints, address[2], attributes[2];
    unsigned max_packet[2], max_burst[2];
};

/* Takes `count` descriptors; returns the bytes they have. */
static size_t parse(const uint8_t *p, unsigned count, struct parsed *out)
{
    size_t used = 0;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < count; i++) {
        const uint8_t *d = p + used;
        switch (d[1]) {
        case USB_DT_INTERFACE:
            assert_int_equal(d[0], USB_DT_INTERFACE_SIZE);
            out->interfaces++;
            out->declared_endpoints = d[4];
            out->class_code = d[5];
            out->subclass = d[6];
            out->protocol = d[7];
            break;
        case USB_DT_ENDPOINT:
            assert_int_equal(d[0], USB_DT_ENDPOINT_SIZE);
            assert_in_range(out->endpoints, 0, 1);
            out->address[out->endpoints] = d[2];
            out->attributes[out->endpoints] = d[3];
            out->max_packet[out->endpoints] = (unsigned)(d[4] | d[5] << 8);
            out->endpoints++;
            break;
        case USB_DT_SS_ENDPOINT_COMP:
            assert_int_equal(d[0], USB_DT_SS_EP_COMP_SIZE);
            /* belongs to the endpoint right before it */
            assert_int_equal(out->companions, out->endpoints - 1);
            out->max_burst[out->companions] = d[2];
            out->companions++;
            break;
        default:
            fail_msg("descriptor type 0x%02x", d[1]);
        }
        used += d[0];
    }
    return used;
}

static void check_mass_storage(const struct parsed *p, unsigned max_packet)
{
    assert_int_equal(p->interfaces, 1);
    assert_int_equal(p->class_code, 0x08);
    assert_int_equal(p->subclass, 0x06);
    assert_int_equal(p->protocol, 0x50);
    assert_int_equal(p->declared_endpoints, 2);
    assert_int_equal(p->endpoints, 2);
    assert_int_equal(p->address[0], 0x81);
    assert_int_equal(p->address[1], 0x02);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(p->attributes[i], USB_ENDPOINT_XFER_BULK);
        assert_int_equal(p->max_packet[i], max_packet);
    }
}

static void lengths_and_counts_agree_with_the_contents(void **state)
{
    (void)state;
    struct parsed p;
    size_t bytes = descriptors_build(blob, DESCRIPTORS_BYTES_MAX);

    assert_int_equal(get_le32(blob), FUNCTIONFS_DESCRIPTORS_MAGIC_V2);
    assert_int_equal(get_le32(blob + 4), bytes);
    assert_int_equal(get_le32(blob + 8), 0x7);
    size_t used = 24;
    for (size_t speed = 0; speed < 3; speed++)
        used += parse(blob + used, get_le32(blob + 12 + 4 * speed), &p);
    assert_int_equal(used, bytes);
    assert_int_equal(blob[bytes], 0xa5);
}

static void each_speed_is_a_bulk_only_disk_with_its_packet_size(void **state)
{
    (void)state;
    static const unsigned max_packet[3] = {64, 512, 1024};
    struct parsed p;
    size_t used = 24;

    assert_int_not_equal(descriptors_build(blob, DESCRIPTORS_BYTES_MAX), 0);
    for (size_t speed = 0; speed < 3; speed++) {
        used += parse(blob + used, get_le32(blob + 12 + 4 * speed), &p);
        check_mass_storage(&p, max_packet[speed]);
    }
}

static void only_super_speed_has_companions_and_they_allow_bursts(void **state)
{
    (void)state;
    struct parsed p;
    size_t used = 24;

    assert_int_not_equal(descriptors_build(blob, DESCRIPTORS_BYTES_MAX), 0);
    used += parse(blob + used, get_le32(blob + 12), &p);
    assert_int_equal(p.companions, 0);
    used += parse(blob + used, get_le32(blob + 16), &p);
    assert_int_equal(p.companions, 0);
    (void)parse(blob + used, get_le32(blob + 20), &p);
    assert_int_equal(p.companions, 2);
    assert_int_equal(p.max_burst[0], 15);
    assert_int_equal(p.max_burst[1], 15);
}

static void strings_end_with_the_last_nul(void **state)
{
    (void)state;
    size_t bytes = strings_build(blob, STRINGS_BYTES_MAX);

    assert_int_equal(get_le32(blob), FUNCTIONFS_STRINGS_MAGIC);
    assert_int_equal(get_le32(blob + 4), bytes);
    assert_int_equal(get_le32(blob + 8), 1);
    assert_int_equal(get_le32(blob + 12), 1);
    assert_int_equal(blob[16] | blob[17] << 8, 0x0409);
    assert_string_equal((const char *)blob + 18, "lunstick");
    assert_int_equal(bytes, 18 + sizeof("lunstick"));
}

static void a_buffer_that_is_too_small_is_refused_and_not_overrun(void **state)
{
    (void)state;
    size_t need = descriptors_build(blob, sizeof(blob));

    for (size_t size = 0; size < need; size++) {
        memset(blob, 0xa5, sizeof(blob));
        assert_int_equal(descriptors_build(blob, size), 0);
        assert_int_equal(blob[size], 0xa5);
    }
    assert_int_equal(descriptors_build(blob, need), need);

    need = strings_build(blob, sizeof(blob));
    for (size_t size = 0; size < need; size++) {
        memset(blob, 0xa5, sizeof(blob));
        assert_int_equal(strings_build(blob, size), 0);
        assert_int_equal(blob[size], 0xa5);
    }
    assert_int_equal(strings_build(blob, need), need);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lengths_and_counts_agree_with_the_contents, setup),
        cmocka_unit_test_setup(each_speed_is_a_bulk_only_disk_with_its_packet_size, setup),
        cmocka_unit_test_setup(only_super_speed_has_companions_and_they_allow_bursts, setup),
        cmocka_unit_test_setup(strings_end_with_the_last_nul, setup),
        cmocka_unit_test_setup(a_buffer_that_is_too_small_is_refused_and_not_overrun, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The device tree that the second kernel gets. */
#include "boot/image_fdt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADER 40

static const char strings[] = "bootargs\0kaslr-seed\0seed";
static uint8_t tree[512], before[512];
static size_t bytes, seed_at;

static void put32(size_t at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        tree[at + i] = (uint8_t)(value >> (24 - 8 * i));
}

static void add32(uint32_t value)
{
    put32(bytes, value);
    bytes += 4;
}

static void add(const void *data, size_t count)
{
    memcpy(tree + bytes, data, count);
    bytes += (count + 3) & ~(size_t)3;
}

static void add_prop(const char *value, size_t count, const char *name)
{
    add32(3);
    add32((uint32_t)count);
    add32((uint32_t)((const char *)memmem(strings, sizeof(strings), name, strlen(name) + 1) -
                     strings));
    add(value, count);
}

/* / { chosen { bootargs = "a"; kaslr-seed = ...; seed = ... }; }, with a NOP. */
static int make(void **state)
{
    (void)state;
    memset(tree, 0, sizeof(tree));
    bytes = HEADER;
    add32(1);
    add("", 1);
    add32(1);
    add("chosen", 7);
    add_prop("a", 2, "bootargs");
    add32(4);
    seed_at = bytes + 12;
    add_prop("\1\2\3\4\5\6\7\10", 8, "kaslr-seed");
    add_prop("\1\2\3\4\5\6\7\10", 8, "seed");
    add32(2);
    add32(2);
    add32(9);
    put32(0, 0xd00dfeed);
    put32(8, HEADER);
    put32(12, (uint32_t)bytes);
    put32(32, sizeof(strings));
    put32(36, (uint32_t)bytes - HEADER);
    add(strings, sizeof(strings));
    put32(4, (uint32_t)bytes);
    memcpy(before, tree, sizeof(tree));
    return 0;
}

static void seed_becomes_zero_and_nothing_else(void **state)
{
    (void)state;
    assert_true(image_fdt_wipe_seed(tree, bytes));
    memset(before + seed_at, 0, 8);
    assert_memory_equal(tree, before, sizeof(tree));
}

static void tree_without_seed_stays(void **state)
{
    (void)state;
    put32(seed_at - 4, 0);
    memcpy(before, tree, sizeof(tree));
    assert_true(image_fdt_wipe_seed(tree, bytes));
    assert_memory_equal(tree, before, sizeof(tree));
}

static void refused_with(size_t at, uint32_t value)
{
    make(NULL);
    put32(at, value);
    if (image_fdt_wipe_seed(tree, bytes))
        fail_msg("with %x at %zu", value, at);
}

static void what_is_no_tree_is_refused(void **state)
{
    (void)state;
    refused_with(0, 0xd00dfeee);
    refused_with(4, (uint32_t)bytes + 1);
    refused_with(8, 0xffffffff);
    refused_with(12, 0xffffffff);
    refused_with(32, 0xffffffff);
    refused_with(36, 0xffffffff);
    refused_with(36, 16);            /* no end */
    refused_with(HEADER, 7);         /* no such token */
    refused_with(seed_at - 8, 1000); /* a property that is longer than the tree */
    refused_with(seed_at - 8, UINT32_MAX);
    make(NULL);
    for (size_t i = 0; i < HEADER; i++)
        assert_false(image_fdt_wipe_seed(tree, i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(seed_becomes_zero_and_nothing_else, make),
        cmocka_unit_test_setup(tree_without_seed_stays, make),
        cmocka_unit_test_setup(what_is_no_tree_is_refused, make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

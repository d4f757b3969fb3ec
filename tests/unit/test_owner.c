/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock file of a gadget: who has it, and what is left of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gadget/owner.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct bench {
    char dir[32], path[64];
    struct owner owner, other;
};

static int make_bench(void **state)
{
    static struct bench b;
    memset(&b, 0xa5, sizeof b);
    (void)snprintf(b.dir, sizeof b.dir, "/tmp/test_owner.XXXXXX");
    *state = &b;
    if (!mkdtemp(b.dir))
        return -1;
    (void)snprintf(b.path, sizeof b.path, "%s/lock", b.dir);
    return 0;
}

static int free_bench(void **state)
{
    const struct bench *b = *state;
    (void)unlink(b->path);
    return rmdir(b->dir);
}

static void the_second_is_told_who_has_it(void **state)
{
    struct bench *b = *state;
    assert_int_equal(owner_take(&b->owner, b->path), 0);
    assert_false(b->owner.was_left);
    assert_int_equal(owner_take(&b->other, b->path), -EBUSY);
    assert_int_equal(b->other.other_owner, getpid());
    assert_int_equal(b->other.fd, -1);
    owner_release(&b->owner, b->path);
}

static void released_nothing_is_left(void **state)
{
    struct bench *b = *state;
    assert_int_equal(owner_take(&b->owner, b->path), 0);
    owner_release(&b->owner, b->path);
    assert_int_equal(access(b->path, F_OK), -1);
    assert_int_equal(owner_take(&b->other, b->path), 0);
    assert_false(b->other.was_left);
    owner_release(&b->other, b->path);
}

static void the_file_of_a_killed_owner_is_known_as_left(void **state)
{
    struct bench *b = *state;
    assert_int_equal(owner_take(&b->owner, b->path), 0);
    (void)close(b->owner.fd); /* as the kernel does */
    assert_int_equal(owner_take(&b->other, b->path), 0);
    assert_true(b->other.was_left);
    owner_release(&b->other, b->path);
}

static void a_full_file_system_leaves_no_file(void **state)
{
    struct bench *b = *state;
    struct rlimit before, none = {0, RLIM_INFINITY};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    int rc = owner_take(&b->owner, b->path);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(b->owner.fd, -1);
    assert_int_equal(access(b->path, F_OK), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_bench, free_bench)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_second_is_told_who_has_it),
        TEST(released_nothing_is_left),
        TEST(the_file_of_a_killed_owner_is_known_as_left),
        TEST(a_full_file_system_leaves_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of an image in real directories: no link leads out of them. */
#include "boot/image_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/test_image_tree.XXXXXX";
static struct image_trees trees;
static struct image_files files;

static const char *inside(const char *path)
{
    static char whole[2][512];
    static unsigned turn;

    turn = !turn;
    snprintf(whole[turn], sizeof(whole[0]), "%s%s", top, path);
    return whole[turn];
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(inside(path), "we");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make(void **state)
{
    static const char *const directories[] = {"/boot", "/root", "/root/usr", "/root/usr/lib"};

    (void)state;
    assert_non_null(mkdtemp(top));
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
        assert_int_equal(mkdir(inside(directories[i]), 0755), 0);
    write_file("/secret", "outside");
    write_file("/boot/a", "0123456789");
    write_file("/root/usr/lib/b", "bbb");
    assert_int_equal(symlink("/usr/lib", inside("/root/lib")), 0);
    assert_int_equal(symlink("../../../../secret", inside("/root/up")), 0);
    assert_int_equal(symlink(inside("/secret"), inside("/root/away")), 0);
    assert_int_equal(symlink("loop", inside("/root/loop")), 0);
    return 0;
}

static int remove_all(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", top);
    return system(command);
}

static int open_trees(void **state)
{
    const char *wrong;

    (void)state;
    memset(&trees, 0xa5, sizeof(trees));
    assert_int_equal(image_trees_open(&trees, inside("/boot"), inside("/root"), &wrong), 0);
    assert_null(wrong);
    files = image_trees_files(&trees);
    return 0;
}

static int close_trees(void **state)
{
    (void)state;
    image_trees_close(&trees);
    return 0;
}

static ssize_t get(enum image_tree tree, const char *path, uint64_t offset, char *text, size_t size)
{
    memset(text, 0, size + 1);
    return files.read(files.context, tree, path, offset, text, size);
}

static void pieces_of_files_are_read(void **state)
{
    char text[32];

    (void)state;
    assert_int_equal(get(IMAGE_BOOT, "/a", 0, text, 4), 4);
    assert_string_equal(text, "0123");
    assert_int_equal(get(IMAGE_BOOT, "/a", 8, text, 4), 2);
    assert_string_equal(text, "89");
    assert_int_equal(get(IMAGE_BOOT, "/a", 10, text, 4), 0);
    assert_int_equal(get(IMAGE_ROOT, "/a", 0, text, 4), -ENOENT);
    assert_int_equal(get(IMAGE_ROOT, "/usr/lib/b", 0, text, 4), 3);
    assert_int_equal(get(IMAGE_BOOT, "/a", 1, text, 1), 1);
    assert_string_equal(text, "1");
}

static void links_stay_inside(void **state)
{
    char text[32];
    char path[512];

    (void)state;
    assert_int_equal(get(IMAGE_ROOT, "/lib/b", 0, text, 4), 3);
    assert_int_equal(get(IMAGE_ROOT, "/up", 0, text, 4), -ENOENT);
    assert_int_equal(get(IMAGE_ROOT, "/away", 0, text, 4), -ENOENT);
    assert_int_equal(get(IMAGE_ROOT, "/../secret", 0, text, 4), -ENOENT);
    assert_int_equal(get(IMAGE_ROOT, "/loop", 0, text, 4), -ELOOP);
    assert_int_equal(image_trees_path(&trees, IMAGE_ROOT, "/lib/b", path, sizeof(path)), 0);
    assert_string_equal(path, inside("/root/usr/lib/b"));
    assert_int_equal(image_trees_path(&trees, IMAGE_ROOT, "/away", path, sizeof(path)), -ENOENT);
    assert_int_equal(image_trees_path(&trees, IMAGE_ROOT, "/lib/b", path, 8), -ENAMETOOLONG);
}

static void what_is_no_file_is_not_read(void **state)
{
    char text[32];

    (void)state;
    assert_int_equal(mkfifo(inside("/boot/fifo"), 0600), 0);
    assert_int_equal(get(IMAGE_BOOT, "/fifo", 0, text, 4), -EINVAL);
    assert_int_equal(get(IMAGE_ROOT, "/usr", 0, text, 4), -EINVAL);
    assert_int_equal(unlink(inside("/boot/fifo")), 0);
}

static void count(void *argument, const char *name)
{
    if (name[0] != '.')
        (*(unsigned *)argument)++;
}

static void directories_are_listed(void **state)
{
    unsigned names = 0;

    (void)state;
    assert_int_equal(files.list(files.context, IMAGE_ROOT, "/lib", count, &names), 0);
    assert_int_equal(names, 1);
    assert_int_equal(files.list(files.context, IMAGE_BOOT, "/none", count, &names), -ENOENT);
    assert_int_equal(files.list(files.context, IMAGE_BOOT, "/a", count, &names), -ENOTDIR);
}

static void tree_that_is_not_there_is_empty(void **state)
{
    struct image_trees some;
    struct image_files f;
    const char *wrong;
    char byte;

    (void)state;
    assert_int_equal(image_trees_open(&some, "", inside("/root"), &wrong), 0);
    f = image_trees_files(&some);
    assert_int_equal(f.read(f.context, IMAGE_BOOT, "/a", 0, &byte, 1), -ENOENT);
    image_trees_close(&some);
    assert_int_equal(image_trees_open(&some, inside("/none"), inside("/root"), &wrong), -ENOENT);
    assert_string_equal(wrong, inside("/none"));
    image_trees_close(&some);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_trees, close_trees)
    const struct CMUnitTest tests[] = {
        TEST(pieces_of_files_are_read),        TEST(links_stay_inside),
        TEST(what_is_no_file_is_not_read),     TEST(directories_are_listed),
        TEST(tree_that_is_not_there_is_empty),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}

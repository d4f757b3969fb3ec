/* SPDX-License-Identifier: BSD-2-Clause */
/* Which kernel of an image is the one, and the sentence if there is none. */
#include "image_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PI4 "Raspberry Pi 4 Model B Rev 1.1"
#define PI5 "Raspberry Pi 5 Model B Rev 1.0"

static struct image_memory memory;
static struct image_room room;
static struct image_board board;
static struct image image;
static char why[IMAGE_WHY_BYTES];

/* Kernels of a few versions, and what is none. */
static char kernel_6_1[256], kernel_6_12[256], silent[256], loader[256];

static void make_kernel(char kernel[256], const char *says)
{
    memset(kernel, 'k', 256);
    memcpy(kernel + 56, "ARM\x64", 4);
    strcpy(kernel + 100, says);
}

static int start(void **state)
{
    (void)state;
    memset(&memory, 0, sizeof(memory));
    memset(&room, 0xa5, sizeof(room));
    memset(&image, 0xa5, sizeof(image));
    memset(&board, 0, sizeof(board));
    strcpy(board.config_txt.model, PI4);
    make_kernel(kernel_6_1, "Linux version 6.1.0-9 (x");
    make_kernel(kernel_6_12, "Linux version 6.12.1 (x");
    make_kernel(silent, "no word");
    make_kernel(loader, "U-Boot 2025.01 (x");
    return 0;
}

static void boot(const char *path, const char *text)
{
    image_memory_add_text(&memory, IMAGE_BOOT, path, text);
}

static void root(const char *path, const char *text)
{
    image_memory_add_text(&memory, IMAGE_ROOT, path, text);
}

static void boot_kernel(const char *path, const char *kernel)
{
    image_memory_add(&memory, IMAGE_BOOT, path, kernel, 256);
}

static void root_kernel(const char *path, const char *kernel)
{
    image_memory_add(&memory, IMAGE_ROOT, path, kernel, 256);
}

static bool find(void)
{
    struct image_files files = image_memory_files(&memory);

    return image_find(&room, &files, &board, &image, why);
}

static void finds(enum image_tree tree, const char *kernel, const char *found_by,
                  const char *cmdline)
{
    if (!find())
        fail_msg("%s", why);
    assert_string_equal(why, "");
    assert_int_equal(image.tree, tree);
    assert_string_equal(image.kernel, kernel);
    assert_string_equal(image.found_by, found_by);
    assert_string_equal(image.cmdline, cmdline);
}

static void refuses(const char *sentence)
{
    static const struct image nothing;

    assert_false(find());
    assert_string_equal(why, sentence);
    assert_memory_equal(&image, &nothing, sizeof(image));
}

/* ---- config.txt ---- */

static void raspberry_pi_os_is_found(void **state)
{
    (void)state;
    boot("/config.txt", "dtparam=audio=on\nauto_initramfs=1\n[pi4]\narm_boost=1\n[all]\n");
    boot("/cmdline.txt", "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait\n");
    boot_kernel("/kernel8.img", kernel_6_12);
    boot_kernel("/kernel_2712.img", kernel_6_1);
    root("/usr/lib/modules/6.12.1/modules.dep", "");
    root_kernel("/boot/vmlinuz-7.0", kernel_6_1);
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt",
          "console=serial0,115200 console=tty1 root=PARTUUID=1-02 rootwait");
    assert_string_equal(image.version, "6.12.1");
    assert_string_equal(image.modules, "/usr/lib/modules/6.12.1");
}

static void pi5_has_a_kernel_of_its_own(void **state)
{
    (void)state;
    strcpy(board.config_txt.model, PI5);
    boot("/config.txt", "auto_initramfs=1\n");
    boot_kernel("/kernel8.img", kernel_6_12);
    boot_kernel("/kernel_2712.img", kernel_6_1);
    finds(IMAGE_BOOT, "/kernel_2712.img", "/config.txt", "");
}

static void pi5_takes_the_common_kernel_if_it_has_no_other(void **state)
{
    (void)state;
    strcpy(board.config_txt.model, PI5);
    boot("/config.txt", "");
    boot_kernel("/kernel8.img", kernel_6_12);
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt", "");
}

static void kernel_of_the_boards_section_is_taken(void **state)
{
    (void)state;
    boot("/config.txt", "[pi5]\nkernel=five\n[pi4]\nkernel=four\ncmdline=four.txt\n"
                        "initramfs four.gz,more.gz followkernel\n[all]\n");
    boot_kernel("/four", kernel_6_1);
    boot("/four.txt", "\n\nroot=/dev/mmcblk0p2 ro\nsecond line\n");
    finds(IMAGE_BOOT, "/four", "/config.txt", "root=/dev/mmcblk0p2 ro");
}

static void included_file_is_read(void **state)
{
    (void)state;
    boot("/config.txt", "include missing.txt\ninclude distro/extra.txt\n");
    boot("/distro/extra.txt", "kernel=k\n");
    boot_kernel("/k", kernel_6_1);
    finds(IMAGE_BOOT, "/k", "/config.txt", "");
}

static void file_that_includes_itself_is_refused(void **state)
{
    (void)state;
    boot("/config.txt", "include config.txt\n");
    refuses("/config.txt: files are included more than 3 deep");
}

static void files_that_are_included_without_end_are_refused(void **state)
{
    char text[65 * 10 + 1] = "";

    (void)state;
    for (unsigned i = 0; i < 65; i++)
        strcat(text, "include e\n");
    boot("/config.txt", text);
    boot("/e", "");
    boot_kernel("/kernel8.img", kernel_6_1);
    refuses("/config.txt: more than 64 files are included");
}

static void prefix_stands_before_the_files_names(void **state)
{
    (void)state;
    boot("/config.txt", "os_prefix=current/\nkernel=vmlinuz\ninitramfs initrd.img followkernel\n");
    boot_kernel("/vmlinuz", kernel_6_1);
    boot_kernel("/current/vmlinuz", kernel_6_12);
    boot("/current/bcm2711-rpi-4-b.dtb", "");
    boot("/current/cmdline.txt", "root=LABEL=a");
    boot("/cmdline.txt", "root=LABEL=b");
    finds(IMAGE_BOOT, "/current/vmlinuz", "/config.txt", "root=LABEL=a");
}

static void prefix_may_be_part_of_the_name(void **state)
{
    (void)state;
    boot("/config.txt", "os_prefix=test-\ndevice_tree=my.dtb\n");
    boot_kernel("/test-kernel8.img", kernel_6_1);
    boot("/test-my.dtb", "");
    boot("/test-cmdline.txt", "quiet");
    finds(IMAGE_BOOT, "/test-kernel8.img", "/config.txt", "quiet");
}

static void absolute_path_bypasses_the_prefix(void **state)
{
    (void)state;
    boot("/config.txt", "os_prefix=new/\nkernel=/common.img\ncmdline=/c.txt\n");
    boot("/new/x.dtb", "");
    boot_kernel("/common.img", kernel_6_1);
    boot("/c.txt", "quiet");
    finds(IMAGE_BOOT, "/common.img", "/config.txt", "quiet");
}

static void prefix_without_kernel_or_device_tree_does_not_count(void **state)
{
    (void)state;
    boot("/config.txt", "os_prefix=new/\n");
    boot("/cmdline.txt", "old");
    boot("/new/cmdline.txt", "new");
    boot_kernel("/kernel8.img", kernel_6_1);
    boot("/new/x.dtb", "");
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt", "old"); /* no kernel */
    memory.files[memory.count - 1].path = "/x.dtb";
    boot_kernel("/new/kernel8.img", kernel_6_12);
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt", "old"); /* no tree */
    boot("/new/x.dtb", "");
    finds(IMAGE_BOOT, "/new/kernel8.img", "/config.txt", "new");
}

static void upstream_kernel_is_a_prefix(void **state)
{
    (void)state;
    boot("/config.txt", "upstream_kernel=1\n");
    boot_kernel("/upstream/kernel8.img", kernel_6_1);
    boot("/upstream/x.dtb", "");
    finds(IMAGE_BOOT, "/upstream/kernel8.img", "/config.txt", "");
}

static void serial_ports_get_the_kernels_names(void **state)
{
    (void)state;
    strcpy(board.serial[0], "ttyS0");
    strcpy(board.serial[1], "ttyAMA0");
    boot("/config.txt", "");
    boot_kernel("/kernel8.img", kernel_6_1);
    boot("/cmdline.txt", "console=serial0,115200 kgdboc=serial1 a=serial01 serial0 b=serial0");
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt",
          "console=ttyS0,115200 kgdboc=ttyAMA0 a=serial01 serial0 b=ttyS0");
}

static void serial_port_that_finds_no_room_stays(void **state)
{
    static char text[CMDLINE_BYTES] = "console=serial0 ";

    (void)state;
    memset(text + 16, 'x', sizeof(text) - 18);
    strcpy(board.serial[0], "ttyLonger9");
    boot("/config.txt", "");
    boot_kernel("/kernel8.img", kernel_6_1);
    boot("/cmdline.txt", text);
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt", text);
}

static void config_txt_of_the_root_file_system_is_found(void **state)
{
    (void)state;
    root("/boot/firmware/config.txt", "kernel=vmlinuz\n");
    root_kernel("/boot/firmware/vmlinuz", kernel_6_1);
    root("/boot/firmware/cmdline.txt", "quiet");
    finds(IMAGE_ROOT, "/boot/firmware/vmlinuz", "/boot/firmware/config.txt", "quiet");
}

static void missing_kernel_is_told_with_who_named_it(void **state)
{
    (void)state;
    boot("/config.txt", "kernel=gone.img\n");
    root_kernel("/boot/vmlinuz-6.1.0-9", kernel_6_1);
    refuses("/config.txt names the kernel gone.img, which is not on the image");
}

static void kernel_of_32_bits_is_refused(void **state)
{
    (void)state;
    boot("/config.txt", "arm_64bit=0\n");
    boot_kernel("/kernel8.img", kernel_6_1);
    refuses("/config.txt says arm_64bit=0: a 32-bit kernel cannot be started from this one; "
            "remove that line if the image has kernel8.img");
}

static void other_kernel_is_refused_with_what_it_is(void **state)
{
    static char x86[1024];

    (void)state;
    memcpy(x86 + 0x202, "HdrS", 4);
    boot("/config.txt", "kernel=bzImage\n");
    image_memory_add(&memory, IMAGE_BOOT, "/bzImage", x86, sizeof(x86));
    refuses("/bzImage, which /config.txt names, is an x86 kernel (bzImage): a 64-bit ARM kernel "
            "(Image, or in gzip) is needed");
}

static void long_command_line_is_refused(void **state)
{
    static char text[CMDLINE_BYTES + 1];

    (void)state;
    memset(text, 'x', CMDLINE_BYTES);
    boot("/config.txt", "");
    boot_kernel("/kernel8.img", kernel_6_1);
    boot("/cmdline.txt", text);
    refuses("/cmdline.txt is longer than a kernel command line, 2047 characters");
}

/* ---- U-Boot and others behind it ---- */

static void boot_loader_of_config_txt_hands_on(void **state)
{
    (void)state;
    boot("/config.txt", "kernel=u-boot.bin\n");
    boot_kernel("/u-boot.bin", loader);
    boot("/extlinux/extlinux.conf",
         "label a\nkernel /Image\ninitrd /initrd\nappend root=LABEL=r\n");
    boot_kernel("/Image", kernel_6_1);
    finds(IMAGE_BOOT, "/Image", "/extlinux/extlinux.conf", "root=LABEL=r");
}

static void config_txt_without_any_kernel_hands_on(void **state)
{
    (void)state;
    boot("/config.txt", "armstub=RPI_EFI.fd\narm_64bit=1\n");
    root_kernel("/boot/vmlinuz-6.1.0-9", kernel_6_1);
    finds(IMAGE_ROOT, "/boot/vmlinuz-6.1.0-9", "/boot/vmlinuz-6.1.0-9", "");
}

static void extlinux_paths_begin_at_the_top_or_beside(void **state)
{
    (void)state;
    root("/boot/extlinux/extlinux.conf",
         "default b\nlabel a\nkernel /boot/a\nlabel b\nlinux ../b\nappend x\n");
    root_kernel("/boot/extlinux/../b", kernel_6_1);
    finds(IMAGE_ROOT, "/boot/extlinux/../b", "/boot/extlinux/extlinux.conf", "x");
    memory.files[0].data = "label a\nkernel /boot/a\n";
    memory.files[0].bytes = strlen(memory.files[0].data);
    root_kernel("/boot/a", kernel_6_12);
    finds(IMAGE_ROOT, "/boot/a", "/boot/extlinux/extlinux.conf", "");
}

/* A boot partition on /boot: the system calls /vmlinuz what is /boot/vmlinuz. */
static void paths_are_also_tried_as_the_system_sees_them(void **state)
{
    (void)state;
    boot("/extlinux/extlinux.conf", "label a\nkernel /boot/k\n");
    boot_kernel("/k", kernel_6_1);
    finds(IMAGE_BOOT, "/k", "/extlinux/extlinux.conf", "");
    start(NULL);
    root("/boot/extlinux/extlinux.conf", "label a\nkernel /k\n");
    root_kernel("/boot/k", kernel_6_1);
    finds(IMAGE_ROOT, "/boot/k", "/boot/extlinux/extlinux.conf", "");
}

static void faulty_extlinux_conf_is_told(void **state)
{
    (void)state;
    boot("/boot/extlinux/extlinux.conf", "# empty\n");
    refuses("/boot/extlinux/extlinux.conf has no label");
    memory.files[0].data = "label a\nlocalboot 1\n";
    memory.files[0].bytes = strlen(memory.files[0].data);
    refuses("/boot/extlinux/extlinux.conf: the label a names no kernel");
    memory.files[0].data = "label a\nkernel /k\n";
    memory.files[0].bytes = strlen(memory.files[0].data);
    refuses("/boot/extlinux/extlinux.conf names the kernel /k, which is not on the image");
    boot_kernel("/k", loader);
    refuses("/k, which /boot/extlinux/extlinux.conf names, is the boot loader U-Boot: a 64-bit "
            "ARM kernel is needed");
}

/* ---- boot loader entries ---- */

static void first_entry_of_the_menu_is_taken(void **state)
{
    (void)state;
    boot("/loader/entries/d-6.9.conf", "linux /d/6.9/linux\noptions old\n");
    boot("/loader/entries/d-6.12.conf", "linux d/6.12/linux\ninitrd d/6.12/initrd\noptions new\n");
    boot("/loader/entries/readme.txt", "linux /x\n");
    boot("/loader/entries/x.conf", "linux /x\narchitecture x64\n");
    boot_kernel("/d/6.9/linux", kernel_6_1);
    boot_kernel("/d/6.12/linux", kernel_6_12);
    finds(IMAGE_BOOT, "/d/6.12/linux", "/loader/entries/d-6.12.conf", "new");
    assert_string_equal(image.version, "6.12.1");
    assert_string_equal(image.modules, "");
}

static void default_entry_is_taken(void **state)
{
    (void)state;
    boot("/loader/loader.conf", "default a*\n");
    boot("/loader/entries/b-2.conf", "linux /b\n");
    boot("/loader/entries/a-1.conf", "linux /k\noptions first\n");
    boot("/loader/entries/a-2.conf", "linux /k\noptions second\n");
    boot("/loader/entries/b-1.conf", "linux /b\n");
    boot_kernel("/k", kernel_6_1);
    finds(IMAGE_BOOT, "/k", "/loader/entries/a-2.conf", "second");
}

static void entries_in_boot_of_the_root_file_system_are_found(void **state)
{
    (void)state;
    root("/boot/loader/entries/a.conf", "linux /vmlinuz-6.1\n");
    root_kernel("/boot/vmlinuz-6.1", kernel_6_1);
    finds(IMAGE_ROOT, "/boot/vmlinuz-6.1", "/boot/loader/entries/a.conf", "");
}

static void faulty_entry_is_told(void **state)
{
    static char text[512] = "linux /";

    (void)state;
    boot("/loader/entries/a.conf", "linux /gone\n");
    refuses("/loader/entries/a.conf names the kernel /gone, which is not on the image");
    memset(text + 7, 'k', 400);
    memory.files[0].data = text;
    memory.files[0].bytes = strlen(text);
    refuses("/loader/entries/a.conf: a line is too long");
}

/* ---- kernels that nobody names ---- */

static void newest_kernel_with_modules_is_taken(void **state)
{
    (void)state;
    root_kernel("/boot/vmlinuz-6.1.0-9", kernel_6_1);
    root_kernel("/boot/vmlinuz-6.1.0-10", kernel_6_1);
    root_kernel("/boot/vmlinuz-6.12.1", kernel_6_12);
    root_kernel("/boot/vmlinuz-7.0.dpkg-new", kernel_6_12);
    finds(IMAGE_ROOT, "/boot/vmlinuz-6.12.1", "/boot/vmlinuz-6.12.1", "");
    root("/lib/modules/6.1.0-9/modules.dep", "");
    root("/lib/modules/6.1.0-10/modules.dep", "");
    finds(IMAGE_ROOT, "/boot/vmlinuz-6.1.0-10", "/boot/vmlinuz-6.1.0-10", "");
    assert_string_equal(image.version, "6.1.0-9"); /* as the kernel says */
}

static void kernel_of_the_boot_partition_is_found(void **state)
{
    (void)state;
    boot_kernel("/vmlinuz-6.1.0-9", kernel_6_1);
    finds(IMAGE_BOOT, "/vmlinuz-6.1.0-9", "/vmlinuz-6.1.0-9", "");
}

static void other_kernel_by_name_is_refused(void **state)
{
    (void)state;
    root("/boot/vmlinuz-6.1-amd64", "no kernel at all");
    refuses("/boot/vmlinuz-6.1-amd64 is no kernel that is known: a 64-bit ARM kernel (Image, or in "
            "gzip) is needed");
}

static void image_without_kernel_is_refused(void **state)
{
    (void)state;
    root("/etc/fstab", "");
    refuses("the image has no kernel: no config.txt with one (kernel8.img), no "
            "extlinux/extlinux.conf, no loader/entries, no /boot/vmlinuz-*");
}

static void names_are_printable_in_the_sentence(void **state)
{
    (void)state;
    boot("/config.txt", "kernel=a\033[2Jb\n");
    refuses("/config.txt names the kernel a?[2Jb, which is not on the image");
}

/* ---- which modules ---- */

static void silent_kernel_has_the_version_of_its_name(void **state)
{
    (void)state;
    root_kernel("/boot/vmlinuz-5.5", silent);
    root("/lib/modules/5.5/modules.dep", "");
    root("/lib/modules/6.6/modules.dep", "");
    finds(IMAGE_ROOT, "/boot/vmlinuz-5.5", "/boot/vmlinuz-5.5", "");
    assert_string_equal(image.version, "5.5");
    assert_string_equal(image.modules, "/lib/modules/5.5");
}

static void silent_kernel_has_the_only_modules(void **state)
{
    (void)state;
    boot("/config.txt", "");
    boot_kernel("/kernel8.img", silent);
    root("/lib/modules/6.6-v8/modules.dep", "");
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt", "");
    assert_string_equal(image.version, "6.6-v8");
    assert_string_equal(image.modules, "/lib/modules/6.6-v8");
}

static void silent_kernel_among_several_modules_has_no_version(void **state)
{
    (void)state;
    boot("/config.txt", "");
    boot_kernel("/kernel8.img", silent);
    root("/lib/modules/6.6/modules.dep", "");
    root("/lib/modules/6.7/modules.dep", "");
    finds(IMAGE_BOOT, "/kernel8.img", "/config.txt", "");
    assert_string_equal(image.version, "");
    assert_string_equal(image.modules, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, start)
    const struct CMUnitTest tests[] = {
        TEST(raspberry_pi_os_is_found),
        TEST(pi5_has_a_kernel_of_its_own),
        TEST(pi5_takes_the_common_kernel_if_it_has_no_other),
        TEST(kernel_of_the_boards_section_is_taken),
        TEST(included_file_is_read),
        TEST(file_that_includes_itself_is_refused),
        TEST(files_that_are_included_without_end_are_refused),
        TEST(prefix_stands_before_the_files_names),
        TEST(prefix_may_be_part_of_the_name),
        TEST(absolute_path_bypasses_the_prefix),
        TEST(prefix_without_kernel_or_device_tree_does_not_count),
        TEST(upstream_kernel_is_a_prefix),
        TEST(serial_ports_get_the_kernels_names),
        TEST(serial_port_that_finds_no_room_stays),
        TEST(config_txt_of_the_root_file_system_is_found),
        TEST(missing_kernel_is_told_with_who_named_it),
        TEST(kernel_of_32_bits_is_refused),
        TEST(other_kernel_is_refused_with_what_it_is),
        TEST(long_command_line_is_refused),
        TEST(boot_loader_of_config_txt_hands_on),
        TEST(config_txt_without_any_kernel_hands_on),
        TEST(extlinux_paths_begin_at_the_top_or_beside),
        TEST(paths_are_also_tried_as_the_system_sees_them),
        TEST(faulty_extlinux_conf_is_told),
        TEST(first_entry_of_the_menu_is_taken),
        TEST(default_entry_is_taken),
        TEST(entries_in_boot_of_the_root_file_system_are_found),
        TEST(faulty_entry_is_told),
        TEST(newest_kernel_with_modules_is_taken),
        TEST(kernel_of_the_boot_partition_is_found),
        TEST(other_kernel_by_name_is_refused),
        TEST(image_without_kernel_is_refused),
        TEST(names_are_printable_in_the_sentence),
        TEST(silent_kernel_has_the_version_of_its_name),
        TEST(silent_kernel_has_the_only_modules),
        TEST(silent_kernel_among_several_modules_has_no_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

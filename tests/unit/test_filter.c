/* SPDX-License-Identifier: BSD-2-Clause */
/* The child's system call filter: each case runs in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/lunstickd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/usb/functionfs.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Runs `what` under the filter; returns its exit status, or minus the signal
 * that ended it. */
static int filtered(int (*what)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (sandbox_filter() < 0)
            _exit(125);
        _exit(what());
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int tcp_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0 || close(fd) < 0;
}

static int tcp6_socket(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
    return fd < 0 && errno != EAFNOSUPPORT;
}

static int udp_socket(void)
{
    return socket(AF_INET, SOCK_DGRAM, 0) < 0;
}

static int raw_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) < 0;
}

static int unix_socket(void)
{
    return !(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT);
}

static int open_file(void)
{
    return !(open("/dev/null", O_RDONLY) < 0 && errno == EACCES);
}

static int start_process(void)
{
    return fork() < 0;
}

static int run_program(void)
{
    char *argv[] = {"true", NULL};
    return execv("/bin/true", argv);
}

static int executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
           MAP_FAILED;
}

static int plain_memory(void)
{
    void *small = malloc(100), *big = malloc(10 << 20);
    int bad = !small || !big;
    if (big)
        memset(big, 1, 10 << 20);
    char *bigger = realloc(big, 40 << 20);
    bad |= !bigger;
    free(bigger ? bigger : big);
    free(small);
    return bad;
}

static int waiting(void)
{
    struct timespec now, ts = {0, 1000};
    struct pollfd pfd = {.fd = 2, .events = POLLIN};
    return ppoll(&pfd, 1, &ts, NULL) < 0 || clock_gettime(CLOCK_MONOTONIC, &now) < 0 ||
           time(NULL) == 0;
}

static int functionfs_ioctl(void)
{
    return !(ioctl(0, FUNCTIONFS_FIFO_FLUSH) < 0 && (errno == ENOTTY || errno == EINVAL));
}

static int functionfs_ioctl_not_used(void)
{
    return ioctl(0, FUNCTIONFS_INTERFACE_REVMAP, 0) < 0;
}

static int duplicate(void)
{
    return fcntl(0, F_DUPFD, 10) < 0;
}

static int owner_of_a_descriptor(void)
{
    return fcntl(0, F_SETOWN, 1) < 0;
}

/* As musl does it: the request sign-extended. */
static int functionfs_ioctl_as_int(void)
{
    long request = (int)(unsigned)FUNCTIONFS_ENDPOINT_DESC;
    char descriptor[16];
    return !(syscall(SYS_ioctl, 0, request, descriptor) < 0 && errno != ENOSYS);
}

static int other_ioctl(void)
{
    return ioctl(0, TIOCSTI, "x") < 0;
}

static int numeric_name(void)
{
    struct addrinfo *list = NULL;
    int rc = getaddrinfo("192.0.2.1", NULL, NULL, &list);
    if (rc == 0)
        freeaddrinfo(list);
    return rc != 0;
}

static int aborts(void)
{
    abort();
}

static int kills_another(void)
{
    return kill(getpid(), SIGTERM);
}

static void what_the_loop_needs_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(filtered(tcp_socket), 0);
    assert_int_equal(filtered(tcp6_socket), 0);
    assert_int_equal(filtered(plain_memory), 0);
    assert_int_equal(filtered(waiting), 0);
    assert_int_equal(filtered(functionfs_ioctl), 0);
    assert_int_equal(filtered(functionfs_ioctl_as_int), 0);
}

static void libraries_live_without_files_and_name_services(void **state)
{
    (void)state;
    assert_int_equal(filtered(open_file), 0);
    assert_int_equal(filtered(unix_socket), 0);
    assert_int_equal(filtered(numeric_name), 0);
}

static void other_sockets_end_the_process(void **state)
{
    (void)state;
    assert_int_equal(filtered(udp_socket), -SIGSYS);
    assert_int_equal(filtered(raw_socket), -SIGSYS);
}

static void processes_end_the_process(void **state)
{
    (void)state;
    assert_int_equal(filtered(start_process), -SIGSYS);
    assert_int_equal(filtered(run_program), -SIGSYS);
    assert_int_equal(filtered(kills_another), -SIGSYS);
}

static void executable_memory_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(filtered(executable_memory), -SIGSYS);
}

static void other_ioctls_end_the_process(void **state)
{
    (void)state;
    assert_int_equal(filtered(other_ioctl), -SIGSYS);
    assert_int_equal(filtered(functionfs_ioctl_not_used), -SIGSYS);
}

static void other_fcntls_end_the_process(void **state)
{
    (void)state;
    assert_int_equal(filtered(duplicate), -SIGSYS);
    assert_int_equal(filtered(owner_of_a_descriptor), -SIGSYS);
}

static void a_failed_assertion_is_seen_as_one(void **state)
{
    (void)state;
    assert_int_equal(filtered(aborts), -SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_loop_needs_is_allowed),
        cmocka_unit_test(libraries_live_without_files_and_name_services),
        cmocka_unit_test(other_sockets_end_the_process),
        cmocka_unit_test(processes_end_the_process),
        cmocka_unit_test(executable_memory_ends_the_process),
        cmocka_unit_test(other_ioctls_end_the_process),
        cmocka_unit_test(other_fcntls_end_the_process),
        cmocka_unit_test(a_failed_assertion_is_seen_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* What the child's system call filter has to let through: each case runs in a
 * process of its own. What it refuses: tests/vm/attempts.c. */
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
#include <netinet/in.h>
#include <netinet/tcp.h>
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

static int unix_socket(void)
{
    return !(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EAFNOSUPPORT);
}

/* Those of libiscsi, in both versions. */
static int options_of_the_connection(void)
{
    static const int options[] = {TCP_NODELAY,   TCP_USER_TIMEOUT, TCP_SYNCNT,
                                  TCP_KEEPINTVL, TCP_KEEPCNT,      TCP_KEEPIDLE};
    int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), one = 1, error = 0;
    socklen_t size = sizeof error;
    int bad = setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) < 0 ||
              getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        bad |= setsockopt(fd, IPPROTO_TCP, options[i], &one, sizeof one) < 0;
    return bad;
}

static int open_file(void)
{
    return !(open("/dev/null", O_RDONLY) < 0 && errno == EACCES);
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

/* Much of it in small pieces and given back: the C library tells the kernel. */
static int memory_given_back(void)
{
    static void *pieces[20000];
    int bad = 0;
    for (size_t i = 0; i < 20000; i++)
        bad |= !(pieces[i] = malloc(100 + i % 4000));
    for (size_t i = 0; i < 20000; i++)
        free(pieces[i]);
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
    static const unsigned long requests[] = {FUNCTIONFS_FIFO_FLUSH, FUNCTIONFS_CLEAR_HALT};
    for (unsigned i = 0; i < sizeof requests / sizeof requests[0]; i++)
        if (ioctl(0, requests[i]) >= 0 || (errno != ENOTTY && errno != EINVAL))
            return 1;
    return 0;
}

/* As musl does it: the request sign-extended. */
static int functionfs_ioctl_as_int(void)
{
    long request = (int)(unsigned)FUNCTIONFS_ENDPOINT_DESC;
    char descriptor[16];
    return !(syscall(SYS_ioctl, 0, request, descriptor) < 0 && errno != ENOSYS);
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

static void what_the_loop_needs_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(filtered(tcp_socket), 0);
    assert_int_equal(filtered(tcp6_socket), 0);
    assert_int_equal(filtered(options_of_the_connection), 0);
    assert_int_equal(filtered(plain_memory), 0);
    assert_int_equal(filtered(memory_given_back), 0);
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
        cmocka_unit_test(a_failed_assertion_is_seen_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

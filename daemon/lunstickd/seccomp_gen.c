/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs on the build machine and writes the child's system call filter as a C
 * header, for each supported architecture. What is not named ends the process.
 *
 * The list is what the event loop of child.c, libiscsi, libaio and the C
 * libraries (glibc and musl) need after set-up; everything that opens, creates
 * or starts something was done before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/usb/functionfs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Stands for the number of the process that loads the filter. No other constant
 * of the filter may be the same. */
#define FILTER_OWN_PID 0x7fffff5dU

static const char *const plain[] = {
    /* data: FunctionFS, the target, the log, the parent */
    "read", "readv", "write", "writev", "recvfrom", "recvmsg", "sendto", "sendmsg",
    /* waiting and time */
    "poll", "ppoll", "clock_gettime", "gettimeofday", "time", "restart_syscall",
    /* asynchronous I/O of the endpoints */
    "io_submit", "io_getevents", "io_cancel",
    /* the session's connection, the control socket */
    "connect", "accept4", "getsockname", "close",
    /* memory */
    "brk", "munmap", "mremap", "getrandom",
    /* ending */
    "exit", "exit_group", "rt_sigreturn", "rt_sigprocmask", "rt_sigaction", "getpid", "gettid"};

/* Libraries ask for these and live well without. */
static const struct {
    const char *name;
    int error;
} refused[] = {
    {"open", EACCES},       /* libiscsi: /dev/urandom; glibc: its configuration files */
    {"openat", EACCES},     /* likewise */
    {"newfstatat", EACCES}, /* glibc looks whether resolv.conf changed */
    {"stat", EACCES},       {"fstat", EACCES}, {"uname", EPERM},
};

static const unsigned long functionfs[] = {FUNCTIONFS_FIFO_FLUSH, FUNCTIONFS_CLEAR_HALT,
                                           FUNCTIONFS_ENDPOINT_DESC};

/* What libiscsi sets on its connection. */
static const struct {
    int level, option;
} set_options[] = {
    {SOL_SOCKET, SO_KEEPALIVE},   {IPPROTO_TCP, TCP_NODELAY}, {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_SYNCNT},    {IPPROTO_TCP, TCP_KEEPCNT}, {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL}, {IPPROTO_TCP, TCP_CORK},
};

/* Locks of the C libraries, all private to the process or not; what they
 * return to the kernel as they free memory. */
static const int futexes[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET};
static const int advices[] = {MADV_DONTNEED, MADV_FREE};

static void check(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "seccomp_gen: %s: %s\n", what, strerror(-rc));
        exit(1);
    }
}

/* A rule for a call that the architecture may not have. libseccomp takes the
 * build machine's number of a call and translates it. */
static void rule(scmp_filter_ctx ctx, uint32_t arch, uint32_t action, const char *name,
                 unsigned count, const struct scmp_arg_cmp *args)
{
    if (seccomp_syscall_resolve_name_arch(arch, name) < 0)
        return;
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        check(-EINVAL, name);
    check(seccomp_rule_add_array(ctx, action, number, count, args), name);
}

static void add_rules(scmp_filter_ctx ctx, uint32_t arch)
{
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        rule(ctx, arch, SCMP_ACT_ALLOW, plain[i], 0, NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        rule(ctx, arch, SCMP_ACT_ERRNO((uint32_t)refused[i].error), refused[i].name, 0, NULL);
    for (size_t i = 0; i < sizeof functionfs / sizeof functionfs[0]; i++)
        /* musl hands the request over as an int: its upper half is the sign */
        rule(ctx, arch, SCMP_ACT_ALLOW, "ioctl", 1,
             &SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, functionfs[i]));

    /* Memory is never executable, and no file is mapped. */
    const struct scmp_arg_cmp memory[] = {
        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
        SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS),
    };
    rule(ctx, arch, SCMP_ACT_ALLOW, "mmap", 2, memory);
    rule(ctx, arch, SCMP_ACT_ALLOW, "mprotect", 1, memory);
    for (size_t i = 0; i < sizeof futexes / sizeof futexes[0]; i++)
        rule(ctx, arch, SCMP_ACT_ALLOW, "futex", 1,
             &SCMP_A1(SCMP_CMP_MASKED_EQ, FUTEX_CMD_MASK & 0xffffffff, (scmp_datum_t)futexes[i]));
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
        rule(ctx, arch, SCMP_ACT_ALLOW, "madvise", 1,
             &SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)advices[i]));

    /* TCP only. getaddrinfo() of glibc asks for a netlink socket, even for a
     * numeric address, and goes on without. */
    const int families[] = {AF_INET, AF_INET6}, protocols[] = {0, IPPROTO_TCP};
    for (unsigned i = 0; i < 4; i++) {
        const struct scmp_arg_cmp tcp[] = {
            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i / 2]),
            SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM),
            SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)protocols[i % 2]),
        };
        rule(ctx, arch, SCMP_ACT_ALLOW, "socket", 3, tcp);
    }
    const int others[] = {AF_NETLINK, AF_UNIX};
    for (unsigned i = 0; i < 2; i++)
        rule(ctx, arch, SCMP_ACT_ERRNO(EAFNOSUPPORT), "socket", 1,
             &SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)others[i]));
    for (size_t i = 0; i < sizeof set_options / sizeof set_options[0]; i++) {
        const struct scmp_arg_cmp option[] = {
            SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)set_options[i].level),
            SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)set_options[i].option),
        };
        rule(ctx, arch, SCMP_ACT_ALLOW, "setsockopt", 2, option);
    }
    const struct scmp_arg_cmp error[] = {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET),
                                         SCMP_A2(SCMP_CMP_EQ, SO_ERROR)};
    rule(ctx, arch, SCMP_ACT_ALLOW, "getsockopt", 2, error);

    const int fcntls[] = {F_GETFL, F_SETFL};
    for (size_t i = 0; i < sizeof fcntls / sizeof fcntls[0]; i++)
        rule(ctx, arch, SCMP_ACT_ALLOW, "fcntl", 1, &SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntls[i]));

    /* abort(), so that a failed assertion is seen as one; nobody else's */
    const struct scmp_arg_cmp tgkill[] = {SCMP_A0(SCMP_CMP_EQ, FILTER_OWN_PID),
                                          SCMP_A2(SCMP_CMP_EQ, SIGABRT)};
    rule(ctx, arch, SCMP_ACT_ALLOW, "tgkill", 2, tgkill);
    const struct scmp_arg_cmp tkill[] = {SCMP_A0(SCMP_CMP_EQ, FILTER_OWN_PID),
                                         SCMP_A1(SCMP_CMP_EQ, SIGABRT)};
    rule(ctx, arch, SCMP_ACT_ALLOW, "tkill", 2, tkill);
}

static void write_filter(uint32_t arch, const char *condition)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    FILE *program = tmpfile();
    if (!ctx || !program)
        check(-ENOMEM, "seccomp_init");
    if (arch != seccomp_arch_native()) {
        check(seccomp_arch_add(ctx, arch), "seccomp_arch_add");
        check(seccomp_arch_remove(ctx, seccomp_arch_native()), "seccomp_arch_remove");
    }
    /* decided by a tree of numbers: few steps for each call */
    check(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2), "seccomp_attr_set");
    check(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "bad arch");
    add_rules(ctx, arch);
    check(seccomp_export_bpf(ctx, fileno(program)), "seccomp_export_bpf");
    seccomp_release(ctx);

    printf("%s\nstatic const struct sock_filter child_filter[] = {\n", condition);
    struct sock_filter step;
    if (fseek(program, 0, SEEK_SET) != 0)
        check(-errno, "fseek");
    while (fread(&step, sizeof step, 1, program) == 1)
        printf("    {0x%04x, %u, %u, 0x%08x},\n", step.code, step.jt, step.jf, step.k);
    printf("};\n");
    if (fclose(program) != 0)
        check(-errno, "fclose");
}

int main(int argc, char **argv)
{
    if (argc != 2 || !freopen(argv[1], "w", stdout))
        check(-EINVAL, "the header to write");
    printf("/* Made by seccomp_gen.c; needs linux/filter.h. */\n"
           "#define FILTER_OWN_PID 0x%xU /* each one is to be replaced by getpid() */\n",
           FILTER_OWN_PID);
    write_filter(SCMP_ARCH_X86_64, "#if defined(__x86_64__)");
    write_filter(SCMP_ARCH_AARCH64, "#elif defined(__aarch64__)");
    printf("#else\n#error \"no system call filter for this architecture: see seccomp_gen.c\"\n"
           "#endif\n");
    return fflush(stdout) == 0 ? 0 : 1;
}

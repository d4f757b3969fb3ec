/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a child that was taken over could still do: a process that gave up its
 * rights with the daemon's own code tries it. Each attempt runs twice, in
 * processes of their own:
 *
 *   dropped   behind everything but the filter, as if that had a hole
 *   filtered  behind sandbox_filter() as well; also where the real user stays root
 *
 * One line for each attempt, `ok NAME` or `FAIL NAME: WHY`.
 *
 *   attempts DIR    root: gives up its rights; DIR is empty and root's own
 *   attempts        anybody else: the child of a parent without root's rights,
 *                   whose files are kept from it by Landlock, if the kernel has it
 */
#include "daemon/lunstickd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <linux/usb/functionfs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

/* Numbers that older headers lack; the same on both architectures. */
#define NR_IO_URING_SETUP 425
#define NR_OPEN_TREE      428
#define NR_FSOPEN         430
#define NR_PIDFD_OPEN     434
#define NR_CLONE3         435
#define NR_OPENAT2        437
#define NR_MOUNT_SETATTR  442
#define NR_MEMFD_SECRET   447
#define NR_NEWEST         9999 /* what a later kernel may bring */

/* How an attempt ends: with an errno, or with one of these. */
enum {
    WORKS = 0,
    KILLED = -SIGSYS,
    ANY = -1000, /* of `dropped`: the filter alone is to stop it */
};

struct attempt {
    const char *name;
    int dropped, filtered;
    long (*try)(void); /* NULL: the system call */
    long number, args[6];
};

static struct {
    pid_t victim; /* root's, and asleep; it stands for the parent */
    struct sockaddr_un abstract;
    struct sockaddr_in tcp;
    int to_parent; /* one end of a pair, as the child has one */
    int parent_ns; /* a directory that the child was never given */
    char *page;    /* mapped before */
    bool landlock;
} world;

/* ---- attempts that are more than a system call ---- */

static long read_all(const char *path)
{
    int fd = open(path, O_RDONLY);
    return fd < 0 ? -1 : close(fd);
}

static long open_passwd(void)
{
    return read_all("/etc/passwd");
}

static long climb_out(void)
{
    return read_all("../../../../etc/passwd");
}

static long own_memory(void)
{
    return read_all("/proc/self/mem");
}

static long victims_memory(void)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/mem", (int)world.victim);
    return read_all(path);
}

static long kernel_setting(void)
{
    int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
    return fd < 0 ? -1 : close(fd);
}

static long system_state(void)
{
    return read_all("/sys/kernel");
}

static long create_file(void)
{
    int fd = open("/new", O_WRONLY | O_CREAT, 0600);
    return fd < 0 ? -1 : close(fd);
}

static long start_process(void)
{
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid < 0 ? -1 : 0;
}

/* Where the user has other processes, the limit of none answers first. */
static long run_program(void)
{
    char *argv[] = {(char *)"true", NULL};
    (void)execv("/bin/true", argv);
    errno = errno == EAGAIN ? ENOENT : errno;
    return -1;
}

/* A program that never was a file. */
static long run_from_memory(void)
{
    char *argv[] = {(char *)"x", NULL};
    long fd = syscall(SYS_memfd_create, "x", 0U);
    if (fd < 0 || write((int)fd, "#!/bin/true\n", 12) != 12)
        return -1;
    return syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH);
}

static long code_by_mmap(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
               ? -1
               : 0;
}

static long code_by_mprotect(void)
{
    return mprotect(world.page, 4096, PROT_READ | PROT_EXEC);
}

static long map_a_file(void)
{
    return mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, world.parent_ns, 0) == MAP_FAILED ? -1 : 0;
}

static long all_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{~0U, ~0U, 0}, {0xff, 0xff, 0}};
    return syscall(SYS_capset, &head, data);
}

static long victims_bytes(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {world.page, 1};
    return process_vm_readv(world.victim, &here, 1, &there, 1, 0);
}

static long raise_own_limit(void)
{
    const struct rlimit all = {65536, 65536};
    return setrlimit(RLIMIT_NOFILE, &all);
}

static long raise_victims_limit(void)
{
    const struct rlimit all = {65536, 65536};
    return syscall(SYS_prlimit64, world.victim, RLIMIT_CORE, &all, NULL);
}

static long realtime(void)
{
    const struct sched_param p = {.sched_priority = 1};
    return syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &p);
}

static long another_filter(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = 1, .filter = &allow};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static long set_clock(void)
{
    const long then[2] = {0, 0};
    return syscall(SYS_settimeofday, then, NULL);
}

static long reach_a_local_service(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    return fd < 0 ? -1
                  : connect(fd, (const struct sockaddr *)&world.abstract, sizeof(sa_family_t) + 6);
}

static long aim_the_parents_socket_elsewhere(void)
{
    return connect(world.to_parent, (const struct sockaddr *)&world.abstract,
                   sizeof(sa_family_t) + 6);
}

static long reach_a_tcp_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&world.tcp, sizeof world.tcp);
}

static long tcp_over_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    return fd >= 0 || errno == EAFNOSUPPORT ? 0 : -1;
}

#if defined(__x86_64__)
/* getpid() of the 32-bit kind */
static long call_of_32_bits(void)
{
    long number = 20;
    __asm__ volatile("int $0x80" : "+a"(number) : : "memory", "r8", "r9", "r10", "r11");
    return number;
}
#endif

/* ---- the table ---- */

#define P(pointer) ((long)(pointer))
#define CALL(number, ...)                                                                          \
    NULL, (number),                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static const char root_dir[] = "/", file[] = "/file", new[] = "/new";

static unsigned make_table(struct attempt *out, unsigned room)
{
    const long victim = world.victim, page = P(world.page), parent = world.to_parent;
    static const int one = 1;
    static const uint64_t big[32]; /* zeroes for the structures that are only looked at */
    const struct attempt table[] = {
        /* files */
        {"open a file of the system", ENOENT, EACCES, open_passwd, 0, {0}},
        {"climb out of the empty directory", ENOENT, EACCES, climb_out, 0, {0}},
        {"open its own memory in /proc", ENOENT, EACCES, own_memory, 0, {0}},
        {"open the parent's memory in /proc", ENOENT, EACCES, victims_memory, 0, {0}},
        {"open a kernel setting in /proc", ENOENT, EACCES, kernel_setting, 0, {0}},
        {"open sysfs", ENOENT, EACCES, system_state, 0, {0}},
        {"create a file", EACCES, EACCES, create_file, 0, {0}},
        {"open relative to a directory it was not given", ANY, EACCES,
         CALL(SYS_openat, world.parent_ns, P("."), O_RDONLY)},
        {"open by openat2", ANY, KILLED, CALL(NR_OPENAT2, AT_FDCWD, P(root_dir), P(big), 24)},
        {"open by handle", ANY, KILLED, CALL(SYS_open_by_handle_at, AT_FDCWD, P(big), 0)},
        {"stat a file", ANY, KILLED, CALL(SYS_statx, AT_FDCWD, P(root_dir), 0, 0, page)},
        {"delete a file", EACCES, KILLED, CALL(SYS_unlinkat, AT_FDCWD, P(file), 0)},
        {"rename a file", EACCES, KILLED,
         CALL(SYS_renameat2, AT_FDCWD, P(file), AT_FDCWD, P(new), 0)},
        {"link a file", ANY, KILLED, CALL(SYS_linkat, AT_FDCWD, P(file), AT_FDCWD, P(new), 0)},
        {"make a symbolic link", EACCES, KILLED, CALL(SYS_symlinkat, P(file), AT_FDCWD, P(new))},
        {"make a directory", EACCES, KILLED, CALL(SYS_mkdirat, AT_FDCWD, P(new), 0700)},
        {"make a device", EACCES, KILLED,
         CALL(SYS_mknodat, AT_FDCWD, P(new), S_IFCHR | 0600, 0x101)},
        {"change a file's mode", EPERM, KILLED, CALL(SYS_fchmodat, AT_FDCWD, P(file), 0666)},
        {"change a file's owner", EPERM, KILLED,
         CALL(SYS_fchownat, AT_FDCWD, P(file), NOBODY, NOBODY, 0)},
        {"truncate a file", EACCES, KILLED, CALL(SYS_truncate, P(file), 0)},
        {"change the directory", ANY, KILLED, CALL(SYS_chdir, P(root_dir))},
        {"enter a directory it was not given", ANY, KILLED, CALL(SYS_fchdir, world.parent_ns)},
        {"change the root directory", EPERM, KILLED, CALL(SYS_chroot, P(root_dir))},
        {"exchange the root directory", EPERM, KILLED,
         CALL(SYS_pivot_root, P(root_dir), P(root_dir))},
        {"mount a file system", EPERM, KILLED,
         CALL(SYS_mount, P("none"), P(root_dir), P("tmpfs"), 0, 0)},
        {"unmount a file system", EPERM, KILLED, CALL(SYS_umount2, P(root_dir), MNT_DETACH)},
        {"open a file system by its type", EPERM, KILLED, CALL(NR_FSOPEN, P("tmpfs"), 0)},
        {"clone a mounted tree", EPERM, KILLED, CALL(NR_OPEN_TREE, AT_FDCWD, P(root_dir), 1)},
        {"change a mount's attributes", ANY, KILLED,
         CALL(NR_MOUNT_SETATTR, AT_FDCWD, P(root_dir), 0, P(big), 32)},
        {"watch files", ANY, KILLED, CALL(SYS_inotify_init1, 0)},
        {"watch a file system", ANY, KILLED, CALL(SYS_fanotify_init, 0, 0)},

        /* processes and programs */
        {"start a process", EAGAIN, KILLED, start_process, 0, {0}},
        {"start a process by clone3", EAGAIN, KILLED, CALL(NR_CLONE3, P(world.page), 64)},
        {"start a program", ENOENT, KILLED, run_program, 0, {0}},
        {"start a program from memory", ANY, KILLED, run_from_memory, 0, {0}},
        {"make secret memory", ANY, KILLED, CALL(NR_MEMFD_SECRET, 0)},
        {"make new code by mmap", ANY, KILLED, code_by_mmap, 0, {0}},
        {"make new code by mprotect", ANY, KILLED, code_by_mprotect, 0, {0}},
        {"make new code by a protection key", ANY, KILLED,
         CALL(SYS_pkey_mprotect, page, 4096, PROT_EXEC, -1)},
        {"map a file", ANY, KILLED, map_a_file, 0, {0}},
        {"signal the parent", EPERM, KILLED, CALL(SYS_kill, victim, 0)},
        {"abort the parent", EPERM, KILLED, CALL(SYS_tgkill, victim, victim, SIGABRT)},
        {"abort the parent by its thread", EPERM, KILLED, CALL(SYS_tkill, victim, SIGABRT)},
        {"signal itself but by abort()", ANY, KILLED,
         CALL(SYS_tgkill, getpid(), getpid(), SIGTERM)},
        {"signal everybody", ANY, KILLED, CALL(SYS_kill, -1, 0)},
        {"queue a signal to the parent", EPERM, KILLED,
         CALL(SYS_rt_sigqueueinfo, victim, SIGTERM, P(big))},
        {"hold the parent by a descriptor", ANY, KILLED, CALL(NR_PIDFD_OPEN, victim, 0)},
        {"trace the parent", EPERM, KILLED, CALL(SYS_ptrace, PTRACE_ATTACH, victim, 0, 0)},
        {"read the parent's memory", EPERM, KILLED, victims_bytes, 0, {0}},
        {"compare the parent's files", EPERM, KILLED, CALL(SYS_kcmp, victim, victim, 0, 0, 0)},

        /* rights and limits */
        {"become root", EPERM, KILLED, CALL(SYS_setresuid, 0, 0, 0)},
        {"become root's file user", ANY, KILLED, CALL(SYS_setfsuid, 0)},
        {"become root's group", EPERM, KILLED, CALL(SYS_setresgid, 0, 0, 0)},
        {"join a group", EPERM, KILLED, CALL(SYS_setgroups, 1, P(big))},
        {"take capabilities", EPERM, KILLED, all_capabilities, 0, {0}},
        {"let programs keep capabilities", EPERM, KILLED,
         CALL(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0)},
        {"forget that there are no new rights", EINVAL, KILLED,
         CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)},
        {"let itself be dumped", ANY, KILLED, CALL(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)},
        {"change its personality", ANY, KILLED, CALL(SYS_personality, 0x0400000)},
        {"make a user namespace", EPERM, KILLED, CALL(SYS_unshare, CLONE_NEWUSER)},
        {"make a mount namespace", EPERM, KILLED, CALL(SYS_unshare, CLONE_NEWNS)},
        {"enter a namespace", ANY, KILLED, CALL(SYS_setns, world.parent_ns, 0)},
        {"open more files", EPERM, KILLED, raise_own_limit, 0, {0}},
        {"raise the parent's limits", EPERM, KILLED, raise_victims_limit, 0, {0}},
        {"be more important", EACCES, KILLED, CALL(SYS_setpriority, PRIO_PROCESS, 0, -20)},
        {"run in real time", EPERM, KILLED, realtime, 0, {0}},
        {"load a filter of its own", ANY, KILLED, another_filter, 0, {0}},
        {"load a filter by seccomp()", ANY, KILLED, CALL(SYS_seccomp, 0, 0, 0)},

        /* the machine */
        {"load a kernel module", ANY, KILLED, CALL(SYS_finit_module, -1, P(""), 0)},
        {"load another kernel", ANY, KILLED, CALL(SYS_kexec_load, 0, 0, 0, 0)},
        {"reboot", EPERM, KILLED, CALL(SYS_reboot, 0xfee1dead, 672274793, 0, 0)},
        {"read the kernel's log", ANY, KILLED, CALL(SYS_syslog, 3, page, 16)},
        {"set the clock", EPERM, KILLED, set_clock, 0, {0}},
        {"rename the machine", EPERM, KILLED, CALL(SYS_sethostname, P("x"), 1)},
        {"add swap space", EPERM, KILLED, CALL(SYS_swapon, P(file), 0)},
        {"account processes", EPERM, KILLED, CALL(SYS_acct, 0)},
        {"use bpf", ANY, KILLED, CALL(SYS_bpf, 5, P(big), 64)},
        {"use io_uring", ANY, KILLED, CALL(NR_IO_URING_SETUP, 1, P(world.page))},
        {"use userfaultfd", ANY, KILLED, CALL(SYS_userfaultfd, 0)},
        {"use perf events", ANY, KILLED, CALL(SYS_perf_event_open, P(big), 0, -1, -1, 0)},
        {"add a key", ANY, KILLED, CALL(SYS_add_key, P("user"), P("k"), P("v"), 1, -3)},
        {"read keys", ANY, KILLED, CALL(SYS_keyctl, KEYCTL_GET_KEYRING_ID, -3, 1)},
        {"use shared memory", ANY, KILLED, CALL(SYS_shmget, 0, 4096, 01600)},
        {"use message queues", ANY, KILLED, CALL(SYS_msgget, 0, 01600)},
        {"use a call that does not exist yet", ENOSYS, KILLED, CALL(NR_NEWEST, 0)},
        {"use a call of the x32 kind", ANY, KILLED, CALL(0x40000000 | SYS_getppid, 0)},
#if defined(__x86_64__)
        {"use a call of the 32-bit kind", ANY, KILLED, call_of_32_bits, 0, {0}},
        {"use the machine's ports", ANY, KILLED, CALL(SYS_iopl, 3)},
        {"change segments", ANY, KILLED, CALL(SYS_modify_ldt, 0, page, 16)},
#endif

        /* sockets and descriptors */
        {"make a TCP connection: it has to", WORKS, WORKS, reach_a_tcp_port, 0, {0}},
        {"use TCP over IPv6: it has to", WORKS, WORKS, tcp_over_ipv6, 0, {0}},
        {"reach a local service", ANY, EAFNOSUPPORT, reach_a_local_service, 0, {0}},
        {"aim the parent's socket elsewhere",
         EISCONN,
         EISCONN,
         aim_the_parents_socket_elsewhere,
         0,
         {0}},
        {"ask the network's settings", ANY, EAFNOSUPPORT,
         CALL(SYS_socket, AF_NETLINK, SOCK_RAW, 0)},
        {"use UDP", ANY, KILLED, CALL(SYS_socket, AF_INET, SOCK_DGRAM, 0)},
        {"use UDP over IPv6", ANY, KILLED, CALL(SYS_socket, AF_INET6, SOCK_DGRAM, 0)},
        {"use raw IP", EPERM, KILLED, CALL(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_RAW)},
        {"use raw IPv6", ANY, KILLED, CALL(SYS_socket, AF_INET6, SOCK_RAW, IPPROTO_RAW)},
        {"use SCTP", ANY, KILLED, CALL(SYS_socket, AF_INET, SOCK_STREAM, IPPROTO_SCTP)},
        {"use multipath TCP", ANY, KILLED, CALL(SYS_socket, AF_INET, SOCK_STREAM, 262)},
        {"see packets", EPERM, KILLED, CALL(SYS_socket, AF_PACKET, SOCK_RAW, 0)},
        {"make a pair of sockets", ANY, KILLED,
         CALL(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, page)},
        {"take a port", ANY, KILLED, CALL(SYS_bind, parent, P(&world.tcp), sizeof world.tcp)},
        {"listen", ANY, KILLED, CALL(SYS_listen, parent, 1)},
        {"bind a connection to a network", ANY, KILLED,
         CALL(SYS_setsockopt, parent, SOL_SOCKET, SO_BINDTODEVICE, P("lo"), 3)},
        {"hang a filter on a socket", ANY, KILLED,
         CALL(SYS_setsockopt, parent, SOL_SOCKET, SO_ATTACH_FILTER, P(big), 16)},
        {"load a protocol on top of TCP", ANY, KILLED,
         CALL(SYS_setsockopt, parent, IPPROTO_TCP, TCP_ULP, P("tls"), 4)},
        {"repair a TCP connection", ANY, KILLED,
         CALL(SYS_setsockopt, parent, IPPROTO_TCP, TCP_REPAIR, P(&one), 4)},
        {"map what a socket receives", ANY, KILLED,
         CALL(SYS_getsockopt, parent, IPPROTO_TCP, 35 /* TCP_ZEROCOPY_RECEIVE */, page, page)},
        {"ask who the other side is", ANY, KILLED,
         CALL(SYS_getsockopt, parent, SOL_SOCKET, SO_PEERCRED, page, page)},
        {"type into a terminal", ANY, KILLED, CALL(SYS_ioctl, 0, TIOCSTI, P("x"))},
        {"ask for the network's interfaces", ANY, KILLED, CALL(SYS_ioctl, parent, 0x8912, page)},
        {"ask for an interface of the gadget", ANY, KILLED,
         CALL(SYS_ioctl, 0, FUNCTIONFS_INTERFACE_REVMAP, 0)},
        {"attach a buffer of the kernel's", ANY, KILLED, CALL(SYS_ioctl, 0, 0x40046783L, page)},
        {"duplicate a descriptor", ANY, KILLED, CALL(SYS_dup, 0)},
        {"duplicate a descriptor by fcntl", ANY, KILLED, CALL(SYS_fcntl, 0, F_DUPFD, 10)},
        {"be signalled by a descriptor", ANY, KILLED, CALL(SYS_fcntl, 0, F_SETOWN, victim)},
        {"lease a file", ANY, KILLED, CALL(SYS_fcntl, 0, F_SETLEASE, F_RDLCK)},
        {"make a pipe", ANY, KILLED, CALL(SYS_pipe2, page, 0)},
        {"make an event descriptor", ANY, KILLED, CALL(SYS_eventfd2, 0, 0)},
        {"make a timer", ANY, KILLED, CALL(SYS_timerfd_create, 0, 0)},
        {"wait by epoll", ANY, KILLED, CALL(SYS_epoll_create1, 0)},
        {"splice descriptors", ANY, KILLED, CALL(SYS_splice, 0, 0, 1, 0, 1, 0)},
        {"take a lock of another priority", ANY, KILLED,
         CALL(SYS_futex, page, FUTEX_LOCK_PI, 0, 0)},
        {"move waiters between locks", ANY, KILLED,
         CALL(SYS_futex, page, FUTEX_CMP_REQUEUE_PI, 1, 1, page + 8, 0)},
        {"poison memory", ANY, KILLED, CALL(SYS_madvise, page, 4096, 100 /* MADV_HWPOISON */)},
        {"put memory back into core files", ANY, KILLED,
         CALL(SYS_madvise, page, 4096, MADV_DODUMP)},
    };
    unsigned count = sizeof table / sizeof table[0];
    if (count > room)
        abort();
    memcpy(out, table, sizeof table);
    return count;
}

/* ---- running ---- */

/* Runs one attempt and returns how it ended: its errno, WORKS, or minus a signal. */
static int outcome(const struct attempt *a, const char *dir, bool filtered, bool spared)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        if (sandbox_limits() < 0 || sandbox_enter(NOBODY, NOBODY, dir, spared) < 0)
            _exit(255);
        (void)sandbox_forget_files();
        if (filtered && sandbox_filter() < 0)
            _exit(254);
        errno = 0;
        long rc = a->try ? a->try()
                         : syscall(a->number, a->args[0], a->args[1], a->args[2], a->args[3],
                                   a->args[4], a->args[5]);
        _exit(rc < 0 ? errno : WORKS);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -errno;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *words(int result, char text[64])
{
    if (result == WORKS)
        return "it works";
    if (result < 0)
        (void)snprintf(text, 64, "signal %d (%s)", -result, strsignal(-result));
    else
        (void)snprintf(text, 64, "%s", strerror(result));
    return text;
}

static bool differs(const struct attempt *a, const char *stage, int want, int got)
{
    char one[64], two[64];
    if (want == got)
        return false;
    printf("FAIL %s, %s: %s, not: %s\n", a->name, stage, words(got, one), words(want, two));
    return true;
}

/* True: as the table says. Whose root directory is not empty finds the files that
 * an empty one does not have, and may not open them. */
static bool run(const struct attempt *a, const char *dir)
{
    int dropped = dir ? a->dropped : a->dropped == ENOENT && world.landlock ? EACCES : ANY;
    if (dropped != ANY && differs(a, "dropped", dropped, outcome(a, dir, false, false)))
        return false;
    if (dir && differs(a, "spared", a->filtered, outcome(a, dir, true, true)))
        return false;
    return !differs(a, "filtered", a->filtered, outcome(a, dir, true, false));
}

static bool sockets_of_all_other_families(const char *dir)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET};
    bool good = true;
    for (int family = 0; family < 50; family++) {
        char name[64];
        struct attempt a = {name, ANY, KILLED, CALL(SYS_socket, family, 0, 0)};
        if (family == AF_INET || family == AF_INET6 || family == AF_UNIX || family == AF_NETLINK)
            continue;
        a.args[1] = types[family % 4];
        (void)snprintf(name, sizeof name, "use a socket of family %d, type %d", family,
                       types[family % 4]);
        good = run(&a, dir) && good;
    }
    return good;
}

static void make_world(void)
{
    int pair[2], listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof world.tcp;

    world.victim = fork();
    if (world.victim == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    world.abstract.sun_family = AF_UNIX;
    (void)snprintf(world.abstract.sun_path + 1, 6, "%05u", (unsigned)getpid() % 100000);
    world.tcp.sin_family = AF_INET;
    world.tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    world.parent_ns = open("/", O_RDONLY | O_DIRECTORY);
    world.page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (world.victim < 0 || world.parent_ns < 0 || world.page == MAP_FAILED ||
        bind(listener, (struct sockaddr *)&world.abstract, sizeof(sa_family_t) + 6) < 0 ||
        listen(listener, 8) < 0 || bind(tcp, (struct sockaddr *)&world.tcp, size) < 0 ||
        listen(tcp, 8) < 0 || getsockname(tcp, (struct sockaddr *)&world.tcp, &size) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) {
        printf("FAIL attempts: cannot be set up: %s\n", strerror(errno));
        exit(1);
    }
    world.to_parent = pair[0];
}

static bool kernel_has_landlock(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(sandbox_enter(NOBODY, NOBODY, NULL, false) < 0 || sandbox_forget_files() < 0);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
    static struct attempt table[200];
    char path[256];
    const char *dir = argc > 1 ? argv[1] : NULL;
    bool good = true;

    (void)setvbuf(stdout, NULL, _IONBF, 0); /* the processes would say it again */
    if (dir) {
        (void)snprintf(path, sizeof path, "%s/file", dir);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || close(fd) < 0) {
            printf("FAIL attempts: %s: %s\n", path, strerror(errno));
            return 1;
        }
    }
    if ((geteuid() == 0) != (dir != NULL)) {
        printf("FAIL attempts: an empty directory for root, none for others\n");
        return 1;
    }
    make_world();
    world.landlock = kernel_has_landlock();
    if (!dir && !world.landlock)
        printf("skip files: this kernel has no Landlock\n");
    unsigned count = make_table(table, sizeof table / sizeof table[0]);
    for (unsigned i = 0; i < count; i++) {
        if (run(&table[i], dir))
            printf("ok %s: %s\n", table[i].name,
                   table[i].filtered == WORKS ? "allowed" : "refused");
        else
            good = false;
    }
    if (sockets_of_all_other_families(dir))
        printf("ok use a socket of any other family: refused\n");
    else
        good = false;
    (void)kill(world.victim, SIGKILL);
    if (dir)
        (void)unlink(path);
    return good ? 0 : 1;
}

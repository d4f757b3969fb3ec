/* SPDX-License-Identifier: BSD-2-Clause */
/* What libiscsi's configure would find with musl on Linux, less what lunstick
 * has no use for: iSER, libgcrypt, SG_IO. */
#define HAVE_ARPA_INET_H   1
#define HAVE_CLOCK_GETTIME 1
#define HAVE_INTTYPES_H    1
#define HAVE_NETINET_IN_H  1
#define HAVE_NETINET_TCP_H 1
#define HAVE_POLL_H        1
#define HAVE_SOCKADDR_IN6  1
#define HAVE_STDINT_H      1
#define HAVE_STDLIB_H      1
#define HAVE_STRING_H      1
#define HAVE_SYS_SELECT_H  1
#define HAVE_SYS_SOCKET_H  1
#define HAVE_SYS_STAT_H    1
#define HAVE_SYS_TIME_H    1
#define HAVE_SYS_TYPES_H   1
#define HAVE_SYS_UIO_H     1
#define HAVE_TZSET         1
#define HAVE_UNISTD_H      1

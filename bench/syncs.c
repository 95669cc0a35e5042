/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Counts the calls that sync a file, whoever makes them: these definitions come before those of the C library,
 * for every library of the program.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"

static atomic_uint_fast64_t syncs;

uint64_t bench_syncs(void)
{
    return atomic_load_explicit(&syncs, memory_order_relaxed);
}

static void count(void)
{
    atomic_fetch_add_explicit(&syncs, 1, memory_order_relaxed);
}

int fsync(int fd)
{
    count();
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    count();
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwritev2(int fd, const struct iovec *parts, int n, off_t offset, int flags)
{
    if (flags & RWF_DSYNC)
        count();
    return syscall(SYS_pwritev2, fd, parts, n, offset, 0L, flags);
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Results of system calls: see call_results.h.
 */
#include "checkpoint/kernel/call_results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "checkpoint/kernel/memory_calls.h"

#define BY_RESULT UINT32_MAX /* as many bytes as the call says */

/* One part, at the address that an argument gives, of a fixed size; 0: there is none. */
struct out {
    uint32_t size;
    uint8_t argument;
    bool loggable;
};

#define OUT(name, argument, size) [SYS_##name] = {size, argument, true}
#define NO_OUT(name) [SYS_##name] = {0, 0, true}

static const struct out outs[512] = {
    OUT(stat, 1, 144),
    OUT(lstat, 1, 144),
    OUT(fstat, 1, 144),
    OUT(newfstatat, 2, 144),
    OUT(statx, 4, 256),
    OUT(statfs, 1, 120),
    OUT(fstatfs, 1, 120),
    OUT(clock_gettime, 1, 16),
    OUT(clock_getres, 1, 16),
    OUT(time, 0, 8),
    OUT(times, 0, 32),
    OUT(getrusage, 1, 144),
    OUT(sysinfo, 0, 112),
    OUT(getitimer, 1, 32),
    OUT(getrandom, 0, BY_RESULT),
    OUT(readlink, 1, BY_RESULT),
    OUT(readlinkat, 2, BY_RESULT),
    OUT(getcwd, 0, BY_RESULT),
    OUT(sched_getaffinity, 2, BY_RESULT),
    NO_OUT(access),
    NO_OUT(faccessat),
    NO_OUT(faccessat2),
    NO_OUT(nanosleep),
    NO_OUT(clock_nanosleep),
    NO_OUT(sched_yield),
    NO_OUT(getpriority),
    NO_OUT(getpgrp),
    NO_OUT(getpgid),
    NO_OUT(getsid),
    NO_OUT(fadvise64),
    NO_OUT(readahead),
};

static int one(struct iovec *parts, uint64_t address, size_t size)
{
    parts[0] = (struct iovec){(void *)address, size};
    return address != 0 && size != 0;
}

static int of_ioctl(const struct vi_call *call, struct iovec *parts)
{
    switch (call->arguments[1] & 0xffffffff) {
    case TCGETS:
        return one(parts, call->arguments[2], 36); /* the kernel's structure */
    case TIOCGPGRP:
    case FIONREAD:
        return one(parts, call->arguments[2], sizeof(int));
    default:
        return -1;
    }
}

static int of_select(const struct vi_call *call, struct iovec *parts)
{
    const uint64_t *a = call->arguments;
    int count = 0;

    for (int i = 1; i <= 3; i++)
        count += one(parts + count, a[i], (a[0] + 63) / 64 * 8);
    return count + one(parts + count, a[4], 16);
}

static int of_others(const struct vi_call *call, long result, struct iovec *parts)
{
    const uint64_t *a = call->arguments;
    const struct out *out = &outs[call->number];

    if (!out->loggable)
        return -1;
    return one(parts, a[out->argument],
               out->size == BY_RESULT ? (size_t)result : (size_t)out->size);
}

static int parts_of(const struct vi_call *call, long result, struct iovec *parts)
{
    const uint64_t *a = call->arguments;
    int count;

    switch (call->number) {
    case SYS_ioctl:
        return of_ioctl(call, parts);
    case SYS_poll:
    case SYS_ppoll:
        return one(parts, a[0], a[1] * 8);
    case SYS_select:
    case SYS_pselect6:
        return of_select(call, parts);
    case SYS_gettimeofday:
        count = one(parts, a[0], sizeof(struct timeval));
        return count + one(parts + count, a[1], sizeof(struct timezone));
    case SYS_fcntl:
        return a[1] == F_GETFL || a[1] == F_GETFD ? 0 : -1;
    default:
        return of_others(call, result, parts);
    }
}

int vi_results_of(const struct vi_call *call, long result, struct iovec parts[VI_RESULTS])
{
    int count;

    if (call->number >= 512 || result == VI_NO_RESULT || result == VI_INTERRUPTED ||
        result == -EINTR) /* which is logged with the signal that ended it */
        return -1;
    if (result < 0) /* what failed has written nothing */
        return call->number == SYS_read ? -1 : 0;
    count = parts_of(call, result, parts);
    for (int i = 0; i < count; i++)
        if (!vi_memory_writable((uint64_t)parts[i].iov_base, parts[i].iov_len))
            return -1;
    return count;
}

int vi_results_of_ended(const struct vi_call *call, struct iovec parts[1])
{
    const uint64_t *a = call->arguments;
    size_t size = sizeof(struct timespec);
    uint64_t at = 0;

    if (call->number == SYS_nanosleep) {
        at = a[1];
    } else if (call->number == SYS_clock_nanosleep && !(a[1] & TIMER_ABSTIME)) {
        at = a[3];
    } else if (call->number == SYS_select || call->number == SYS_pselect6) {
        at = a[4];
    } else if (call->number == SYS_poll || call->number == SYS_ppoll) {
        at = a[0];
        size = a[1] * 8;
    }
    return vi_memory_writable(at, size) ? one(parts, at, size) : 0;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Numbers of arguments: see argument_counts.h.
 */
#include "checkpoint/kernel/argument_counts.h"

#include <sys/syscall.h>

#include "checkpoint/kernel/table.h"

#define MOST 3u

/* How many each has fewer than that. */
#define NONE(name) [SYS_##name] = MOST
#define ONE(name) [SYS_##name] = (MOST - 1)
#define TWO(name) [SYS_##name] = (MOST - 2)
#define FEWER \
    NONE(fork), NONE(getpgrp), NONE(pause), NONE(sched_yield), NONE(sync), NONE(vfork), \
        ONE(alarm), ONE(exit), ONE(exit_group), ONE(fdatasync), ONE(fsync), ONE(getpgid), \
        ONE(getsid), ONE(sched_get_priority_max), ONE(sched_get_priority_min), \
        ONE(sched_getscheduler), ONE(syncfs), ONE(sysinfo), ONE(time), ONE(times), TWO(access), \
        TWO(clock_getres), TWO(clock_gettime), TWO(fcntl), TWO(flock), TWO(fstat), TWO(fstatfs), \
        TWO(ftruncate), TWO(getcwd), TWO(getitimer), TWO(getpriority), TWO(getrusage), \
        TWO(gettimeofday), TWO(inotify_rm_watch), TWO(ioctl), TWO(ioprio_get), TWO(kill), \
        TWO(listen), TWO(lstat), TWO(nanosleep), TWO(rt_sigpending), TWO(rt_sigsuspend), \
        TWO(sched_getparam), TWO(setpgid), TWO(shutdown), TWO(stat), TWO(statfs), \
        TWO(timerfd_gettime), TWO(tkill)

static const unsigned char fewer[VI_ROWS] = {FEWER};

unsigned vi_argument_count(long number)
{
    return (unsigned long)number < VI_ROWS ? MOST - fewer[number] : 0;
}

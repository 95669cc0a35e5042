/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Waiting: see wait.h.  The kernel waits with the guest's signals open; what has landed and was
 * not served counts as ready.
 */
#include "checkpoint/kernel/wait.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/trap/signals.h"
#include "checkpoint/trap/window.h"

#define KERNEL_SET sizeof(uint64_t)
#define FARTHEST ((int64_t)4 << 30) /* seconds, a century: of more the nanoseconds are too many */

static bool has_landed(int fd)
{
    return fd >= 0 && vi_files_is_waiting((uint64_t)fd);
}

/* After a wait that only the runtime's own signal has ended: the checkpoint is made, and the rest of the
 * time is waited for. */
static bool goes_on(struct vi_call *call, long result, uint64_t open)
{
    if (result == -EINTR && !vi_signals_kept(open))
        vi_signals_tick(call);
    return result == -EINTR && !vi_signals_kept(open);
}

static long poll_with(struct vi_call *call, struct pollfd *fds, uint64_t count,
                      struct timespec *limit, const uint64_t *mask)
{
    const uint64_t open = vi_signals_open(mask != NULL ? *mask : *vi_trap_mask(call->context));
    struct timespec none = {0};
    long landed = 0, result;

    if (vi_signals_kept(open))
        return vi_signals_interrupt(call, mask);
    for (uint64_t i = 0; i < count; i++)
        landed += fds[i].events & POLLIN && has_landed(fds[i].fd);
    do { /* the kernel leaves what is left of the limit */
        result = vi_system(SYS_ppoll, (uint64_t)fds, count, (uint64_t)(landed != 0 ? &none : limit),
                           (uint64_t)&open, KERNEL_SET, 0);
    } while (goes_on(call, result, open));
    if (result < 0)
        return result == -EINTR ? vi_signals_interrupt(call, mask) : result;
    for (uint64_t i = 0; i < count && landed != 0; i++)
        if (fds[i].events & POLLIN && has_landed(fds[i].fd)) {
            result += fds[i].revents == 0;
            fds[i].revents |= POLLIN;
        }
    return result;
}

long vi_call_poll(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    struct pollfd *fds = (void *)a[0];
    struct timespec limit = {0};
    const uint64_t *mask = NULL;
    const int milliseconds = (int)a[2];
    bool limited = milliseconds >= 0;

    if (a[1] > VI_DESCRIPTORS)
        return -EINVAL;
    if (!vi_memory_writable(a[0], a[1] * sizeof *fds))
        return -EFAULT;
    if (call->number == SYS_poll) {
        limit = (struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L};
    } else {
        limited = a[2] != 0;
        mask = (const void *)a[3];
        if ((limited && !vi_memory_readable(a[2], sizeof limit)) ||
            (mask != NULL && !vi_memory_readable(a[3], KERNEL_SET)))
            return -EFAULT;
        if (limited)
            limit = *(const struct timespec *)a[2];
    }
    return poll_with(call, fds, a[1], limited ? &limit : NULL, mask);
}

/* ---- select ------------------------------------------------------------------ */

static struct timespec limit_of(const struct vi_call *call)
{
    const struct timeval *v = (const void *)call->arguments[4];

    if (call->number == SYS_pselect6)
        return *(const struct timespec *)v;
    return (struct timespec){v->tv_sec, v->tv_usec * 1000};
}

static void put_limit(const struct vi_call *call, const struct timespec *left)
{
    if (call->number == SYS_pselect6)
        *(struct timespec *)call->arguments[4] = *left;
    else
        *(struct timeval *)call->arguments[4] =
            (struct timeval){left->tv_sec, left->tv_nsec / 1000};
}

/* The descriptors of the set that have input which has landed; how many. */
static long landed_of(const fd_set *set, int count, fd_set *landed)
{
    long found = 0;

    FD_ZERO(landed);
    for (int fd = 0; set != NULL && fd < count; fd++)
        if (FD_ISSET(fd, set) && has_landed(fd)) {
            FD_SET(fd, landed);
            found++;
        }
    return found;
}

struct select_mask {
    const uint64_t *mask;
    uint64_t size;
};

static long select_with(struct vi_call *call, int count, struct timespec *limit,
                        const uint64_t *mask)
{
    const uint64_t *a = call->arguments;
    const uint64_t open = vi_signals_open(mask != NULL ? *mask : *vi_trap_mask(call->context));
    const struct select_mask argument = {&open, KERNEL_SET};
    struct timespec none = {0};
    fd_set landed, *reading = (void *)a[1];
    const long found = landed_of(reading, count, &landed);
    long result;

    if (vi_signals_kept(open))
        return vi_signals_interrupt(call, mask);
    do {
        result = vi_system(SYS_pselect6, (uint64_t)count, a[1], a[2], a[3],
                           (uint64_t)(found != 0 ? &none : limit), (uint64_t)&argument);
    } while (goes_on(call, result, open));
    if (result < 0)
        return result == -EINTR ? vi_signals_interrupt(call, mask) : result;
    for (int fd = 0; found != 0 && reading != NULL && fd < count; fd++)
        if (FD_ISSET(fd, &landed) && !FD_ISSET(fd, reading)) {
            FD_SET(fd, reading);
            result++;
        }
    return result;
}

long vi_call_select(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const int count = (int)a[0];
    const struct select_mask *given = call->number == SYS_pselect6 ? (const void *)a[5] : NULL;
    const size_t set_size = ((size_t)(count > 0 ? count : 0) + 63) / 64 * 8;
    struct timespec limit = {0};
    long result;

    if (count < 0 || count > VI_DESCRIPTORS)
        return -EINVAL;
    for (int i = 1; i <= 3; i++)
        if (a[i] != 0 && !vi_memory_writable(a[i], set_size))
            return -EFAULT;
    if ((a[4] != 0 && !vi_memory_readable(a[4], sizeof limit)) ||
        (given != NULL && !vi_memory_readable(a[5], sizeof *given)))
        return -EFAULT;
    if (a[4] != 0)
        limit = limit_of(call);
    result =
        select_with(call, count, a[4] != 0 ? &limit : NULL, given != NULL ? given->mask : NULL);
    if (a[4] != 0 && vi_memory_writable(a[4], sizeof limit))
        put_limit(call, &limit);
    return result;
}

/* ---- Others ------------------------------------------------------------------ */

/* One entry of an epoll set: descriptor, event. */
typedef bool entry_action(int epoll, int fd, struct epoll_event *event, struct epoll_event *room);

/* Does it with each entry, as the kernel tells them; how often that gave true, `most` at most. */
static long each_entry(int epoll, entry_action *act, struct epoll_event *room, long most)
{
    char name[64], line[256];
    struct epoll_event event;
    unsigned long long data;
    unsigned fd, events;
    long count = 0;
    FILE *file;

    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", epoll);
    file = fopen(name, "re");
    while (file != NULL && count < most && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "tfd: %u events: %x data: %llx", &fd, &events, &data) != 3)
            continue;
        event = (struct epoll_event){.events = events, .data.u64 = data};
        count += act(epoll, (int)fd, &event, room != NULL ? room + count : NULL);
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static bool tell_landed(int epoll, int fd, struct epoll_event *event, struct epoll_event *room)
{
    (void)epoll;
    if (room == NULL || !(event->events & EPOLLIN) || !has_landed(fd))
        return false;
    *room = (struct epoll_event){.events = EPOLLIN, .data = event->data};
    return true;
}

/* What was told once may have been forgotten with the kill. */
static bool tell_again(int epoll, int fd, struct epoll_event *event, struct epoll_event *room)
{
    (void)room;
    return epoll_ctl(epoll, EPOLL_CTL_MOD, fd, event) == 0;
}

void vi_wait_recover(void)
{
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        const struct vi_open_file *file = vi_files_of((uint64_t)fd);

        if (file != NULL && file->kind == VI_FILE_KEPT && file->mode == 0)
            each_entry(fd, tell_again, NULL, LONG_MAX);
    }
}

void vi_wait_forget(int gone)
{
    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        const struct vi_open_file *file = vi_files_of((uint64_t)fd);

        if (file != NULL && file->kind == VI_FILE_KEPT && file->mode == 0)
            (void)epoll_ctl(fd, EPOLL_CTL_DEL, gone, NULL);
    }
}

static int64_t nanoseconds_of(int64_t seconds)
{
    return (seconds < FARTHEST ? seconds : FARTHEST) * 1000000000;
}

static int64_t until(clockid_t clock, const struct timespec *when)
{
    struct timespec now;

    vi_system(SYS_clock_gettime, (uint64_t)clock, (uint64_t)&now, 0, 0, 0, 0);
    return nanoseconds_of(when->tv_sec - now.tv_sec) + when->tv_nsec - now.tv_nsec;
}

static int64_t now_of(clockid_t clock)
{
    const struct timespec zero = {0};

    return -until(clock, &zero);
}

static long epoll_with(struct vi_call *call, uint64_t open)
{
    const uint64_t *a = call->arguments;
    const int64_t limit = (int)a[3], end = now_of(CLOCK_MONOTONIC) + limit * 1000000;
    int64_t left = limit;
    long result;

    if (vi_signals_kept(open))
        return -EINTR;
    do {
        result = vi_system(SYS_epoll_pwait, a[0], a[1], a[2], (uint64_t)left, (uint64_t)&open,
                           KERNEL_SET);
        if (limit > 0) {
            const int64_t rest = end - now_of(CLOCK_MONOTONIC);

            left = rest > 0 ? (rest + 999999) / 1000000 : 0;
        }
    } while (goes_on(call, result, open));
    return result;
}

long vi_call_epoll_wait(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const uint64_t *mask = call->number == SYS_epoll_pwait ? (const void *)a[4] : NULL;
    uint64_t open;
    long result;

    if (mask != NULL && !vi_memory_readable(a[4], KERNEL_SET))
        return -EFAULT;
    if (vi_files_any_waiting() && (int)a[2] > 0) {
        if (!vi_memory_writable(a[1], a[2] * sizeof(struct epoll_event)))
            return -EFAULT;
        result = each_entry((int)a[0], tell_landed, (void *)a[1], (int)a[2]);
        if (result > 0)
            return result;
    }
    open = vi_signals_open(mask != NULL ? *mask : *vi_trap_mask(call->context));
    result = epoll_with(call, open);
    return result == -EINTR ? vi_signals_interrupt(call, mask) : result;
}

long vi_call_sleep(struct vi_call *call)
{
    const bool clocked = call->number == SYS_clock_nanosleep;
    const uint64_t *a = call->arguments + (clocked ? 2 : 0);
    const clockid_t clock = clocked ? (clockid_t)call->arguments[0] : CLOCK_MONOTONIC;
    const bool absolute = clocked && call->arguments[1] & TIMER_ABSTIME;
    const struct timespec *wanted = (const void *)a[0];
    int64_t left, end;
    long result;

    if (!vi_memory_readable(a[0], sizeof *wanted))
        return -EFAULT;
    if (wanted->tv_nsec < 0 || wanted->tv_nsec >= 1000000000 || wanted->tv_sec < 0)
        return -EINVAL;
    left = absolute ? until(clock, wanted) : nanoseconds_of(wanted->tv_sec) + wanted->tv_nsec;
    if (left <= 0)
        return 0;
    end = now_of(clock) + left;
    result = vi_window_wait(call, -1, 0, left, NULL);
    if (result != VI_INTERRUPTED)
        return result;
    left = end - now_of(clock);
    if (!absolute && a[1] != 0 && vi_memory_writable(a[1], sizeof *wanted))
        *(struct timespec *)a[1] =
            (struct timespec){left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
    return vi_signals_interrupt(call, NULL);
}

long vi_call_pause(struct vi_call *call)
{
    (void)vi_window_wait(call, -1, 0, -1, NULL); /* a signal ends it, and nothing else */
    return vi_signals_interrupt(call, NULL);
}

/* There is one thread, and it shares no memory: only a signal ends a wait before its time. */
static long futex_wait(struct vi_call *call, int64_t nanoseconds, bool limited)
{
    const long result = vi_window_wait(call, -1, 0, nanoseconds, NULL);

    if (result == 0)
        return -ETIMEDOUT;
    return result == VI_INTERRUPTED && limited ? vi_signals_interrupt(call, NULL) : result;
}

long vi_call_futex(struct vi_call *call)
{
    const uint64_t *a = call->arguments;
    const unsigned what = (unsigned)a[1] & FUTEX_CMD_MASK;
    const struct timespec *limit = (const void *)a[3];
    int64_t left = -1;

    if (what != FUTEX_WAIT && what != FUTEX_WAIT_BITSET)
        return vi_pass(call);
    if (!vi_memory_readable(a[0], sizeof(uint32_t)) ||
        (limit != NULL && !vi_memory_readable(a[3], sizeof *limit)))
        return -EFAULT;
    if (a[0] % sizeof(uint32_t) != 0 || (what == FUTEX_WAIT_BITSET && (uint32_t)a[5] == 0) ||
        (limit != NULL &&
         (limit->tv_sec < 0 || limit->tv_nsec < 0 || limit->tv_nsec >= 1000000000)))
        return -EINVAL;
    if (*(const uint32_t *)a[0] != (uint32_t)a[2])
        return -EAGAIN;
    if (limit != NULL && what == FUTEX_WAIT_BITSET)
        left = until(a[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, limit);
    else if (limit != NULL)
        left = nanoseconds_of(limit->tv_sec) + limit->tv_nsec;
    return limit != NULL && left <= 0 ? -ETIMEDOUT : futex_wait(call, left, limit != NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Truncation: the log's durable part is read again and applied to the data, and a new header says that
 * the log begins behind it.  Values come from the log and not from the image, which has uncommitted bytes.
 * Transactions go on meanwhile.
 */
#include "disk/truncate.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "base/arena.h"
#include "base/error.h"
#include "disk/apply.h"
#include "disk/lead.h"
#include "disk/replay.h"

/* Applies the records from `from` up to `to`, in memory that is as large as the log, where each is at its
 * place there; the log begins at `to` then.  1: it does not, and what has failed can be tried again.  -1: a
 * sync has failed, after which no promise can be made any more. */
static int apply(const struct vi_disk_log *redo, struct vi_disk_area *area,
                 struct vi_disk_point from, struct vi_disk_point to)
{
    unsigned char *log = vi_reserve(area->log_size);
    const struct vi_disk_walk walk = {area, log, area->log_size, .at = from, .to = to.lsn};
    const uint64_t at = from.lsn % area->log_size, all = to.lsn - from.lsn;
    const uint64_t first = all < area->log_size - at ? all : area->log_size - at;
    int64_t pieces = -1;
    int result = 1;

    if (log == NULL)
        return 1;
    if (vi_io_read(area->io, area->fd, log + at, first, area->log_offset + at, false) == 0 &&
        vi_io_read(area->io, area->fd, log, all - first, area->log_offset, false) == 0)
        pieces = vi_disk_validate(walk, to.previous, redo->target);
    if (pieces >= 0 && vi_disk_apply(walk, pieces, redo->target) == 0)
        result = vi_disk_sync(area, redo->target) == 0 ? vi_disk_header_write(area, area->epoch, to)
                                                       : -1;
    vi_release(log, area->log_size);
    return result;
}

int vi_disk_truncate_locked(struct vi_disk_log *redo, bool full)
{
    struct vi_disk_area area;
    int result, error;

    redo->truncating = true;
    redo->wanted = false;
    result = vi_disk_reach(redo, redo->tail.lsn, true);
    if (result == 0) {
        const struct vi_disk_point from = redo->head, to = {redo->durable.lsn, redo->durable.last};

        area = redo->area;
        pthread_mutex_unlock(&redo->lock);
        result = apply(redo, &area, from, to);
        error = errno;
        pthread_mutex_lock(&redo->lock);
        redo->area.generation = area.generation;
        if (result == 0)
            redo->head = to;
        else if (result < 0 || full)
            vi_disk_poison(redo, error);
        errno = error;
    }
    redo->truncating = false;
    pthread_cond_broadcast(&redo->changed);
    return result == 0 ? 0 : -1;
}

/* With the lock: when no other thread is at it. */
static int truncate_next(struct vi_disk_log *redo)
{
    while (redo->truncating)
        pthread_cond_wait(&redo->changed, &redo->lock);
    if (redo->failed != 0)
        errno = EIO;
    else if (vi_disk_truncate_locked(redo, false) == 0)
        return 0;
    return vi_fail_system(errno, "%s: cannot apply its redo log", redo->area.path);
}

int vi_disk_truncate(struct vi_disk_log *redo)
{
    const int state = vi_disk_lock(redo);
    const int result = truncate_next(redo);

    vi_disk_unlock(redo, state);
    return result;
}

/* ---- The log's thread --------------------------------------------------- */

#define RETRY_MS 100u /* after a truncation that failed and may be tried again */

/* How far the log may become full without anything to do for the thread. */
static uint64_t quiet_in_log(const struct vi_disk_log *redo)
{
    return redo->head.lsn + redo->area.log_size / 100 * redo->truncate_percent;
}

void vi_disk_wake_thread(struct vi_disk_log *redo)
{
    const uint64_t in_log = quiet_in_log(redo);
    const uint64_t in_ring = redo->written.lsn + redo->area.ring_size / 2;
    const bool is_filled = !redo->truncating && redo->tail.lsn > in_log;

    redo->writer.quiet = in_log < in_ring ? in_log : in_ring;
    if (redo->wanted || !(is_filled || (!redo->leading && redo->tail.lsn > in_ring)))
        return;
    if (!redo->has_thread && is_filled) /* without one who finds the log full truncates */
        (void)vi_disk_start_thread(redo, 0);
    redo->wanted = redo->has_thread;
    pthread_cond_signal(&redo->work);
}

static struct timespec after_ms(unsigned ms)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms % 1000 * 1000000L;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000L;
    at.tv_nsec %= 1000000000L;
    return at;
}

/* With the lock: waits until there is work, for at most `ms` milliseconds, unless that is 0.
 * Says whether the time is over. */
static bool wait_for_work(struct vi_disk_log *redo, unsigned ms)
{
    const struct timespec until = after_ms(ms != 0 ? ms : UINT_MAX);
    int result = 0;

    while (!redo->stopping && !redo->wanted && result != ETIMEDOUT)
        result = pthread_cond_clockwait(&redo->work, &redo->lock, CLOCK_MONOTONIC, &until);
    return result == ETIMEDOUT;
}

static void *run_thread(void *arg)
{
    struct vi_disk_log *redo = arg;
    bool retry = false;

    pthread_mutex_lock(&redo->lock);
    while (!redo->stopping) {
        const bool late = wait_for_work(redo, retry ? RETRY_MS : redo->flush_ms);

        redo->wanted = false;
        if (redo->stopping || redo->failed != 0)
            continue;
        if (late && redo->flush_ms != 0)
            (void)vi_disk_reach(redo, redo->tail.lsn, true);
        (void)vi_disk_reach(redo, redo->tail.lsn - redo->area.ring_size / 2, false);
        retry = !redo->truncating && redo->tail.lsn > quiet_in_log(redo) && redo->failed == 0 &&
                vi_disk_truncate_locked(redo, false) != 0;
    }
    pthread_mutex_unlock(&redo->lock);
    return NULL;
}

int vi_disk_start_thread(struct vi_disk_log *redo, unsigned flush_ms)
{
    sigset_t all, before;
    int error;

    redo->flush_ms = flush_ms;
    sigfillset(&all); /* signals are the program's threads' */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&redo->thread, NULL, run_thread, redo);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    redo->has_thread = error == 0;
    return error == 0 ? 0
                      : vi_fail_system(error, "%s: cannot start a thread for its redo log",
                                       redo->area.path);
}

void vi_disk_stop_thread(struct vi_disk_log *redo)
{
    if (!redo->has_thread)
        return;
    pthread_mutex_lock(&redo->lock);
    redo->stopping = true;
    pthread_cond_signal(&redo->work);
    pthread_mutex_unlock(&redo->lock);
    pthread_join(redo->thread, NULL);
    redo->has_thread = false;
}

/* ---- Growing ------------------------------------------------------------ */

/* With the lock, and nothing appended: empties the log, which becomes larger, in a new epoch. */
static int grow_to(struct vi_disk_log *redo, const struct vi_file *file, uint64_t end,
                   uint64_t bytes)
{
    struct vi_disk_area area = redo->area;
    const uint64_t most = (end - area.log_offset) / area.ring_size * area.ring_size;
    struct vi_disk_point head;
    int result, error;

    while (area.log_size < most && vi_disk_record_max(&area) < bytes)
        area.log_size *= 2;
    area.log_size = area.log_size < most ? area.log_size : most;
    if (vi_disk_record_max(&area) < bytes)
        return vi_fail(ENOSPC, "%s: its log area has no room for a redo log that takes %llu bytes",
                       area.path, (unsigned long long)bytes);
    if (truncate_next(redo) != 0)
        return -1;
    redo->truncating = true;
    area.generation = redo->area.generation;
    head = (struct vi_disk_point){vi_disk_up(redo->tail.lsn + 1, area.ring_size), 0};
    pthread_mutex_unlock(&redo->lock);
    result = vi_file_allocate(file, area.log_offset + redo->area.log_size,
                              area.log_size - redo->area.log_size) != 0
                 ? 1
                 : vi_disk_create(&area, area.epoch + 1, head);
    error = errno;
    pthread_mutex_lock(&redo->lock);
    redo->truncating = false;
    if (result == 0) {
        /* The rest is read without the lock. */
        redo->area.log_size = area.log_size;
        redo->area.epoch = area.epoch;
        redo->area.generation = area.generation;
        vi_disk_log_empty(redo, head);
    } else if (result < 0) {
        vi_disk_poison(redo, error);
    }
    errno = error;
    return result == 0 ? 0 : -1;
}

int vi_disk_grow(struct vi_disk_log *redo, const struct vi_file *file, uint64_t end, uint64_t bytes)
{
    const int state = vi_disk_lock(redo);
    int result = 0;

    while (redo->growing)
        pthread_cond_wait(&redo->changed, &redo->lock);
    if (vi_disk_record_max(&redo->area) < bytes) {
        redo->growing = true;
        redo->writer.limit = 0;
        result = grow_to(redo, file, end, bytes);
        redo->growing = false;
        pthread_cond_broadcast(&redo->changed);
    }
    vi_disk_unlock(redo, state);
    return result;
}

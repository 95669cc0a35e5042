/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions.  The way of the common one is inlined in vista_inline.h; here is the rest.
 *
 * limit1 is the segment's `idle` between transactions, so that a handle used after its end falls
 * out of line and is refused there; it is VI_GATED during one where the class flushes or
 * blocks are allocated at first touch, so that every range comes out of line.
 */
#include "core/transaction.h"

#include <assert.h>
#include <errno.h>

#include "base/error.h"
#include "core/backing.h"
#include "core/redo.h"

struct vi_tx *vi_tx_refuse(const struct vi_tx *tx)
{
    if (tx == NULL)
        return vi_fail_null("no transaction: the handle is NULL"), NULL;
    if (tx->segment != NULL && tx->segment->state == VI_SEGMENT_FORKED)
        return vi_fail(EPERM, "the transaction belongs to the parent process"), NULL;
    return vi_fail(EINVAL, "the transaction has ended"), NULL;
}

static struct vi_tx *start(struct vi_tx *tx, unsigned mode)
{
    if (tx == NULL)
        return NULL;
    tx->no_restore = mode & VISTA_NO_RESTORE;
    tx->log.cursor.next = tx->log.cursor.first; /* an inlined end has left it where it was */
    __atomic_store_n(&tx->log.cursor.limit1,
                     __atomic_load_n(&tx->log.cursor.room, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    if (tx->no_restore || !tx->cached)
        vi_log_end_out_of_line(&tx->log); /* which clears no_restore, and gives the handle back */
    return tx;
}

struct vi_tx *vi_tx_begin(struct vi_segment *home, unsigned mode)
{
    return start(vi_handle_take(home, true), mode);
}

struct vi_tx *vi_tx_begin_uncached(struct vi_segment *home, unsigned mode)
{
    return start(vi_handle_take(home, false), mode);
}

/* Forgets what the transaction was, of which nothing is in the file any more. */
static inline void reset_handle(struct vi_tx *tx)
{
    vi_pages_clear(&tx->pages);
    vi_log_reset(&tx->log);
    tx->no_restore = false;
}

/* ---- Declaring --------------------------------------------------------- */

/* The segment that a range is in, or NULL. */
static struct vi_segment *check_range(const struct vi_tx *tx, const struct iovec *range)
{
    struct vi_segment *owner = tx->segment;
    uint64_t offset = (uintptr_t)range->iov_base - (uintptr_t)owner->map.data;
    uint64_t size = vi_segment_size(owner);

    if (offset >= size && /* an empty range may be at the end */
        __atomic_load_n(&owner->own.members, __ATOMIC_RELAXED) != NULL) {
        struct vi_segment *member = vi_group_find(owner, (uintptr_t)range->iov_base);

        if (member == NULL && range->iov_len == 0)
            member = vi_group_find(owner, (uintptr_t)range->iov_base - 1);
        if (member != NULL) {
            owner = member;
            offset = (uintptr_t)range->iov_base - (uintptr_t)owner->map.data;
            size = vi_segment_size(owner);
        }
    }
    if (offset <= size && range->iov_len <= size - offset)
        return owner;
    return vi_fail(EINVAL, "range %p + %zu is not inside the %zu bytes of %s at %p",
                   range->iov_base, range->iov_len, (size_t)size, owner->path,
                   (void *)owner->map.data),
           NULL;
}

static bool is_long(const struct iovec *range)
{
    return range->iov_len >= VISTA_INLINE_LENGTH;
}

/* Is it a range that need not be logged again? */
static bool is_logged(const struct vi_tx *tx, const struct iovec *range)
{
    return is_long(range) && vi_pages_declared(&tx->pages, range->iov_base, range->iov_len);
}

/* All are logged: the long ones need not be again. */
static void remember_long(struct vi_tx *tx, const struct iovec *ranges, int count)
{
    for (int i = 0; i < count; i++)
        if (is_long(&ranges[i])) {
            vi_pages_declare(&tx->pages, ranges[i].iov_base, ranges[i].iov_len);
            vi_log_end_out_of_line(&tx->log); /* which forgets them */
        }
}

#define FETCHED 256 /* ranges whose lines are fetched before any is logged */

int vi_tx_declare(struct vi_tx *tx, const struct iovec *ranges, int count)
{
    const struct vi_savepoint savepoint = vi_log_start(&tx->log);
    const uintptr_t low = tx->log.cursor.low;
    const uintptr_t high = tx->segment->flags & VISTA_SPARSE
                               ? 0
                               : __atomic_load_n(&tx->log.cursor.high, __ATOMIC_RELAXED);
    struct vi_segment *owner = NULL;
    bool any_long = false, in_flight;
    int added;

    for (int i = 0; i < count; i++) {
        const uintptr_t address = (uintptr_t)ranges[i].iov_base;

        if (i < FETCHED)
            __builtin_prefetch(ranges[i].iov_base, 1);
        if (VISTA_INLINE_LIKELY(address >= low && address <= high && !is_long(&ranges[i])))
            continue; /* as the inlined path would */
        owner = check_range(tx, &ranges[i]);
        if (owner == NULL ||
            (owner->flags & VISTA_SPARSE &&
             vi_segment_back(owner, address - (uintptr_t)owner->map.data, ranges[i].iov_len) != 0))
            return -1;
        any_long |= is_long(&ranges[i]);
    }
    for (int i = 0; i < count; i += added) {
        added = is_logged(tx, &ranges[i]) ? 1 : vi_log_add(&tx->log, &ranges[i], count - i);
        if (added < 0) {
            vi_log_rewind(&tx->log, &savepoint);
            return -1;
        }
    }
    in_flight = vi_log_begin_flush(&tx->log);
    if (tx->segment->persist.flushes)
        vi_pages_note(&tx->pages, ranges, count);
    if (any_long)
        remember_long(tx, ranges, count);
    if (in_flight)
        vi_fence(&tx->segment->persist);
    if (owner != NULL && !vi_handle_is_gated(owner))
        vi_tx_set_bounds(tx, owner); /* the next range is likely to be there, and inlined */
    return 0;
}

/* The segment before is remembered: so that a transfer between two costs little more
 * than one within. */
void vista_inline_find_segment(vista_tx *handle, const void *address)
{
    struct vi_tx *tx = (struct vi_tx *)handle;
    const uintptr_t low = handle->low, high = handle->high;
    const struct vi_segment *owner;

    if (!vi_tx_is_open(tx) || __atomic_load_n(&tx->segment->own.members, __ATOMIC_RELAXED) == NULL)
        return;
    owner = vi_group_find(tx->segment, (uintptr_t)address);
    if (owner == NULL || vi_handle_is_gated(owner))
        return;
    vi_tx_set_bounds(tx, owner);
    handle->low2 = low;
    __atomic_store_n(&handle->high2, high, __ATOMIC_RELAXED);
}

/* ---- Ending ------------------------------------------------------------ */

static bool is_empty(const struct vi_log *log)
{
    return log->position.index == 0 && log->cursor.next == log->cursor.first;
}

static __attribute__((noinline)) void flush_effects(struct vi_tx *tx)
{
    const struct vi_persist *persist = &tx->segment->persist;
    struct vi_items items;

    if (!vi_pages_flush_noted(&tx->pages, persist)) {
        vi_flush_effects(tx->segment, &tx->log, &tx->pages);
        return;
    }
    vi_items_begin_effects(&items, tx->segment, &tx->log);
    vi_items_flush(&items, ~tx->log.logs->deferred, &tx->pages);
    vi_fence(persist);
}

/* Undoes what it has logged, if that is anything. */
static bool roll_back(struct vi_tx *tx)
{
    struct vi_log *log = &tx->log;

    if (is_empty(log))
        return false;
    log->stamp = log->cursor.stamp;
    vi_log_flush(log); /* nothing of this stamp is to reach the file later */
    vi_rollback(tx->segment, log, &tx->pages); /* of our own log: it succeeds */
    __atomic_store_n(&tx->aborts, tx->aborts + 1, __ATOMIC_RELEASE); /* behind its step */
    if (log->kinds != 0)
        vi_items_step(tx->segment, log, VI_SETTLE);
    return true;
}

static void end_aborted(struct vi_tx *tx)
{
    reset_handle(tx);
    vi_handle_close(tx);
}

void vi_tx_abort(struct vi_tx *tx)
{
    roll_back(tx);
    end_aborted(tx);
}

void vi_tx_abort_followed(struct vi_tx *tx)
{
    if (roll_back(tx))
        vi_redo_abort(tx->segment->own.redo, tx);
    end_aborted(tx);
}

/* Commits, with work to do: says whether VI_SETTLE is needed. */
static inline __attribute__((always_inline)) bool finish(struct vi_tx *tx, bool flushes)
{
    struct vi_segment *segment = tx->segment;
    struct vi_log *log = &tx->log;
    bool settle;

    vi_log_write_word(log, log->stamp | VI_STAMP_FINISHING);
    vi_fence(&segment->persist);
    settle = vi_items_step(segment, log, VI_FINISH);
    if (flushes)
        vi_flush_finished(segment, log, &tx->pages);
    return settle;
}

/* Whatever refused the commit, to who ended it that is EIO: the transaction is no more. */
static __attribute__((noinline)) int roll_back_refused(struct vi_tx *tx, unsigned mode)
{
    tx->segment->own.engine->abort(tx); /* automatic ranges', if it has any */
    errno = EIO;
    return mode & VI_TX_TELL ? VI_TX_ROLLED_BACK : -1;
}

/* What a class or a group does not need is not compiled into its function. */
static inline __attribute__((always_inline)) int commit(struct vi_tx *tx, unsigned mode,
                                                        bool flushes, struct vi_redo *redo)
{
    struct vi_segment *segment = tx->segment;
    struct vi_log *log = &tx->log;
    const uint32_t kinds = log->kinds;
    bool settle = false, on_its_way = false; /* the commit point */
    uint64_t position = 0;

    assert(vi_tx_is_open(tx) && tx->segment->group == &tx->segment->own);
    if (VISTA_INLINE_LIKELY(kinds != 0 || !is_empty(log))) {
        log->stamp = log->cursor.stamp;
        if (redo != NULL && vi_redo_prepare(redo, tx, mode) != 0)
            return roll_back_refused(tx, mode);
        if (flushes)
            vi_log_flush(log);
        if (kinds != 0)
            settle = vi_items_step(segment, log, VI_APPLY);
        if (flushes)
            flush_effects(tx);
        if (kinds & log->logs->deferred)
            settle |= finish(tx, flushes);
        if (redo != NULL)
            position = vi_redo_commit(redo, tx, mode);
        vi_log_begin_discard(log);
        /* The handle is made ready for the next meanwhile: what stands behind the fence keeps
         * the processor from what the program does next. */
        on_its_way = !settle && log->position.index == log->start.index;
        if (VISTA_INLINE_UNLIKELY(!on_its_way))
            vi_fence(&segment->persist);
        if (settle)
            vi_items_step(segment, log, VI_SETTLE); /* records outlive the discard */
    }
    reset_handle(tx);
    if (on_its_way)
        vi_fence(&segment->persist);
    vi_handle_close(tx);
    return position != 0 ? vi_redo_wait(redo, position, mode) : 0;
}

int vi_tx_commit(struct vi_tx *tx, unsigned mode)
{
    return commit(tx, mode, false, NULL);
}

int vi_tx_commit_flushing(struct vi_tx *tx, unsigned mode)
{
    return commit(tx, mode, true, NULL);
}

int vi_tx_commit_followed(struct vi_tx *tx, unsigned mode)
{
    return commit(tx, mode, tx->segment->persist.flushes, tx->segment->own.redo);
}

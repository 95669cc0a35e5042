/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's transactions: see rvm_transactions.h, and rvm/rvm.h for what the calls promise.
 *
 * A structure of a transaction is never freed, but used again; a tid with an old name is told from the
 * new user's.
 */
#include "rvm/rvm_transactions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MICROSECONDS 1000000u

/* ---- A transaction's memory ----------------------------------------------- */

static struct vi_rvm_range *range_at(const struct vi_rvm_tx *tx, uint64_t at)
{
    return (struct vi_rvm_range *)(tx->memory + at);
}

static uint64_t old_size(const struct vi_rvm_range *range)
{
    return range->has_old ? vi_disk_up(range->length, 8) : 0;
}

/* Where the next range is. */
static uint64_t behind(const struct vi_rvm_tx *tx, uint64_t at)
{
    const struct vi_rvm_range *range = range_at(tx, at);

    return at + sizeof *range + old_size(range);
}

static bool make_room(struct vi_rvm_tx *tx, uint64_t more)
{
    uint64_t wanted = tx->size;
    unsigned char *grown;

    if (more <= wanted - tx->used)
        return true;
    while (wanted - tx->used < more)
        wanted = wanted == 0 ? 4096 : 2 * wanted;
    grown = realloc(tx->memory, wanted);
    if (grown == NULL)
        return false;
    tx->memory = grown;
    tx->size = wanted;
    return true;
}

/* ---- Which transaction a tid is ------------------------------------------ */

static uint64_t name_of(const rvm_tid_t *tid)
{
    return (uint64_t)tid->uname.tv_sec * MICROSECONDS + (uint64_t)tid->uname.tv_usec;
}

/* Takes the lock of the transaction that is open under this tid, or RVM_ETID; RVM_EINIT. */
static rvm_return_t lock_tx(const rvm_tid_t *tid, struct vi_rvm_tx **tx)
{
    const rvm_return_t ready = vi_rvm_ready(NULL);

    if (ready != RVM_SUCCESS)
        return ready;
    if (tid == NULL || tid->struct_id != rvm_tid_id || tid->tid == NULL)
        return RVM_ETID;
    *tx = tid->tid;
    pthread_mutex_lock(&(*tx)->lock);
    if ((*tx)->name != 0 && (*tx)->name == name_of(tid))
        return RVM_SUCCESS;
    pthread_mutex_unlock(&(*tx)->lock);
    return RVM_ETID;
}

size_t vi_rvm_uncommitted(uintptr_t from, uint64_t length, rvm_tid_t *tids, size_t room)
{
    size_t count = 0;

    for (struct vi_rvm_tx *tx = vi_rvm.open; tx != NULL; tx = tx->next) {
        bool found;

        pthread_mutex_lock(&tx->lock);
        found = tx->name != 0 && length == UINT64_MAX;
        for (uint64_t at = 0; at < tx->used && !found; at = behind(tx, at))
            found = range_at(tx, at)->from - from < length;
        if (found && count < room && tids != NULL) {
            rvm_init_tid(&tids[count]);
            tids[count].uname.tv_sec = (time_t)(tx->name / MICROSECONDS);
            tids[count].uname.tv_usec = (suseconds_t)(tx->name % MICROSECONDS);
            tids[count].tid = tx;
        }
        count += found;
        pthread_mutex_unlock(&tx->lock);
    }
    return count;
}

/* ---- Begin and end of the structure --------------------------------------- */

/* With vi_rvm.lock. */
static struct vi_rvm_tx *take_idle(void)
{
    struct vi_rvm_tx *tx = vi_rvm.idle;

    if (tx != NULL) {
        vi_rvm.idle = tx->next;
        return tx;
    }
    tx = calloc(1, sizeof *tx);
    if (tx != NULL)
        pthread_mutex_init(&tx->lock, NULL);
    return tx;
}

static rvm_return_t open_tx(rvm_tid_t *tid, bool keeps_old)
{
    struct vi_rvm_tx *tx = NULL;
    rvm_return_t ready;
    uint64_t name;

    pthread_mutex_lock(&vi_rvm.lock);
    name = ++vi_rvm.named;
    ready = vi_rvm_ready(NULL); /* still */
    if (ready == RVM_SUCCESS)
        tx = take_idle();
    if (tx != NULL) {
        tx->next = vi_rvm.open;
        vi_rvm.open = tx;
        pthread_mutex_lock(&tx->lock);
        tx->name = name;
        tx->keeps_old = keeps_old;
        tx->bytes = sizeof(struct vi_redo_record);
        pthread_mutex_unlock(&tx->lock);
    }
    pthread_mutex_unlock(&vi_rvm.lock);
    if (tx == NULL)
        return ready != RVM_SUCCESS ? ready : RVM_ENO_MEMORY;
    tid->uname.tv_sec = (time_t)(name / MICROSECONDS);
    tid->uname.tv_usec = (suseconds_t)(name % MICROSECONDS);
    tid->tid = tx;
    return RVM_SUCCESS;
}

/* It has ended, in one way or the other; its lock is given back. */
static void end_tx(rvm_tid_t *tid, struct vi_rvm_tx *tx)
{
    tx->name = 0;
    tx->used = 0;
    pthread_mutex_unlock(&tx->lock);
    tid->tid = NULL;
}

/* Its call needs the log no more. */
static void close_tx(struct vi_rvm_tx *tx, enum vi_rvm_count how)
{
    struct vi_rvm_tx **link = &vi_rvm.open;

    pthread_mutex_lock(&vi_rvm.lock);
    while (*link != tx)
        link = &(*link)->next;
    *link = tx->next;
    tx->next = vi_rvm.idle;
    vi_rvm.idle = tx;
    vi_rvm.count[how]++;
    vi_rvm.count[VI_RVM_RANGES] += tx->ranges;
    vi_rvm.count[VI_RVM_LOGGED] += how != VI_RVM_ABORTS && tx->ranges != 0 ? tx->bytes : 0;
    tx->ranges = 0;
    pthread_mutex_unlock(&vi_rvm.lock);
}

rvm_return_t rvm_begin_transaction(rvm_tid_t *tid, rvm_mode_t mode)
{
    struct vi_rvm_log *log;
    const rvm_return_t ready = vi_rvm_ready(&log);
    struct vi_rvm_tx *tx;

    if (ready != RVM_SUCCESS)
        return ready;
    if (lock_tx(tid, &tx) == RVM_SUCCESS)
        return pthread_mutex_unlock(&tx->lock), RVM_ETID;
    if (tid == NULL || tid->struct_id != rvm_tid_id)
        return RVM_ETID;
    if (mode != restore && mode != no_restore)
        return RVM_EMODE;
    return open_tx(tid, mode == restore);
}

/* ---- Ranges --------------------------------------------------------------- */

/* The region that has all of a range becomes the transaction's last used. */
static bool find_region(struct vi_rvm_tx *tx, uintptr_t from, uint64_t length)
{
    const struct vi_rvm_region *region;

    if (tx->generation == __atomic_load_n(&vi_rvm.generation, __ATOMIC_ACQUIRE) &&
        from - tx->region.from < tx->region.length)
        return length <= tx->region.length - (from - tx->region.from);
    pthread_mutex_lock(&vi_rvm.regions_lock);
    region = vi_rvm.regions;
    while (region != NULL && from - region->from >= region->length)
        region = region->next;
    if (region != NULL) {
        tx->region = *region;
        tx->generation = __atomic_load_n(&vi_rvm.generation, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&vi_rvm.regions_lock);
    return region != NULL && length <= region->length - (from - region->from);
}

/* Is the range inside the one before? */
static bool is_declared(const struct vi_rvm_tx *tx, uintptr_t from, uint64_t length)
{
    const struct vi_rvm_range *last = tx->ranges != 0 ? range_at(tx, tx->last) : NULL;

    return last != NULL && from - last->from < last->length &&
           length <= last->length - (from - last->from) &&
           __atomic_load_n(&vi_rvm.flags, __ATOMIC_RELAXED) & RVM_COALESCE_RANGES;
}

static rvm_return_t add_range(struct vi_rvm_tx *tx, uintptr_t from, uint64_t length)
{
    struct vi_rvm_range range = {
        .from = from, .length = length, .previous = tx->last, .has_old = tx->keeps_old};

    if (length == 0 || is_declared(tx, from, length))
        return RVM_SUCCESS;
    if (!find_region(tx, from, length))
        return RVM_ENOT_MAPPED;
    if (!make_room(tx, sizeof range + old_size(&range)))
        return RVM_ENO_MEMORY;
    range.offset = tx->region.offset + (from - tx->region.from);
    range.member = tx->region.member;
    tx->last = tx->used;
    tx->used += sizeof range + old_size(&range);
    tx->ranges++;
    tx->bytes += vi_disk_item_size(length);
    *range_at(tx, tx->last) = range;
    if (range.has_old)
        memcpy(range_at(tx, tx->last) + 1, (const void *)from, length);
    return RVM_SUCCESS;
}

static rvm_return_t declare(rvm_tid_t *tid, const void *to, const void *from, rvm_length_t length)
{
    struct vi_rvm_tx *tx;
    rvm_return_t result = lock_tx(tid, &tx);

    if (result != RVM_SUCCESS)
        return result;
    result = add_range(tx, (uintptr_t)to, length);
    if (result == RVM_SUCCESS && from != NULL)
        memmove((void *)to, from, length);
    pthread_mutex_unlock(&tx->lock);
    return result;
}

rvm_return_t rvm_set_range(rvm_tid_t *tid, void *dest, rvm_length_t length)
{
    return declare(tid, dest, NULL, length);
}

rvm_return_t rvm_modify_bytes(rvm_tid_t *tid, void *dest, const void *src, rvm_length_t length)
{
    if (src == NULL && length != 0 && vi_rvm_ready(NULL) == RVM_SUCCESS)
        return RVM_ESRC;
    return declare(tid, dest, src, length);
}

/* ---- Commit and abort ------------------------------------------------------ */

/* Builds the record, with the values of now: `end` is where it ends in the stream. */
static rvm_return_t write_record(struct vi_disk_log *redo, const struct vi_rvm_tx *tx,
                                 uint64_t *end)
{
    if (tx->bytes > vi_disk_record_max(&redo->area))
        return RVM_ETOO_BIG;
    if (vi_disk_begin(redo, tx->bytes) != 0)
        return vi_rvm_code();
    for (uint64_t at = 0; at < tx->used; at = behind(tx, at)) {
        const struct vi_rvm_range *range = range_at(tx, at);

        vi_disk_put(redo, range->member, range->offset, (const void *)range->from,
                    (uint32_t)range->length);
    }
    *end = vi_disk_end(redo, true);
    return *end != UINT64_MAX ? RVM_SUCCESS : vi_rvm_code();
}

rvm_return_t rvm_end_transaction(rvm_tid_t *tid, rvm_mode_t mode)
{
    uint64_t end = mode == flush ? UINT64_MAX : 0; /* without a record */
    struct vi_rvm_log *log;
    rvm_return_t result = vi_rvm_ready(&log);
    struct vi_rvm_tx *tx;

    if (result == RVM_SUCCESS)
        result = lock_tx(tid, &tx);
    if (result != RVM_SUCCESS)
        return result;
    if (mode != flush && mode != no_flush)
        result = RVM_EMODE;
    else if (tx->ranges != 0)
        result = write_record(&log->redo, tx, &end);
    if (result != RVM_SUCCESS) {
        pthread_mutex_unlock(&tx->lock);
        return result;
    }
    end_tx(tid, tx);
    if (vi_disk_flush(&log->redo, end, mode == flush) != 0)
        result = vi_rvm_code();
    close_tx(tx, mode == flush ? VI_RVM_FLUSHED : VI_RVM_NOT_FLUSHED);
    return result;
}

rvm_return_t rvm_abort_transaction(rvm_tid_t *tid)
{
    struct vi_rvm_tx *tx;
    const rvm_return_t result = lock_tx(tid, &tx);

    if (result != RVM_SUCCESS)
        return result;
    for (uint64_t at = tx->last, left = tx->ranges; left != 0; left--) {
        const struct vi_rvm_range *range = range_at(tx, at);

        if (range->has_old)
            memcpy((void *)range->from, range + 1, range->length);
        at = range->previous;
    }
    end_tx(tid, tx);
    close_tx(tx, VI_RVM_ABORTS);
    return RVM_SUCCESS;
}

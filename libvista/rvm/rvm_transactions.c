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

#include "base/arena.h"
#include "rvm/rvm_coalesce.h"

#define MICROSECONDS 1000000u

/* ---- Which transaction a tid is ------------------------------------------ */

static uint64_t name_of(const rvm_tid_t *tid)
{
    return (uint64_t)tid->uname.tv_sec * MICROSECONDS + (uint64_t)tid->uname.tv_usec;
}

/* Takes the lock of the transaction that is open under this tid; NULL: there is none. */
static struct vi_rvm_tx *lock_tx(const rvm_tid_t *tid)
{
    struct vi_rvm_tx *tx;

    if (tid == NULL || tid->struct_id != rvm_tid_id || tid->tid == NULL)
        return NULL;
    tx = tid->tid;
    pthread_mutex_lock(&tx->lock);
    if (tx->name != 0 && tx->name == name_of(tid))
        return tx;
    pthread_mutex_unlock(&tx->lock);
    return NULL;
}

static bool is_open(const rvm_tid_t *tid)
{
    struct vi_rvm_tx *tx = lock_tx(tid);

    if (tx != NULL)
        pthread_mutex_unlock(&tx->lock);
    return tx != NULL;
}

size_t vi_rvm_uncommitted(uintptr_t from, uint64_t length, rvm_tid_t *tids, size_t room)
{
    size_t count = 0;

    for (struct vi_rvm_tx *tx = vi_rvm.open; tx != NULL; tx = tx->next) {
        bool found;

        pthread_mutex_lock(&tx->lock);
        found = tx->name != 0 && length == UINT64_MAX;
        for (size_t i = 0; i < tx->ranges && !found; i++)
            found = tx->range[i].from - from < length;
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
    tx = vi_arena_alloc(sizeof *tx);
    if (tx != NULL)
        pthread_mutex_init(&tx->lock, NULL);
    return tx;
}

static rvm_return_t open_tx(rvm_tid_t *tid, bool keeps_old)
{
    const uint64_t name =
        vi_rvm.first_name + __atomic_add_fetch(&vi_rvm.named, 1, __ATOMIC_RELAXED);
    struct vi_rvm_tx *tx;

    pthread_mutex_lock(&vi_rvm.lock);
    tx = take_idle();
    if (tx != NULL) {
        tx->previous = NULL;
        tx->next = vi_rvm.open;
        if (tx->next != NULL)
            tx->next->previous = tx;
        vi_rvm.open = tx;
        pthread_mutex_lock(&tx->lock);
        tx->name = name;
        tx->keeps_old = keeps_old;
        pthread_mutex_unlock(&tx->lock);
    }
    pthread_mutex_unlock(&vi_rvm.lock);
    if (tx == NULL)
        return RVM_ENO_MEMORY;
    tid->uname.tv_sec = (time_t)(name / MICROSECONDS);
    tid->uname.tv_usec = (suseconds_t)(name % MICROSECONDS);
    tid->tid = tx;
    return RVM_SUCCESS;
}

/* It has ended, in one way or the other; its lock is given back. */
static void close_tx(rvm_tid_t *tid, struct vi_rvm_tx *tx, enum vi_rvm_count how, uint64_t bytes)
{
    const uint64_t ranges = tx->ranges;

    tx->name = 0;
    tx->ranges = tx->old_size = 0;
    pthread_mutex_unlock(&tx->lock);
    tid->tid = NULL;
    pthread_mutex_lock(&vi_rvm.lock);
    if (tx->previous != NULL)
        tx->previous->next = tx->next;
    else
        vi_rvm.open = tx->next;
    if (tx->next != NULL)
        tx->next->previous = tx->previous;
    tx->next = vi_rvm.idle;
    vi_rvm.idle = tx;
    vi_rvm_count(how, 1);
    vi_rvm_count(VI_RVM_RANGES, ranges);
    vi_rvm_count(VI_RVM_LOGGED, bytes);
    pthread_mutex_unlock(&vi_rvm.lock);
}

void vi_rvm_free_idle(void)
{
    pthread_mutex_lock(&vi_rvm.lock);
    for (struct vi_rvm_tx *tx = vi_rvm.idle; tx != NULL; tx = tx->next) {
        free(tx->range);
        free(tx->old);
        free(tx->sorted);
        tx->range = tx->sorted = NULL;
        tx->old = NULL;
        tx->ranges_room = tx->old_room = tx->sorted_room = 0;
    }
    pthread_mutex_unlock(&vi_rvm.lock);
}

rvm_return_t rvm_begin_transaction(rvm_tid_t *tid, rvm_mode_t mode)
{
    struct vi_rvm_log *log;
    const rvm_return_t ready = vi_rvm_ready(&log);

    if (ready != RVM_SUCCESS)
        return ready;
    if (tid == NULL || tid->struct_id != rvm_tid_id || is_open(tid))
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

/* Makes room for `more` behind `used` elements. */
static bool make_room(void *array, size_t element, size_t used, size_t more, size_t *room)
{
    size_t wanted = *room;
    void *grown;

    if (more <= wanted - used)
        return true;
    while (wanted - used < more)
        wanted = wanted < 64 ? 64 : 2 * wanted;
    grown = realloc(*(void **)array, wanted * element);
    if (grown == NULL)
        return false;
    *(void **)array = grown;
    *room = wanted;
    return true;
}

static rvm_return_t add_range(struct vi_rvm_tx *tx, uintptr_t from, uint64_t length)
{
    if (length == 0)
        return RVM_SUCCESS;
    if (!find_region(tx, from, length))
        return RVM_ENOT_MAPPED;
    if (!make_room(&tx->range, sizeof *tx->range, tx->ranges, 1, &tx->ranges_room) ||
        (tx->keeps_old && !make_room(&tx->old, 1, tx->old_size, length, &tx->old_room)))
        return RVM_ENO_MEMORY;
    tx->range[tx->ranges++] = (struct vi_rvm_range){
        .from = from,
        .length = length,
        .offset = tx->region.offset + (from - tx->region.from),
        .member = tx->region.member,
        .has_old = tx->keeps_old,
        .old = tx->old_size,
    };
    if (tx->keeps_old) {
        memcpy(tx->old + tx->old_size, (const void *)from, length);
        tx->old_size += length;
    }
    return RVM_SUCCESS;
}

static rvm_return_t declare(rvm_tid_t *tid, const void *to, const void *from, rvm_length_t length)
{
    rvm_return_t result = vi_rvm_ready(NULL);
    struct vi_rvm_tx *tx;

    if (result != RVM_SUCCESS)
        return result;
    tx = lock_tx(tid);
    if (tx == NULL)
        return RVM_ETID;
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

#define ITEM_MOST ((uint64_t)1 << 31)

static uint64_t size_of(const struct vi_rvm_range *range, size_t ranges, uint32_t *items)
{
    uint64_t bytes = sizeof(struct vi_redo_record);

    *items = 0;
    for (size_t i = 0; i < ranges; i++)
        for (uint64_t left = range[i].length, part; left != 0; left -= part) {
            part = left < ITEM_MOST ? left : ITEM_MOST;
            bytes += vi_disk_item_size(part);
            ++*items;
        }
    return bytes;
}

/* The values are those of now. */
static void put_ranges(struct vi_disk_writer *writer, const struct vi_rvm_range *range,
                       size_t ranges)
{
    for (size_t i = 0; i < ranges; i++)
        for (uint64_t at = 0, part; at < range[i].length; at += part) {
            part = range[i].length - at < ITEM_MOST ? range[i].length - at : ITEM_MOST;
            vi_disk_put(writer, range[i].member, range[i].offset + at,
                        (const void *)(range[i].from + at), (uint32_t)part);
        }
}

/* Builds the record: `end` is where it ends in the stream. */
static rvm_return_t write_record(struct vi_disk_log *redo, struct vi_rvm_tx *tx, uint64_t *bytes,
                                 uint64_t *end)
{
    const struct vi_rvm_range *range = tx->range;
    size_t ranges = tx->ranges;
    struct vi_disk_writer writer;
    uint32_t items;

    if (ranges > 1 && __atomic_load_n(&vi_rvm.flags, __ATOMIC_RELAXED) & RVM_COALESCE_RANGES &&
        make_room(&tx->sorted, sizeof *tx->sorted, 0, ranges, &tx->sorted_room)) {
        ranges = vi_rvm_coalesce(tx->sorted, tx->range, ranges);
        range = tx->sorted;
    }
    *bytes = size_of(range, ranges, &items);
    if (*bytes > vi_disk_record_max(&redo->area))
        return RVM_ETOO_BIG;
    if (vi_disk_begin(redo, *bytes, &writer) != 0)
        return vi_rvm_code();
    vi_disk_head(&writer, items);
    put_ranges(&writer, range, ranges);
    writer.is_commit = true;
    *end = writer.end;
    return vi_disk_end(&writer) == 0 ? RVM_SUCCESS : vi_rvm_code();
}

rvm_return_t rvm_end_transaction(rvm_tid_t *tid, rvm_mode_t mode)
{
    uint64_t bytes = 0, end = UINT64_MAX;
    struct vi_rvm_log *log;
    rvm_return_t result = vi_rvm_ready(&log);
    struct vi_rvm_tx *tx;

    if (result != RVM_SUCCESS)
        return result;
    tx = lock_tx(tid);
    if (tx == NULL)
        return RVM_ETID;
    if (mode != flush && mode != no_flush)
        result = RVM_EMODE;
    else if (tx->ranges != 0)
        result = write_record(&log->redo, tx, &bytes, &end);
    if (result != RVM_SUCCESS) {
        pthread_mutex_unlock(&tx->lock);
        return result;
    }
    close_tx(tid, tx, mode == flush ? VI_RVM_FLUSHED : VI_RVM_NOT_FLUSHED, bytes);
    vi_disk_start_wanted_thread(&log->redo);
    return mode == flush && vi_disk_flush(&log->redo, end) != 0 ? vi_rvm_code() : RVM_SUCCESS;
}

rvm_return_t rvm_abort_transaction(rvm_tid_t *tid)
{
    const rvm_return_t ready = vi_rvm_ready(NULL);
    struct vi_rvm_tx *tx;

    if (ready != RVM_SUCCESS)
        return ready;
    tx = lock_tx(tid);
    if (tx == NULL)
        return RVM_ETID;
    for (size_t i = tx->ranges; i-- != 0;)
        if (tx->range[i].has_old)
            memcpy((void *)tx->range[i].from, tx->old + tx->range[i].old, tx->range[i].length);
    close_tx(tid, tx, VI_RVM_ABORTS, 0);
    return RVM_SUCCESS;
}

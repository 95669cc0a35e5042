/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Appending to a log: records, and the moves from chunk to chunk.
 *
 * In the kill-safe class a record counts once its stamp stands, which is stored
 * last, and eight zero bytes stand behind it by then, so that nothing old is taken
 * for the next record.
 *
 * Where flushes can be lost, a record counts if its checksum agrees.  It fills whole
 * lines, so that none is flushed twice; and instead of zeroing the place of the next
 * record, which is in a line of its own, it is enough to see that it does not hold
 * this transaction's stamp.  Records are built in memory that the handle has, its stage,
 * and written from there past the caches, all that are to be flushed at once; one that is
 * larger than that, and what follows it, is built in place.
 */
#include "core/log.h"

#include "base/crc32c.h"
#include "base/error.h"
#include "core/chunks.h"

#define HEADER_MAX (3 * sizeof(uint64_t))
#define TERMINATOR sizeof(uint64_t)

static uintptr_t line_up(uintptr_t at)
{
    return (at + VI_LINE - 1) & ~(uintptr_t)(VI_LINE - 1);
}

/* Where a record has its shape. */
static uint64_t *shape_of(const struct vi_log *log, const uint64_t *record)
{
    return (uint64_t *)record + (log->logs->checked ? 2 : 1);
}

/* Of what an item has behind its address, with the padding. */
static size_t payload_size(unsigned kind, uint32_t length)
{
    if (kind == VI_KIND_UNDO)
        return ((size_t)length + 7) & ~(size_t)7;
    return kind == VI_KIND_ROOT ? 2 * sizeof(struct vi_root) : 0;
}

/* Of a record that is, or will be, at `at`. */
static uint64_t record_check(const struct vi_log *log, uintptr_t at, const uint64_t *record,
                             uint64_t bytes)
{
    const uint64_t place[4] = {log->slot, at - (uintptr_t)log->logs->meta, record[0], bytes};

    return bytes << 32 |
           vi_crc32c(vi_crc32c(log->logs->seed, place, sizeof place), record + 2, bytes);
}

/* A record no longer counts, nor would it with a part of another written over it. */
static void make_void(const struct vi_log *log, uint64_t *record)
{
    record[0] = 0;
    if (log->logs->checked)
        record[1] = 0;
    vi_flush_fence(log->logs->persist, record, 2 * sizeof *record);
}

/* In the classes that flush: what is stored where the next record begins cannot be taken
 * for one. */
static void terminate(const struct vi_log *log, uintptr_t at)
{
    if (at < log->place.end && *(const uint64_t *)at == log->cursor.stamp)
        make_void(log, (uint64_t *)at);
}

/* Where in the log is what is being built at `word`? */
static uintptr_t place_of(const struct vi_log *log, const uint64_t *word)
{
    return log->staged ? log->flushed + (uintptr_t)word - (uintptr_t)log->stage : (uintptr_t)word;
}

/* Starts to write what was not flushed yet. */
static void put_out(struct vi_log *log)
{
    const struct vi_persist *const persist = log->logs->persist;
    const size_t length = log->cursor.next - log->flushed;

    if (log->staged)
        persist->ops.write((uint64_t *)log->flushed, log->stage, length);
    else
        vi_flush(persist, (void *)log->flushed, length);
    log->flushed = log->cursor.next;
    log->staged = false;
}

/* Moves on to a chunk with room for `need` bytes. */
static bool enter_chunk(struct vi_log *log, size_t need)
{
    struct vi_chunk_header *chunk = vi_chunk_next(log->logs, log->slot, log->place.chunk);

    if (chunk == NULL || chunk->size < sizeof *chunk + need)
        chunk = vi_chunk_link(log->logs, log->slot, log->place.chunk, log->place.index + 1,
                              sizeof *chunk + need, log->start.index != 0);
    if (chunk == NULL)
        return false;
    if (log->flushed != log->cursor.next)
        put_out(log);
    log->place = vi_chunk_place((uintptr_t)chunk, log->place.index + 1);
    if (log->cursor.limit1 != VI_GATED)
        __atomic_store_n(&log->cursor.limit1, vi_log_limit(log->place.end) | 1u, __ATOMIC_RELAXED);
    return true;
}

/* Begins a record that has room for items of `size` bytes, in the next chunk if need be:
 * where it is to be built. */
static inline uint64_t *begin_record(struct vi_log *log, size_t size)
{
    const size_t length = log->logs->checked ? line_up(HEADER_MAX + size) : HEADER_MAX + size;
    uintptr_t at = log->cursor.next;

    if (at > log->place.end || log->place.end - at < length + TERMINATOR) {
        if (!enter_chunk(log, length + TERMINATOR))
            return NULL;
        at = log->place.at;
    } else if (log->staged && at - log->flushed + length > VI_STAGE) {
        put_out(log);
    }
    if (log->flushed == log->cursor.next) {
        log->flushed = at;
        log->staged = log->stage != NULL && length <= VI_STAGE;
    }
    if (log->first == NULL)
        log->first = (uint64_t *)at;
    return log->staged ? log->stage + (at - log->flushed) / sizeof *log->stage : (uint64_t *)at;
}

/* The record ends at `end`; from here on it counts or, staged, from the flush on. */
static inline void end_record(struct vi_log *log, uint64_t *record, uint64_t *end)
{
    const uintptr_t at = place_of(log, record);
    uintptr_t next = place_of(log, end);

    if (log->logs->checked) {
        memset(end, 0, line_up(next) - next);
        next = line_up(next);
        terminate(log, next);
    } else {
        *end = 0;
    }
    log->cursor.next = next;
    VISTA_COMPILER_BARRIER();
    *record = log->cursor.stamp;
    if (log->logs->checked)
        record[1] = record_check(log, at, record, next - at - 2 * sizeof *record);
    VISTA_COMPILER_BARRIER();
}

/* limit1 is read by itself, as it was stored: read with `next` at once it would have to wait
 * until both stores have left the processor's queue. */
struct vi_mark vi_log_start(struct vi_log *log)
{
    log->first = NULL;
    return (struct vi_mark){log->cursor.next,
                            __atomic_load_n(&log->cursor.limit1, __ATOMIC_RELAXED), log->place};
}

/* A record of one item, of a kind with a payload or a long range: where the item is. */
static uint64_t *add_one(struct vi_log *log, enum vi_kind kind, uintptr_t address, uint32_t length,
                         const void *payload)
{
    const size_t bytes = payload_size(kind, length);
    uint64_t *const record = begin_record(log, sizeof *record + bytes), *item, *end;

    if (record == NULL)
        return NULL;
    item = shape_of(log, record);
    *item++ = (uint64_t)kind << VI_KIND_SHIFT | length;
    *item = address;
    if (payload != NULL)
        memcpy(item + 1, payload, kind == VI_KIND_UNDO ? length : bytes);
    end = item + 1 + bytes / sizeof *item;
    item = (uint64_t *)place_of(log, item);
    end_record(log, record, end);
    return item;
}

/* A record of up to VISTA_INLINE_RANGES short ranges. */
static int add_short(struct vi_log *log, const struct iovec *ranges, int count)
{
    uint64_t shape = VISTA_SHORT, *record, *item;
    size_t size = 0;

    for (int i = 0; i < count; i++) {
        shape |= (uint64_t)ranges[i].iov_len << VISTA_SHAPE_BITS * i;
        size += VISTA_ITEM(ranges[i].iov_len);
    }
    record = begin_record(log, size);
    if (record == NULL)
        return -1;
    item = shape_of(log, record);
    *item++ = shape;
    for (int i = 0; i < count; i++) {
        *item = (uintptr_t)ranges[i].iov_base;
        memcpy(item + 1, ranges[i].iov_base, ranges[i].iov_len);
        item += VISTA_ITEM(ranges[i].iov_len) / sizeof *item;
    }
    end_record(log, record, item);
    return 0;
}

static int add_long(struct vi_log *log, const struct iovec *range)
{
    const unsigned char *from = range->iov_base;
    size_t piece;

    for (size_t done = 0; done < range->iov_len; done += piece) {
        piece = range->iov_len - done < VI_RECORD_MAX ? range->iov_len - done : VI_RECORD_MAX;
        if (add_one(log, VI_KIND_UNDO, (uintptr_t)from + done, (uint32_t)piece, from + done) ==
            NULL)
            return -1;
    }
    return 0;
}

int vi_log_add(struct vi_log *log, const struct iovec *ranges, int count)
{
    int run = 0;

    while (run < count && run < VISTA_INLINE_RANGES &&
           ranges[run].iov_len - 1 < VISTA_INLINE_LENGTH - 1)
        run++;
    if (run == 0)
        return add_long(log, ranges) != 0 ? -1 : 1;
    return add_short(log, ranges, run) != 0 ? -1 : run;
}

void vi_log_rewind(struct vi_log *log, const struct vi_mark *mark)
{
    uintptr_t chunk = mark->place.chunk;

    if (log->first == NULL)
        return;
    vi_log_flush(log); /* with those before the mark, which remain */
    make_void(log, log->first);
    while (chunk != log->place.chunk) { /* those after the first began where a chunk does */
        chunk = (uintptr_t)vi_chunk_next(log->logs, log->slot, chunk);
        make_void(log, (uint64_t *)(chunk + sizeof(struct vi_chunk_header)));
    }
    log->cursor.next = mark->next;
    __atomic_store_n(&log->cursor.limit1, mark->limit1, __ATOMIC_RELAXED);
    log->flushed = mark->next;
    log->place = mark->place;
}

int vi_log_append_undo(struct vi_log *log, uintptr_t address, uint32_t length, const void *image)
{
    return add_one(log, VI_KIND_UNDO, address, length, image) != NULL ? 0 : -1;
}

/* Keeps the item that a record now has, for the commit. */
static inline void keep(struct vi_log *log, enum vi_kind kind, uintptr_t address, uint32_t length,
                        const uint64_t *item)
{
    if (log->effect_count < VI_EFFECTS_KEPT)
        log->effects[log->effect_count] = (struct vi_record){.offset = address - log->logs->mapped,
                                                             .length = length,
                                                             .kind = (uint16_t)kind,
                                                             .payload = item + 1,
                                                             .at = (uintptr_t)item,
                                                             .slot = log->slot};
    log->effect_count++;
    log->kinds |= 1u << kind;
    vi_log_end_out_of_line(log);
}

int vi_log_append_with(struct vi_log *log, enum vi_kind kind, uintptr_t address, uint32_t length,
                       const void *payload)
{
    const uint64_t *const item = add_one(log, kind, address, length, payload);

    if (item == NULL)
        return -1;
    keep(log, kind, address, length, item);
    return 0;
}

/* The quick way is for logs where the stamp alone says that a record counts. */
int vi_log_append(struct vi_log *log, enum vi_kind kind, uintptr_t address, uint32_t length)
{
    uint64_t *const record = (uint64_t *)log->cursor.next;

    if (log->logs->checked || log->cursor.next + HEADER_MAX + TERMINATOR > log->place.end)
        return vi_log_append_with(log, kind, address, length, NULL);
    record[1] = (uint64_t)kind << VI_KIND_SHIFT | length;
    record[2] = address;
    record[3] = 0;
    VISTA_COMPILER_BARRIER();
    record[0] = log->cursor.stamp;
    VISTA_COMPILER_BARRIER();
    log->cursor.next = (uintptr_t)(record + 3);
    keep(log, kind, address, length, record + 2);
    return 0;
}

void vi_log_flush(struct vi_log *log)
{
    if (!log->logs->persist->flushes || log->flushed == log->cursor.next)
        return;
    put_out(log);
    vi_fence(log->logs->persist);
}

void vi_log_store_word(struct vi_log *log, uint64_t word)
{
    const struct vi_persist *const persist = log->logs->persist;

    VISTA_COMPILER_BARRIER();
    if (persist->flushes) {
        persist->ops.write(log->cursor.word, &word, sizeof word);
        persist->ops.fence();
    } else {
        *log->cursor.word = word;
    }
    VISTA_COMPILER_BARRIER();
}

void vi_log_discard(struct vi_log *log)
{
    log->cursor.stamp = log->stamp + VISTA_STAMP_STEP;
    vi_log_store_word(log, log->cursor.stamp);
}

void vi_log_reset(struct vi_log *log)
{
    if (log->place.index != log->start.index)
        vi_chunk_trim(log->logs, log->slot, log->start.chunk);
    log->place = log->start;
    log->cursor.next = log->cursor.first;
    log->flushed = log->cursor.first;
    log->staged = false;
    log->kinds = 0;
    log->effect_count = 0;
}

/* ---- Reading ----------------------------------------------------------- */

void vi_walk_begin(struct vi_walk *walk, const struct vi_log *log)
{
    walk->log = log;
    walk->shape = 0;
    walk->place = vi_chunk_place((uintptr_t)log->cursor.word, 0);
}

/* Stands before the items of the transaction's record at `at`, if there is one. */
static bool enter_record(struct vi_walk *walk, uintptr_t at)
{
    const uint64_t *record = (const uint64_t *)at, *shape = shape_of(walk->log, record);
    uintptr_t end = walk->place.end - TERMINATOR;

    if (at > end || end - at < HEADER_MAX || *record != walk->log->stamp)
        return false;
    if (walk->log->logs->checked) {
        const uint64_t bytes = record[1] >> 32;

        if (bytes < sizeof *shape || bytes > end - (uintptr_t)shape ||
            (!walk->log->ours && record[1] != record_check(walk->log, at, record, bytes)))
            return false;
        end = (uintptr_t)shape + bytes;
    }
    walk->shape = *shape;
    walk->place.at = (uintptr_t)(shape + 1);
    walk->end = end;
    return true;
}

static bool enter_record_in_chunk(struct vi_walk *walk)
{
    return enter_record(walk, walk->place.at) ||
           (walk->log->logs->checked && enter_record(walk, line_up(walk->place.at)));
}

/* Moves to the chunk behind this one, if it is in the chain. */
static bool enter_next_chunk(struct vi_walk *walk)
{
    const struct vi_chunk_header *chunk =
        vi_chunk_next(walk->log->logs, walk->log->slot, walk->place.chunk);

    if (chunk == NULL)
        return false;
    walk->place = vi_chunk_place((uintptr_t)chunk, walk->place.index + 1);
    return true;
}

const struct vi_record *vi_walk_next(struct vi_walk *walk)
{
    struct vi_record *record = &walk->record;
    const uint64_t *item;
    size_t bytes;

    if (walk->shape == 0 && !enter_record_in_chunk(walk) &&
        !(enter_next_chunk(walk) && enter_record_in_chunk(walk)))
        return NULL;
    item = (const uint64_t *)walk->place.at;
    *record =
        (struct vi_record){.at = walk->place.at, .payload = item + 1, .slot = walk->log->slot};
    if (walk->shape & VISTA_SHORT) {
        record->length = walk->shape & ((1u << VISTA_SHAPE_BITS) - 1);
        walk->shape = (walk->shape & ~VISTA_SHORT) >> VISTA_SHAPE_BITS;
        if (walk->shape != 0)
            walk->shape |= VISTA_SHORT;
    } else {
        record->length = (uint32_t)walk->shape;
        record->kind = (uint16_t)(walk->shape >> VI_KIND_SHIFT);
        walk->shape = 0;
    }
    bytes = payload_size(record->kind, record->length);
    if (walk->end - walk->place.at < sizeof *item ||
        walk->end - walk->place.at - sizeof *item < bytes) {
        record->kind = VI_KINDS; /* and the walk goes no further */
        walk->shape = 0;
        walk->place.at = walk->place.end;
        return record;
    }
    record->offset = *item - walk->log->logs->mapped;
    walk->place.at += sizeof *item + bytes;
    return record;
}

/* Visits the `count` items that `walk` stands before, newest first: a few at once
 * from a list, more as two halves.  So it needs no memory and no links, and a stack as
 * deep as the count has bits.  NOLINTNEXTLINE(misc-no-recursion) */
static void visit_backward(struct vi_walk walk, uint64_t count,
                           void (*visit)(void *context, const struct vi_record *record),
                           void *context)
{
    struct vi_record list[64];
    uint64_t done;

    if (count > sizeof list / sizeof list[0]) {
        struct vi_walk later = walk;

        for (done = 0; done < count / 2; done++)
            vi_walk_next(&later);
        visit_backward(later, count - count / 2, visit, context);
        count /= 2;
    }
    if (count > sizeof list / sizeof list[0]) {
        visit_backward(walk, count, visit, context);
        return;
    }
    for (done = 0; done < count && vi_walk_next(&walk) != NULL; done++)
        list[done] = walk.record;
    while (done-- > 0)
        visit(context, &list[done]);
}

void vi_walk_backward(const struct vi_log *log,
                      void (*visit)(void *context, const struct vi_record *record), void *context)
{
    struct vi_walk walk;
    uint64_t count = 0;

    vi_walk_begin(&walk, log);
    while (vi_walk_next(&walk) != NULL)
        count++;
    vi_walk_begin(&walk, log); /* the same records, not others */
    visit_backward(walk, count, visit, context);
}

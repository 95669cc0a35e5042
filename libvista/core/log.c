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
 * this transaction's stamp: in what the handle remembers, not in the log.  Records are built
 * in memory that the handle has, its shadow, and written from there past the caches, all that
 * are to be flushed at once; a range that is longer than that goes there piece by piece.
 */
#include "core/log.h"

#include <assert.h>
#include <string.h>

#include "base/crc32c.h"
#include "core/record.h"

/* Written at once of a long range: whole lines, as much as the checksum's runs. */
#define PIECE ((size_t)3840)
#define ELSEWHERE 16u /* what names a new block there, beyond what its record here counts for */
_Static_assert(PIECE % VI_LINE == 0 && PIECE <= VI_SHADOW, "a piece is in the shadow");

/* A record no longer counts, nor would it with a part of another written over it. */
static void make_void(const struct vi_log *log, uint64_t *record)
{
    record[0] = 0;
    if (log->logs->checked)
        record[1] = 0;
    vi_flush_fence(log->logs->persist, record, 2 * sizeof *record);
}

/* The first word of the line at `at` in the slot, as it was last written; NULL: it is to be
 * read in the log. */
static uint64_t *head_of(const struct vi_log *log, uintptr_t at)
{
    return log->shadow != NULL && log->position.index == 0
               ? &log->shadow->first_words[(at - log->position.chunk) / VI_LINE]
               : NULL;
}

/* In the classes that flush: what is stored where the next record begins cannot be taken
 * for one. */
static void terminate(const struct vi_log *log, uintptr_t at)
{
    const uint64_t *head;

    if (at >= log->position.end)
        return;
    head = head_of(log, at);
    if (*(head != NULL ? head : (const uint64_t *)at) == log->cursor.stamp)
        make_void(log, (uint64_t *)at);
}

/* Of what is, or will be, at `at` to `end`, and has been built at `lines`. */
static void note_words(const struct vi_log *log, uintptr_t at, uintptr_t end, const uint64_t *lines)
{
    uint64_t *head = head_of(log, at);

    for (; head != NULL && at < end; at += VI_LINE, lines += VI_LINE / sizeof *lines)
        *head++ = *lines;
}

/* Where in the log is what is being built at `word`? */
static uintptr_t place_of(const struct vi_log *log, const uint64_t *word)
{
    return log->in_shadow ? log->flushed + (uintptr_t)word - (uintptr_t)log->shadow->words
                          : (uintptr_t)word;
}

/* Starts to write what was not flushed yet. */
static void put_out(struct vi_log *log)
{
    const struct vi_persist *const persist = log->logs->persist;
    const size_t length = log->cursor.next - log->flushed;

    if (log->in_shadow)
        persist->ops.write((uint64_t *)log->flushed, log->shadow->words, length);
    else
        vi_flush(persist, (void *)log->flushed, length);
    log->flushed = log->cursor.next;
    log->in_shadow = false;
    log->in_flight = true;
}

/* Where it goes elsewhere at commit, too, there has to be room for that before it is logged: for
 * short ranges as much and a half, for long ones and new blocks as much. */
static bool make_room(struct vi_log *log, uint64_t bytes)
{
    struct vi_logs *const logs = log->logs;

    if (logs->make_room == NULL)
        return true;
    log->needed += bytes;
    if (log->needed > log->granted && logs->make_room(logs->room_context, log->needed) != 0) {
        log->needed -= bytes;
        return false;
    }
    log->granted = log->needed > log->granted ? log->needed : log->granted;
    return true;
}

/* Moves on to a chunk with room for `need` bytes. */
static bool enter_chunk(struct vi_log *log, size_t need)
{
    struct vi_chunk_header *chunk = vi_chunk_next(log->logs, log->slot, log->position.chunk);

    if (chunk == NULL || chunk->size < sizeof *chunk + need)
        chunk = vi_chunk_link(log->logs, log->slot, log->position.chunk, log->position.index + 1,
                              sizeof *chunk + need, log->start.index != 0);
    if (chunk == NULL || !make_room(log, need + (chunk->size - need) * 3 / 2))
        return false;
    if (log->flushed != log->cursor.next)
        put_out(log);
    log->position = vi_chunk_position((uintptr_t)chunk, log->position.index + 1);
    if (log->cursor.limit1 != VI_GATED)
        __atomic_store_n(&log->cursor.limit1, vi_log_limit(log->position.end) | 1u,
                         __ATOMIC_RELAXED);
    return true;
}

/* Begins a record that has room for items of `size` bytes, in the next chunk if need be:
 * where it is to be built. */
static inline uint64_t *begin_record(struct vi_log *log, size_t size)
{
    const size_t length =
        log->logs->checked ? vi_line_up(VI_RECORD_HEADER + size) : VI_RECORD_HEADER + size;
    uintptr_t at = log->cursor.next;

    if (at > log->position.end || log->position.end - at < length + VI_TERMINATOR) {
        if (!enter_chunk(log, length + VI_TERMINATOR))
            return NULL;
        at = log->position.at;
    } else if (log->in_shadow && at - log->flushed + length > VI_SHADOW) {
        put_out(log);
    }
    if (log->flushed == log->cursor.next) {
        log->flushed = at;
        log->in_shadow = log->shadow != NULL && length <= VI_SHADOW;
    }
    if (log->first == NULL)
        log->first = (uint64_t *)at;
    return log->in_shadow ? log->shadow->words + (at - log->flushed) / sizeof(uint64_t)
                          : (uint64_t *)at;
}

/* The record ends at `end`; from here on it counts or, in the shadow, from the flush on. */
static inline void end_record(struct vi_log *log, uint64_t *record, uint64_t *end)
{
    const uintptr_t at = place_of(log, record);
    uintptr_t next = place_of(log, end);

    if (log->logs->checked) {
        for (; next % VI_LINE != 0; next += sizeof *end)
            *end++ = 0;
        terminate(log, next);
    } else {
        *end = 0;
    }
    assert(next % sizeof *end == 0 && next <= log->position.end);
    log->cursor.next = next;
    VISTA_INLINE_COMPILER_BARRIER();
    *record = log->cursor.stamp;
    if (log->logs->checked) {
        record[1] =
            vi_record_check(log->logs, log->slot, at, record, next - at - 2 * sizeof *record);
        note_words(log, at, next, record);
    }
    VISTA_INLINE_COMPILER_BARRIER();
}

/* limit1 is read by itself, as it was stored: read with `next` at once it would have to wait
 * until both stores have left the processor's queue. */
struct vi_savepoint vi_log_start(struct vi_log *log)
{
    log->first = NULL;
    return (struct vi_savepoint){log->cursor.next,
                                 __atomic_load_n(&log->cursor.limit1, __ATOMIC_RELAXED),
                                 log->needed, log->position};
}

/* A record of one item, of a kind with a payload or a long range: where the item is. */
static uint64_t *add_one(struct vi_log *log, enum vi_kind kind, uintptr_t address, uint32_t length,
                         const void *payload)
{
    const size_t bytes = vi_kind_payload(log->logs->kinds[kind], length);
    uint64_t *const record = begin_record(log, sizeof *record + bytes), *item, *end;

    if (record == NULL)
        return NULL;
    item = vi_record_shape(log->logs, record);
    *item++ = (uint64_t)kind << VI_KIND_SHIFT | length;
    *item = address;
    if (payload != NULL)
        memcpy(item + 1, payload, kind == VI_KIND_UNDO ? length : bytes);
    end = item + 1 + bytes / sizeof *item;
    item = (uint64_t *)place_of(log, item);
    end_record(log, record, end);
    return item;
}

/* Writes the rest of a record that has the `length` bytes from `from` on, its lines behind the
 * first, which it is `crc` of; what that is of the whole. */
static uint32_t write_pieces(struct vi_log *log, uintptr_t at, size_t length, const char *from,
                             uint32_t crc)
{
    const struct vi_persist *const persist = log->logs->persist;
    uint64_t *const words = log->shadow->words;
    size_t piece, bytes;

    for (; length != 0; length -= bytes, from += bytes, at += piece) {
        bytes = length < PIECE ? length : PIECE;
        piece = vi_line_up(bytes);
        /* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): such a log has a shadow */
        memcpy(words, from, bytes);
        memset((char *)words + bytes, 0, piece - bytes);
        crc = vi_crc32c(crc, words, piece);
        persist->ops.write((uint64_t *)at, words, piece);
        note_words(log, at, at + piece, words);
    }
    return crc;
}

/* A record of one long range, written past the caches: its first line, which has the checksum,
 * last.  It counts from then on, or earlier if that line was there before the others: what is
 * durable when is up to the fence. */
static bool add_streamed(struct vi_log *log, uintptr_t address, uint32_t length)
{
    const char *const from = (const char *)address;
    const size_t bytes = vi_line_up(VI_RECORD_HEADER + sizeof address + length);
    uint64_t line[VI_LINE / sizeof(uint64_t)];
    uintptr_t at;

    if (log->flushed != log->cursor.next)
        put_out(log);
    if (begin_record(log, sizeof address + length) == NULL)
        return false;
    at = log->flushed; /* nothing is built there, nor in the shadow */
    log->in_shadow = false;
    line[0] = log->cursor.stamp;
    line[2] = (uint64_t)VI_KIND_UNDO << VI_KIND_SHIFT | length;
    line[3] = address;
    memcpy(line + 4, from, sizeof line / 2);
    line[1] = vi_record_seed(log->logs, log->slot, at, line[0], bytes - 2 * sizeof line[0]);
    line[1] = vi_crc32c((uint32_t)line[1], line + 2, sizeof line - 2 * sizeof line[0]);
    line[1] = write_pieces(log, at + sizeof line, length - sizeof line / 2, from + sizeof line / 2,
                           (uint32_t)line[1]);
    line[1] |= (bytes - 2 * sizeof line[0]) << 32;
    log->logs->persist->ops.write((uint64_t *)at, line, sizeof line);
    note_words(log, at, at + sizeof line, line);
    terminate(log, at + bytes);
    log->cursor.next = log->flushed = at + bytes;
    log->in_flight = true;
    return true;
}

static bool add_piece(struct vi_log *log, uintptr_t address, uint32_t length)
{
    if (log->shadow != NULL && length > VI_SHADOW / 4)
        return add_streamed(log, address, length);
    return add_one(log, VI_KIND_UNDO, address, length, (const void *)address) != NULL;
}

static int add_long(struct vi_log *log, const struct iovec *range)
{
    const unsigned char *from = range->iov_base;
    size_t piece;

    for (size_t done = 0; done < range->iov_len; done += piece) {
        piece = range->iov_len - done < VI_RECORD_MAX ? range->iov_len - done : VI_RECORD_MAX;
        if (!add_piece(log, (uintptr_t)from + done, (uint32_t)piece))
            return -1;
    }
    return 0;
}

/* A range and its bytes, word by word: a wider load would have to wait until the stores to
 * what it reads, of the transaction before, have left the processor's queue. */
static inline uint64_t *put_item(uint64_t *item, const struct iovec *range)
{
    const unsigned char *from = range->iov_base;
    size_t length = range->iov_len;
    uint64_t tail = 0;

    for (*item++ = (uintptr_t)from; length >= sizeof *item; length -= sizeof *item) {
        *(vista_inline_lane *)item++ = *(const vista_inline_lane *)from;
        from += sizeof *item;
    }
    for (size_t i = 0; i < length; i++)
        tail |= (uint64_t)from[i] << 8 * i;
    if (length != 0)
        *item++ = tail;
    return item;
}

int vi_log_add(struct vi_log *log, const struct iovec *ranges, int count)
{
    const int most = count < VISTA_INLINE_RANGES ? count : VISTA_INLINE_RANGES;
    uint64_t shape = VISTA_INLINE_SHORT, *record, *item;
    int run;

    if (ranges[0].iov_len - 1 >= VISTA_INLINE_LENGTH - 1)
        return add_long(log, ranges) != 0 ? -1 : 1;
    record = begin_record(log, (size_t)most * VISTA_INLINE_ITEM(VISTA_INLINE_LENGTH - 1));
    if (record == NULL)
        return -1;
    item = vi_record_shape(log->logs, record) + 1;
    for (run = 0; run < most && ranges[run].iov_len - 1 < VISTA_INLINE_LENGTH - 1; run++) {
        shape |= (uint64_t)ranges[run].iov_len << VISTA_INLINE_SHAPE_BITS * run;
        item = put_item(item, &ranges[run]);
    }
    *vi_record_shape(log->logs, record) = shape;
    end_record(log, record, item);
    return run;
}

void vi_log_rewind(struct vi_log *log, const struct vi_savepoint *savepoint)
{
    uintptr_t chunk = savepoint->position.chunk;

    log->needed = savepoint->needed;
    if (log->first == NULL)
        return;
    vi_log_flush(log); /* with those before the savepoint, which remain */
    make_void(log, log->first);
    while (chunk != log->position.chunk) { /* those after the first began where a chunk does */
        chunk = (uintptr_t)vi_chunk_next(log->logs, log->slot, chunk);
        make_void(log, (uint64_t *)(chunk + sizeof(struct vi_chunk_header)));
    }
    log->cursor.next = savepoint->next;
    __atomic_store_n(&log->cursor.limit1, savepoint->limit1, __ATOMIC_RELAXED);
    log->flushed = savepoint->next;
    log->position = savepoint->position;
}

const void *vi_log_append_undo(struct vi_log *log, uintptr_t address, uint32_t length,
                               const void *image)
{
    const uint64_t *const item = add_one(log, VI_KIND_UNDO, address, length, image);

    return item != NULL ? item + 1 : NULL;
}

int vi_log_append(struct vi_log *log, struct vi_item item, uintptr_t address)
{
    const struct vi_record_kind *const kind = log->logs->kinds[item.kind];
    const uint64_t *at;

    if (log->logs->make_room != NULL && kind->extent != NULL &&
        !make_room(log, kind->extent(&item).iov_len + ELSEWHERE))
        return -1;
    at = add_one(log, item.kind, address, item.length, item.payload);
    if (at == NULL)
        return -1;
    item.payload = at + 1;
    vi_log_add_effect(log, item);
    return 0;
}

void vi_log_attach(struct vi_logs *logs, struct vi_log *log, uint32_t slot)
{
    log->logs = logs;
    log->slot = slot;
    log->cursor.word = (uint64_t *)vi_logs_slot(logs, slot);
    log->start = vi_chunk_position(vi_logs_slot(logs, slot), 0);
    log->cursor.first = log->start.at;
    log->position = log->start;
    log->stamp = *log->cursor.word & ~(uint64_t)VI_STAMP_FINISHING;
    log->cursor.stamp = log->stamp;
    log->live = false;
    log->shadow = NULL;
    log->granted = 0;
    vi_log_reset(log);
}

int vi_log_take(struct vi_logs *logs, struct vi_log *log)
{
    uint32_t slot;

    if (vi_logs_take(logs, &slot) != 0)
        return -1;
    vi_log_attach(logs, log, slot);
    log->live = true;
    return 0;
}

void vi_log_use_shadow(struct vi_log *log, struct vi_shadow *shadow)
{
    const uintptr_t slot = log->position.chunk;

    log->shadow = shadow;
    for (size_t i = 0; i < VI_SLOT_SIZE / VI_LINE; i++)
        shadow->first_words[i] = *(const uint64_t *)(slot + i * VI_LINE);
    vi_persist_evict((const void *)slot, VI_SLOT_SIZE);
}

bool vi_log_begin_flush(struct vi_log *log)
{
    bool in_flight;

    if (!log->logs->persist->flushes)
        return false;
    if (log->flushed != log->cursor.next)
        put_out(log);
    in_flight = log->in_flight;
    log->in_flight = false;
    return in_flight;
}

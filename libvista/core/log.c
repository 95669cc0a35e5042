/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Appending to a log: records, and the moves from chunk to chunk.
 *
 * In the kill-safe class a record counts once its stamp stands, which is stored
 * last, and eight zero bytes stand behind it by then, so that nothing old is taken
 * for the next record.  Where flushes can be lost, a record counts if its checksum
 * agrees; a record that begins where all before it is flushed begins on a new
 * line, so that no line is flushed twice; and instead of zeroing the place of the
 * next record, which is in a line of its own, it is enough to see that it does not
 * hold this transaction's stamp.
 */
#include "core/log.h"

#include "base/crc32c.h"
#include "base/error.h"
#include "core/chunks.h"

#define TERMINATOR sizeof(uint64_t)

static uintptr_t line_up(uintptr_t at)
{
    return (at + VI_LINE - 1) & ~(uintptr_t)(VI_LINE - 1);
}

size_t vi_record_payload(const struct vista_record1 *record)
{
    if (record->kind == VI_KIND_UNDO)
        return record->length;
    return record->kind == VI_KIND_ROOT ? 2 * sizeof(struct vi_root) : 0;
}

static size_t record_size(size_t payload)
{
    return sizeof(struct vista_record1) + ((payload + 7) & ~(size_t)7);
}

static uint32_t record_check(const struct vi_log *log, const struct vista_record1 *record,
                             size_t payload)
{
    const uint64_t position[2] = {log->slot, (uintptr_t)record - (uintptr_t)log->logs->meta};
    uint32_t crc = vi_crc32c(log->logs->seed, position, sizeof position);

    crc = vi_crc32c(crc, record, offsetof(struct vista_record1, check));
    return vi_crc32c(crc, record + 1, payload);
}

struct vi_place vi_log_place(const struct vi_log *log)
{
    struct vi_place place = log->place;

    place.at = log->cursor.next;
    if (log->logs->checked && place.at == log->flushed)
        place.at = line_up(place.at);
    return place;
}

int vi_log_plan(struct vi_log *log, struct vi_place *place, size_t payload)
{
    const size_t need = record_size(payload) + TERMINATOR;
    struct vi_chunk_header *chunk;

    if (place->end >= place->at && place->end - place->at >= need) {
        place->at += need - TERMINATOR;
        return 0;
    }
    chunk = vi_chunk_next(log->logs, log->slot, place->chunk);
    if (chunk == NULL || chunk->size < sizeof *chunk + need)
        chunk = vi_chunk_link(log->logs, log->slot, place->chunk, place->index + 1,
                              sizeof *chunk + need);
    if (chunk == NULL)
        return -1;
    *place = (struct vi_place){.chunk = (uintptr_t)chunk,
                               .at = (uintptr_t)(chunk + 1) + need - TERMINATOR,
                               .end = (uintptr_t)chunk + chunk->size,
                               .index = place->index + 1};
    return 0;
}

/* Moves the cursor to where the planned record begins. */
static void move(struct vi_log *log, const struct vi_place *place, uintptr_t at)
{
    if (place->chunk != log->place.chunk) {
        if (log->flushed != log->cursor.next)
            vi_flush(log->logs->persist, (void *)log->flushed, log->cursor.next - log->flushed);
        log->cursor.last = at;
        log->flushed = at;
        log->place = *place;
        log->cursor.end_out_of_line = 1;
        if (log->cursor.limit1 != VI_GATED)
            __atomic_store_n(&log->cursor.limit1, place->end, __ATOMIC_RELAXED);
    } else if (log->flushed == log->cursor.next) {
        log->flushed = at;
    }
    if (log->cursor.last == log->cursor.next)
        log->cursor.last = at;
    log->cursor.next = at;
}

/* Sees to it that what is stored behind a record cannot be taken for the next. */
static void terminate(const struct vi_log *log, uintptr_t end)
{
    uint64_t *next = (uint64_t *)end;

    if (!log->logs->checked) {
        *next = 0;
        return;
    }
    if (end % VI_LINE != 0)
        *next = 0; /* in the record's last line */
    next = (uint64_t *)line_up(end);
    if ((uintptr_t)next < log->place.end && *next == log->cursor.stamp) {
        *next = 0;
        vi_flush(log->logs->persist, next, sizeof *next);
    }
}

static int append(struct vi_log *log, enum vi_kind kind, uint64_t offset, uint32_t length,
                  const void *payload, size_t payload_size)
{
    const size_t size = record_size(payload_size);
    struct vi_place place = vi_log_place(log);
    struct vista_record1 *record;

    if (vi_log_plan(log, &place, payload_size) != 0)
        return -1;
    move(log, &place, place.at - size);
    record = (struct vista_record1 *)log->cursor.next;
    terminate(log, place.at);
    record->offset = offset;
    record->kind = (uint16_t)kind;
    record->member = (uint16_t)log->cursor.member;
    record->length = length;
    record->previous = (uint32_t)(log->cursor.next - log->cursor.last);
    record->check = 0;
    VISTA_COMPILER_BARRIER();
    if (payload_size != 0)
        memcpy(record + 1, payload, payload_size);
    VISTA_COMPILER_BARRIER();
    record->stamp = log->cursor.stamp;
    if (log->logs->checked)
        record->check = record_check(log, record, payload_size);
    VISTA_COMPILER_BARRIER();
    log->cursor.last = log->cursor.next;
    log->cursor.next = place.at;
    return 0;
}

int vi_log_append(struct vi_log *log, enum vi_kind kind, uint64_t offset, uint32_t length,
                  const void *payload)
{
    if (append(log, kind, offset, length, payload,
               kind == VI_KIND_ROOT ? 2 * sizeof(struct vi_root) : 0) != 0)
        return -1;
    log->kinds |= 1u << kind;
    log->cursor.end_out_of_line = 1;
    return 0;
}

int vi_log_append_undo(struct vi_log *log, uint64_t offset, uint32_t length, const void *image)
{
    return append(log, VI_KIND_UNDO, offset, length, image, length);
}

void vi_log_flush(struct vi_log *log)
{
    if (!log->logs->persist->flushes || log->flushed == log->cursor.next)
        return;
    vi_flush_fence(log->logs->persist, (void *)log->flushed, log->cursor.next - log->flushed);
    log->flushed = log->cursor.next;
}

uint64_t vi_log_next_stamp(const struct vi_log *log)
{
    return log->cursor.stamp + VISTA_STAMP_STEP;
}

void vi_log_store_word(struct vi_log *log, uint64_t word)
{
    VISTA_COMPILER_BARRIER();
    *log->cursor.word = word;
    VISTA_COMPILER_BARRIER();
    vi_flush_fence(log->logs->persist, log->cursor.word, sizeof word);
}

void vi_log_reset(struct vi_log *log, uint64_t stamp)
{
    const uintptr_t slot = (uintptr_t)log->cursor.word;

    if (log->place.index != 0)
        vi_chunk_trim(log->logs, log->slot, slot);
    log->place = (struct vi_place){.chunk = slot, .end = slot + VI_SLOT_SIZE};
    log->cursor.stamp = stamp;
    log->cursor.next = log->cursor.first;
    log->cursor.last = log->cursor.first;
    log->flushed = log->cursor.first;
    log->kinds = 0;
}

/* ---- Reading ----------------------------------------------------------- */

void vi_walk_begin(struct vi_walk *walk, const struct vi_log *log, uint64_t stamp, bool verify)
{
    const uintptr_t slot = (uintptr_t)log->cursor.word;

    walk->log = log;
    walk->place = (struct vi_place){
        .chunk = slot, .at = slot + sizeof(struct vi_slot_header), .end = slot + VI_SLOT_SIZE};
    walk->last = walk->place.at;
    walk->stamp = stamp;
    walk->verify = verify && log->logs->checked;
}

/* The transaction's record at `at`, or NULL. */
static const struct vista_record1 *record_at(const struct vi_walk *walk, uintptr_t at)
{
    const struct vista_record1 *record = (const struct vista_record1 *)at;
    const uintptr_t end = walk->place.end;

    if (at > end || end - at < sizeof *record + TERMINATOR || record->stamp != walk->stamp ||
        record->previous != at - walk->last ||
        end - at - sizeof *record - TERMINATOR < vi_record_payload(record))
        return NULL;
    if (walk->verify && record->check != record_check(walk->log, record, vi_record_payload(record)))
        return NULL;
    return record;
}

static const struct vista_record1 *next_in_chunk(struct vi_walk *walk)
{
    const struct vista_record1 *record = record_at(walk, walk->place.at);

    if (record == NULL && walk->log->logs->checked)
        record = record_at(walk, line_up(walk->place.at));
    if (record != NULL) {
        walk->last = (uintptr_t)record;
        walk->place.at = walk->last + record_size(vi_record_payload(record));
    }
    return record;
}

/* Moves to the chunk behind this one, if it is in the chain. */
static bool enter_next_chunk(struct vi_walk *walk)
{
    const struct vi_chunk_header *chunk =
        vi_chunk_next(walk->log->logs, walk->log->slot, walk->place.chunk);

    if (chunk == NULL)
        return false;
    walk->place = (struct vi_place){.chunk = (uintptr_t)chunk,
                                    .at = (uintptr_t)(chunk + 1),
                                    .end = (uintptr_t)chunk + chunk->size,
                                    .index = walk->place.index + 1};
    walk->last = walk->place.at;
    return true;
}

const struct vista_record1 *vi_walk_next(struct vi_walk *walk)
{
    const struct vista_record1 *record = next_in_chunk(walk);

    if (record == NULL && enter_next_chunk(walk))
        record = next_in_chunk(walk);
    return record;
}

void vi_walk_backward(const struct vi_log *log, uint64_t stamp, bool verify,
                      void (*visit)(void *context, const struct vista_record1 *record),
                      void *context)
{
    struct vi_walk walk;
    uint64_t chunks = 0;

    vi_walk_begin(&walk, log, stamp, verify);
    while (vi_walk_next(&walk) != NULL)
        chunks = walk.place.index + 1;
    while (chunks-- > 0) {
        const struct vista_record1 *last = NULL;
        const struct vista_record1 *record;

        vi_walk_begin(&walk, log, stamp, verify);
        while (walk.place.index < chunks && enter_next_chunk(&walk))
            ;
        while ((record = next_in_chunk(&walk)) != NULL)
            last = record;
        for (record = last; record != NULL;
             record = record->previous == 0
                          ? NULL
                          : (const void *)((const char *)record - record->previous))
            visit(context, record);
    }
}

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

static size_t payload_size(unsigned kind, uint32_t length)
{
    if (kind == VI_KIND_UNDO)
        return length;
    return kind == VI_KIND_ROOT ? 2 * sizeof(struct vi_root) : 0;
}

static size_t padded(size_t payload)
{
    return (payload + 7) & ~(size_t)7;
}

static size_t record_size(size_t payload)
{
    return sizeof(struct vi_record_header) + padded(payload);
}

static uint32_t record_check(const struct vi_log *log, const struct vi_record_header *header)
{
    const uint64_t position[2] = {log->slot, (uintptr_t)header - (uintptr_t)log->logs->meta};
    uint32_t crc = vi_crc32c(log->logs->seed, position, sizeof position);

    crc = vi_crc32c(crc, header, offsetof(struct vi_record_header, check));
    return vi_crc32c(crc, header + 1, payload_size(header->kind, header->length));
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
                              sizeof *chunk + need, log->start.index != 0);
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
        log->flushed = at;
        log->place = *place;
        if (log->cursor.limit1 != VI_GATED)
            __atomic_store_n(&log->cursor.limit1, vi_log_limit(place->end) | 1u, __ATOMIC_RELAXED);
    } else if (log->flushed == log->cursor.next) {
        log->flushed = at;
    }
    log->cursor.next = at;
}

/* Sees to it that what is stored behind a record cannot be taken for the next: before
 * the record can count.  The next one begins at its end or on a new line. */
static void terminate(const struct vi_log *log, uintptr_t end)
{
    const uintptr_t places[2] = {end, line_up(end)};

    if (!log->logs->checked) {
        *(uint64_t *)end = 0;
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint64_t *next = (uint64_t *)places[i];

        if (places[i] < log->place.end && *next == (log->cursor.stamp | VI_STAMP_LONG)) {
            *next = 0;
            vi_flush_fence(log->logs->persist, next, sizeof *next);
        }
    }
}

static int append(struct vi_log *log, enum vi_kind kind, uint64_t offset, uint32_t length,
                  const void *payload)
{
    const size_t bytes = payload_size(kind, length);
    struct vi_place place = vi_log_place(log);
    struct vi_record_header *header;

    if (vi_log_plan(log, &place, bytes) != 0)
        return -1;
    move(log, &place, place.at - record_size(bytes));
    header = (struct vi_record_header *)log->cursor.next;
    terminate(log, place.at);
    header->offset = offset;
    header->length = length;
    header->kind = (uint16_t)kind;
    header->member = 0;
    header->check = 0;
    header->reserved = 0;
    VISTA_COMPILER_BARRIER();
    if (bytes != 0)
        memcpy(header + 1, payload, bytes);
    VISTA_COMPILER_BARRIER();
    header->stamp = log->cursor.stamp | VI_STAMP_LONG;
    if (log->logs->checked)
        header->check = record_check(log, header);
    VISTA_COMPILER_BARRIER();
    log->cursor.next = place.at;
    return 0;
}

int vi_log_append(struct vi_log *log, enum vi_kind kind, uint64_t offset, uint32_t length,
                  const void *payload)
{
    if (append(log, kind, offset, length, payload) != 0)
        return -1;
    log->kinds |= 1u << kind;
    vi_log_end_out_of_line(log);
    return 0;
}

int vi_log_append_undo(struct vi_log *log, uint64_t offset, uint32_t length, const void *image)
{
    return append(log, VI_KIND_UNDO, offset, length, image);
}

void vi_log_flush(struct vi_log *log)
{
    if (!log->logs->persist->flushes || log->flushed == log->cursor.next)
        return;
    vi_flush_fence(log->logs->persist, (void *)log->flushed, log->cursor.next - log->flushed);
    log->flushed = log->cursor.next;
}

void vi_log_store_word(struct vi_log *log, uint64_t word)
{
    VISTA_COMPILER_BARRIER();
    *log->cursor.word = word;
    VISTA_COMPILER_BARRIER();
    vi_flush_fence(log->logs->persist, log->cursor.word, sizeof word);
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
    log->kinds = 0;
}

/* ---- Reading ----------------------------------------------------------- */

void vi_walk_begin(struct vi_walk *walk, const struct vi_log *log, uint64_t stamp, bool verify)
{
    const uintptr_t slot = (uintptr_t)log->cursor.word;

    walk->log = log;
    walk->place = (struct vi_place){
        .chunk = slot, .at = slot + sizeof(struct vi_slot_header), .end = slot + VI_SLOT_SIZE};
    walk->stamp = stamp;
    walk->verify = verify && log->logs->checked;
}

/* Reads the transaction's record at `at`, if there is one. */
static bool read_at(struct vi_walk *walk, uintptr_t at)
{
    const struct vista_record1 *brief = (const struct vista_record1 *)at;
    const struct vi_record_header *header = (const struct vi_record_header *)at;
    const uintptr_t end = walk->place.end - TERMINATOR;
    size_t bytes;

    if (at > end || end - at < sizeof *brief)
        return false;
    if (brief->stamp == walk->stamp && !walk->log->logs->checked) {
        bytes = brief->where >> VISTA_LENGTH_SHIFT;
        walk->record =
            (struct vi_record){.offset = brief->where & (((uint64_t)1 << VISTA_LENGTH_SHIFT) - 1),
                               .length = (uint32_t)bytes,
                               .payload = brief + 1,
                               .at = at,
                               .slot = walk->log->slot};
    } else {
        if (end - at < sizeof *header || header->stamp != (walk->stamp | VI_STAMP_LONG))
            return false;
        bytes = payload_size(header->kind, header->length);
        walk->record = (struct vi_record){header->offset, header->length, header->kind,
                                          header->member, header + 1,     at,
                                          walk->log->slot};
    }
    at = (uintptr_t)walk->record.payload;
    if (end < at || end - at < padded(bytes) ||
        (walk->verify && header->check != record_check(walk->log, header)))
        return false;
    walk->place.at = at + padded(bytes);
    return true;
}

static bool next_in_chunk(struct vi_walk *walk)
{
    return read_at(walk, walk->place.at) ||
           (walk->log->logs->checked && read_at(walk, line_up(walk->place.at)));
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
    return true;
}

const struct vi_record *vi_walk_next(struct vi_walk *walk)
{
    if (next_in_chunk(walk) || (enter_next_chunk(walk) && next_in_chunk(walk)))
        return &walk->record;
    return NULL;
}

/* Visits the `count` records that `walk` stands before, newest first: a few at once
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

void vi_walk_backward(const struct vi_log *log, uint64_t stamp, bool verify,
                      void (*visit)(void *context, const struct vi_record *record), void *context)
{
    struct vi_walk walk;
    uint64_t count = 0;

    vi_walk_begin(&walk, log, stamp, verify);
    while (vi_walk_next(&walk) != NULL)
        count++;
    vi_walk_begin(&walk, log, stamp, verify); /* the same records, not others */
    visit_backward(walk, count, visit, context);
}

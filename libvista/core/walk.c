/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading a log: see walk.h.
 */
#include "core/walk.h"

#include "core/chunks.h"
#include "core/record.h"

void vi_walk_begin(struct vi_walk *walk, const struct vi_log *log)
{
    walk->log = log;
    walk->shape = 0;
    walk->position = vi_chunk_position((uintptr_t)log->cursor.word, 0);
}

/* Stands before the items of the transaction's record at `at`, if there is one. */
static bool enter_record(struct vi_walk *walk, uintptr_t at)
{
    const uint64_t *record = (const uint64_t *)at,
                   *shape = vi_record_shape(walk->log->logs, record);
    uintptr_t end = walk->position.end - VI_TERMINATOR;

    if (at > end || end - at < VI_RECORD_HEADER || *record != walk->log->stamp)
        return false;
    if (walk->log->logs->checked) {
        const uint64_t bytes = record[1] >> 32;

        if (bytes < sizeof *shape || bytes > end - (uintptr_t)shape ||
            (!walk->log->live &&
             record[1] != vi_record_check(walk->log->logs, walk->log->slot, at, record, bytes)))
            return false;
        end = (uintptr_t)shape + bytes;
    }
    walk->shape = *shape;
    walk->position.at = (uintptr_t)(shape + 1);
    walk->end = end;
    return true;
}

static bool enter_record_in_chunk(struct vi_walk *walk)
{
    return enter_record(walk, walk->position.at) ||
           (walk->log->logs->checked && enter_record(walk, vi_line_up(walk->position.at)));
}

/* Moves to the chunk behind this one, if it is in the chain. */
static bool enter_next_chunk(struct vi_walk *walk)
{
    const struct vi_chunk_header *chunk =
        vi_chunk_next(walk->log->logs, walk->log->slot, walk->position.chunk);

    if (chunk == NULL)
        return false;
    walk->position = vi_chunk_position((uintptr_t)chunk, walk->position.index + 1);
    return true;
}

const struct vi_record *vi_walk_next(struct vi_walk *walk)
{
    struct vi_record *record = &walk->record;
    const struct vi_record_kind *kind;
    const uint64_t *item;
    size_t bytes, left;

    if (walk->shape == 0 && !enter_record_in_chunk(walk) &&
        !(enter_next_chunk(walk) && enter_record_in_chunk(walk)))
        return NULL;
    item = (const uint64_t *)walk->position.at;
    *record = (struct vi_record){.payload = item + 1};
    if (walk->shape & VISTA_INLINE_SHORT) {
        record->length = walk->shape & ((1u << VISTA_INLINE_SHAPE_BITS) - 1);
        walk->shape = (walk->shape & ~VISTA_INLINE_SHORT) >> VISTA_INLINE_SHAPE_BITS;
        if (walk->shape != 0)
            walk->shape |= VISTA_INLINE_SHORT;
    } else {
        record->length = (uint32_t)walk->shape;
        record->kind = (uint16_t)(walk->shape >> VI_KIND_SHIFT);
        walk->shape = 0;
    }
    kind = record->kind < VI_KINDS ? walk->log->logs->kinds[record->kind] : NULL;
    bytes = kind != NULL ? vi_kind_payload(kind, record->length) : 0;
    left = walk->end - walk->position.at;
    if (left < sizeof *item || left - sizeof *item < bytes) {
        record->kind = VI_KINDS; /* and the walk goes no further */
        walk->shape = 0;
        walk->position.at = walk->position.end;
        return record;
    }
    record->address = *item;
    walk->position.at += sizeof *item + bytes;
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

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Log space set aside: see page_log.h.
 */
#include "core/page_log.h"

#include "core/chunks.h"

/* A record of no bytes, and the most it takes. */
#define HEAD (4 * sizeof(uint64_t))
_Static_assert(HEAD <= VI_LINE, "a head is within a line");

/* What a record takes at most, and a chunk beside its records. */
static uint64_t record_room(uint32_t length)
{
    return ((uint64_t)length + HEAD + VI_LINE - 1) / VI_LINE * VI_LINE;
}
#define CHUNK_ROOM ((uint64_t)4 * VI_LINE) /* header, head, the zero behind the last record */

static void move_to(struct vi_log *log, struct vi_place place)
{
    log->place = place;
    log->cursor.next = place.at;
    log->flushed = place.at;
}

static void start_at(struct vi_log *log, struct vi_place place)
{
    log->start = place;
    log->cursor.first = place.at;
    move_to(log, place);
}

int vi_aside_reserve(struct vi_aside *aside, struct vi_log *log, uint32_t length, uint64_t count)
{
    const uint64_t each = record_room(length), most = (VI_CHUNK_MAX - CHUNK_ROOM) / each;
    struct vi_place place = vi_chunk_place((uintptr_t)log->cursor.word, 0);

    start_at(log, place); /* what is linked behind the slot now is given back by the first link */
    *aside = (struct vi_aside){.log = *log, .length = length};
    aside->log.stage = NULL;
    for (uint64_t left = count; place.index == 0 || left != 0;) {
        const uint64_t fit = left < most ? left : most;
        struct vi_chunk_header *chunk = vi_chunk_link(
            log->logs, log->slot, place.chunk, place.index + 1, CHUNK_ROOM + fit * each, true);

        if (chunk == NULL)
            return -1;
        place = vi_chunk_place((uintptr_t)chunk, place.index + 1);
        left -= fit;
    }
    place.chunk = (uintptr_t)vi_chunk_link(log->logs, log->slot, place.chunk, place.index + 1,
                                           VI_CHUNK_UNIT, true);
    if (place.chunk == 0)
        return -1;
    start_at(log, vi_chunk_place(place.chunk, place.index + 1));
    aside->count = count;
    return 0;
}

/* Behind the head of the chunk at `place`. */
static struct vi_place behind_head(const struct vi_log *log, struct vi_place place)
{
    place.at += log->logs->checked ? VI_LINE : HEAD - sizeof(uint64_t);
    return place;
}

static struct vi_place next_place(const struct vi_log *log, struct vi_place place)
{
    return vi_chunk_place((uintptr_t)vi_chunk_next(log->logs, log->slot, place.chunk),
                          place.index + 1);
}

void vi_aside_begin(struct vi_aside *aside, const struct vi_log *log)
{
    struct vi_place place = vi_chunk_place((uintptr_t)log->cursor.word, 0);

    aside->log.cursor.stamp = log->cursor.stamp;
    for (; place.index != log->start.index; place = next_place(log, place)) {
        move_to(&aside->log, place);
        vi_log_append_undo(&aside->log, log->logs->mapped, 0, NULL);
        vi_flush(log->logs->persist, (void *)place.at, HEAD);
    }
    vi_fence(log->logs->persist);
    place = vi_chunk_place((uintptr_t)log->cursor.word, 0);
    move_to(&aside->log, behind_head(log, next_place(log, place)));
}

const void *vi_aside_append(struct vi_aside *aside, const void *address)
{
    struct vi_log *log = &aside->log;

    if (log->place.end - log->cursor.next < record_room(aside->length) + CHUNK_ROOM / 2) {
        vi_log_flush(log);
        move_to(log, behind_head(log, next_place(log, log->place)));
    }
    return vi_log_append_undo(log, (uintptr_t)address, aside->length, address);
}

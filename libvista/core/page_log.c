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

static void move_to(struct vi_log *log, struct vi_position position)
{
    log->position = position;
    log->cursor.next = position.at;
    log->flushed = position.at;
}

static void start_at(struct vi_log *log, struct vi_position position)
{
    log->start = position;
    log->cursor.first = position.at;
    move_to(log, position);
}

/* Behind the head of the chunk at `position`. */
static struct vi_position behind_head(const struct vi_log *log, struct vi_position position)
{
    position.at += log->logs->checked ? VI_LINE : HEAD - sizeof(uint64_t);
    return position;
}

int vi_page_log_reserve(struct vi_page_log *pages, struct vi_log *log, uint32_t length,
                        uint64_t count)
{
    const uint64_t each = record_room(length), most = (VI_CHUNK_MAX - CHUNK_ROOM) / each;
    struct vi_position position = vi_chunk_position((uintptr_t)log->cursor.word, 0);

    /* What is linked behind the slot now is given back by the first link. */
    start_at(log, position);
    *pages = (struct vi_page_log){.log = *log, .length = length};
    pages->log.shadow = NULL;
    for (uint64_t left = count; position.index == 0 || left != 0;) {
        const uint64_t fit = left < most ? left : most;
        struct vi_chunk_header *chunk =
            vi_chunk_link(log->logs, log->slot, position.chunk, position.index + 1,
                          CHUNK_ROOM + fit * each, true);

        if (chunk == NULL)
            return -1;
        position = vi_chunk_position((uintptr_t)chunk, position.index + 1);
        left -= fit;
    }
    position.chunk = (uintptr_t)vi_chunk_link(log->logs, log->slot, position.chunk,
                                              position.index + 1, VI_CHUNK_UNIT, true);
    if (position.chunk == 0)
        return -1;
    start_at(log, behind_head(log, vi_chunk_position(position.chunk, position.index + 1)));
    pages->count = count;
    return 0;
}

static struct vi_position next_position(const struct vi_log *log, struct vi_position position)
{
    return vi_chunk_position((uintptr_t)vi_chunk_next(log->logs, log->slot, position.chunk),
                             position.index + 1);
}

void vi_page_log_begin(struct vi_page_log *pages, const struct vi_log *log)
{
    struct vi_position position = vi_chunk_position((uintptr_t)log->cursor.word, 0);

    pages->log.cursor.stamp = log->cursor.stamp;
    for (;; position = next_position(log, position)) {
        move_to(&pages->log, position);
        vi_log_append_undo(&pages->log, log->logs->mapped, 0, NULL);
        vi_flush(log->logs->persist, (void *)position.at, HEAD);
        if (position.index == log->start.index)
            break;
    }
    vi_fence(log->logs->persist);
    position = vi_chunk_position((uintptr_t)log->cursor.word, 0);
    move_to(&pages->log, behind_head(log, next_position(log, position)));
}

const void *vi_page_log_append(struct vi_page_log *pages, const void *address)
{
    struct vi_log *log = &pages->log;

    if (log->position.end - log->cursor.next < record_room(pages->length) + CHUNK_ROOM / 2) {
        vi_log_flush(log);
        move_to(log, behind_head(log, next_position(log, log->position)));
    }
    return vi_log_append_undo(log, (uintptr_t)address, pages->length, address);
}

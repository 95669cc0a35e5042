/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The undo log as a transaction appends to it and as recovery reads it.  Records
 * are described in vista_inline.h, slots and chunks in media/format.h, the six rules in
 * libvista/README.md.
 *
 * A slot is used by one transaction at a time, which needs no lock for its log.
 */
#ifndef VI_CORE_LOG_H
#define VI_CORE_LOG_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/chunks.h"
#include "core/kinds.h"
#include "media/format.h"
#include "media/persist.h"

/* limit1 of an open transaction whose ranges all go out of line; odd, too. */
#define VI_GATED 3u

/* limit1 of one whose log's space ends at `end`: an inlined record fits. */
static inline uintptr_t vi_log_limit(uintptr_t end)
{
    return end - VISTA_INLINE_RECORD;
}

#define VI_EFFECTS_KEPT 32
#define VI_SHADOW 4096u

/* What a log that is written past the caches has in ordinary memory, so as not to be read:
 * a line that a read has brought to the caches takes far longer to be written the next time. */
struct vi_shadow {
    uint64_t words[VI_SHADOW / sizeof(uint64_t)]; /* records that are not in the file yet */
    uint64_t first_words[VI_SLOT_SIZE / VI_LINE]; /* the first word of each of the slot's lines */
};

/* One slot's log, while a transaction holds it. */
struct vi_log {
    struct vista_tx cursor; /* first: the public prefix, moved by the inlined path too */
    uint64_t stamp;         /* of the transaction being ended or recovered, to the last */
    struct vi_logs *logs;
    uint32_t slot;
    uint32_t kinds;              /* bit k: a record of kind k was appended out of line */
    struct vi_position position; /* its `at` is stale: cursor.next counts */
    struct vi_position start;    /* where it is after a discard: the slot, or see core/page_log.h */
    uintptr_t flushed;           /* records from here to cursor.next are not yet flushed */
    bool in_shadow;              /* and are not in the file, but in shadow->words */
    bool in_flight;              /* some before it are, or may be, flushed and not fenced */
    struct vi_shadow *shadow;    /* NULL: records are built in place */
    /* The first items appended that are no undo images: what a commit has to apply, finish
     * and settle is found here, without a walk. */
    struct vi_item effects[VI_EFFECTS_KEPT];
    uint32_t effect_count; /* all, kept or not */
    uint64_t needed;       /* of make_room, for this transaction's chunks and new blocks */
    uint64_t granted;      /* by it, to any of this log's */
    bool live;             /* this process has written it, and it is not being recovered */
    uint64_t *first;       /* record since vi_log_start */
};

/* A slot that no one has had in this mapping, ready to be appended to.  EAGAIN,
 * ENOSPC. */
int vi_log_take(struct vi_logs *logs, struct vi_log *log);

/* From now on the log, which is empty, is written by way of `shadow`. */
void vi_log_use_shadow(struct vi_log *log, struct vi_shadow *shadow);

/* Slot `slot` as it is stored, for recovery. */
void vi_log_attach(struct vi_logs *logs, struct vi_log *log, uint32_t slot);

/* The commit goes out of line. */
static inline void vi_log_end_out_of_line(struct vi_log *log)
{
    __atomic_store_n(&log->cursor.limit1, log->cursor.limit1 | 1u, __ATOMIC_RELAXED);
}

/* Keeps the item that a record now has. */
static inline void vi_log_add_effect(struct vi_log *log, struct vi_item item)
{
    assert(item.kind != VI_KIND_UNDO && item.context != NULL);
    if (log->effect_count < VI_EFFECTS_KEPT)
        log->effects[log->effect_count] = item;
    log->effect_count++;
    log->kinds |= 1u << item.kind;
    vi_log_end_out_of_line(log);
}

/*
 * Appends a record of one item, which names `address`, durable after vi_log_flush, and makes the
 * commit go out of line; its payload is copied.  -1 with ENOSPC: nothing was appended.
 */
int vi_log_append(struct vi_log *log, struct vi_item item, uintptr_t address);

/* The quick way for kinds without a payload, in logs where the stamp alone says that a record
 * counts.  False: not there, or no room; nothing was appended. */
static inline bool vi_log_try_append(struct vi_log *log, struct vi_item item, uintptr_t address)
{
    uint64_t *const record = (uint64_t *)log->cursor.next;

    if (VISTA_INLINE_UNLIKELY(log->logs->careful || (uintptr_t)(record + 4) > log->position.end))
        return false;
    record[1] = (uint64_t)item.kind << VI_KIND_SHIFT | item.length;
    record[2] = address;
    record[3] = 0;
    VISTA_INLINE_COMPILER_BARRIER();
    record[0] = log->cursor.stamp;
    VISTA_INLINE_COMPILER_BARRIER();
    log->cursor.next = (uintptr_t)(record + 3);
    vi_log_add_effect(log, item);
    return true;
}

/* Of VI_KIND_UNDO, whose commit stays inlined while it can: where the image is, or NULL. */
const void *vi_log_append_undo(struct vi_log *log, uintptr_t address, uint32_t length,
                               const void *image);

/*
 * Ranges that count all or not at all: after vi_log_start, vi_log_add appends one or more of
 * the first of them and returns how many; -1 with ENOSPC, and then vi_log_rewind takes back
 * what was added since.
 */
struct vi_savepoint {
    uintptr_t next, limit1;
    uint64_t needed;
    struct vi_position position;
};
struct vi_savepoint vi_log_start(struct vi_log *log);
int vi_log_add(struct vi_log *log, const struct iovec *ranges, int count);
void vi_log_rewind(struct vi_log *log, const struct vi_savepoint *savepoint);

/* Begins to make the records so far durable, which they are after the next fence; false: they
 * are now. */
bool vi_log_begin_flush(struct vi_log *log);

/* Makes them durable. */
static inline void vi_log_flush(struct vi_log *log)
{
    if (vi_log_begin_flush(log))
        vi_fence(log->logs->persist);
}

/* Stores the slot's word, durably after the next fence. */
static inline void vi_log_write_word(const struct vi_log *log, uint64_t word)
{
    const struct vi_persist *const persist = log->logs->persist;
    const uint64_t source[1] = {word};

    VISTA_INLINE_COMPILER_BARRIER();
    if (persist->flushes)
        persist->ops.write(log->cursor.word, source, sizeof source);
    else
        *log->cursor.word = word;
    VISTA_INLINE_COMPILER_BARRIER();
}

/* Stores the next stamp there, which is the cursor's from then on: the log is void, durably
 * after the next fence. */
static inline void vi_log_begin_discard(struct vi_log *log)
{
    assert(!(log->stamp & VI_STAMP_FINISHING) &&
           (log->stamp >> VI_STAMP_SLOT_SHIFT) % VI_SLOTS == log->slot);
    __atomic_store_n(&log->cursor.stamp, log->stamp + VISTA_INLINE_STAMP_STEP, __ATOMIC_RELAXED);
    vi_log_write_word(log, log->cursor.stamp);
}

/* The same, durably. */
static inline void vi_log_discard(struct vi_log *log)
{
    vi_log_begin_discard(log);
    vi_fence(log->logs->persist);
}

/* After the discard: begins again. */
static inline void vi_log_reset(struct vi_log *log)
{
    log->needed = 0;
    if (VISTA_INLINE_UNLIKELY(log->position.index != log->start.index)) {
        vi_chunk_trim(log->logs, log->slot, log->start.chunk);
        log->position = log->start;
    }
    log->cursor.next = log->cursor.first;
    log->flushed = log->cursor.first;
    log->in_shadow = false;
    log->in_flight = false;
    log->kinds = 0;
    log->effect_count = 0;
}

#endif

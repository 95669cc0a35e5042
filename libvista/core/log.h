/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The undo log as a transaction appends to it and as recovery reads it.  Records
 * are described in vista.h, slots and chunks in media/format.h, the six rules in
 * libvista/README.md.
 *
 * A slot is used by one transaction at a time, which needs no lock for its log;
 * the lock of struct vi_logs guards what slots share: who has which chunk.
 */
#ifndef VI_CORE_LOG_H
#define VI_CORE_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "media/file.h"
#include "media/format.h"
#include "media/persist.h"

/* A segment's log area. */
struct vi_logs {
    unsigned char *meta; /* the file's mapped beginning */
    const struct vi_file *file;
    const struct vi_persist *persist;
    uint32_t seed;          /* CRC32C of the file's UUID */
    uint64_t mapped;        /* address of the data in records */
    bool checked;           /* records carry a CRC32C: the log's class flushes */
    uint64_t chunks_offset; /* of the chunk area */
    uint64_t units;         /* in it */
    pthread_mutex_t lock;
    uint64_t *used; /* a bit for each unit: in some slot's chain */
    uint64_t held;  /* units whose bit is set */
    uint32_t slots; /* handed out in this mapping */
};

/* Where in its chain a log stands. */
struct vi_place {
    uintptr_t chunk; /* slot header or chunk header */
    uintptr_t at;    /* where the next record goes */
    uintptr_t end;   /* of the chunk */
    uint64_t index;  /* of the chunk; 0: the slot's own */
};

/* limit1 of an open transaction whose ranges all go out of line; odd, too. */
#define VI_GATED 3u

/* limit1 of one whose log's space ends at `end`: an inlined record fits. */
static inline uintptr_t vi_log_limit(uintptr_t end)
{
    return end - VISTA_INLINE_RECORD;
}

/* An item of a record, as it is read. */
struct vi_record {
    uint64_t offset; /* of its address from where the log's own data was mapped */
    uint32_t length;
    uint16_t kind; /* VI_KINDS: it makes no sense */
    const void *payload;
    uintptr_t at;  /* where it is */
    uint32_t slot; /* whose log it is in */
};

#define VI_EFFECTS_KEPT 32
#define VI_STAGE 4096u

/* What a log that is written past the caches has in ordinary memory, so as not to be read:
 * a line that a read has brought to the caches takes far longer to be written the next time. */
struct vi_stage {
    uint64_t words[VI_STAGE / sizeof(uint64_t)]; /* records that are not in the file yet */
    uint64_t heads[VI_SLOT_SIZE / VI_LINE];      /* the first word of each of the slot's lines */
};

/* One slot's log, while a transaction holds it. */
struct vi_log {
    struct vista_tx cursor; /* first: the public prefix, moved by the inlined path too */
    uint64_t stamp;         /* of the transaction being ended or recovered, to the last */
    struct vi_logs *logs;
    uint32_t slot;
    uint32_t kinds;         /* bit k: a record of kind k was appended out of line */
    struct vi_place place;  /* its `at` is stale: cursor.next counts */
    struct vi_place start;  /* where it is after a discard: the slot, or see core/aside.h */
    uintptr_t flushed;      /* records from here to cursor.next are not yet flushed */
    bool staged;            /* and are not in the file, but in stage->words */
    struct vi_stage *stage; /* NULL: records are built in place */
    /* The first items appended that are no undo images: what a commit has to apply, finish
     * and settle is found here, without a walk. */
    struct vi_record effects[VI_EFFECTS_KEPT];
    uint32_t effect_count; /* all, kept or not */
    bool ours;             /* this process has written it, and it is not being recovered */
    uint64_t *first;       /* record since vi_log_start */
};

/* What a kind of record means.  A NULL function: nothing to do. */
struct vi_handler {
    /* Recovery, before anything is changed: false if the record names what cannot
     * be (a damaged file). */
    bool (*valid)(void *context, const struct vi_record *record);
    /* Stored effect, before the commit point, oldest record first. */
    void (*apply)(void *context, const struct vi_record *record);
    /* Takes back what apply (or, for UNDO, the program) stored; newest first; also
     * when apply was never called. */
    void (*undo)(void *context, const struct vi_record *record);
    /* Stored effect after the commit point; may be repeated by recovery. */
    void (*finish)(void *context, const struct vi_record *record);
    /* The stored word that the above change, for the flush. */
    uint64_t *(*word)(void *context, const struct vi_record *record);
    /* Data that must be durable before the commit point; false: none. */
    bool (*extent)(void *context, const struct vi_record *record, uint64_t *offset,
                   uint64_t *length);
    /* Volatile effect, after the slot is durably idle. */
    void (*settle)(void *context, const struct vi_record *record, bool committed);
    bool deferred; /* finish has work, and no extent: the commit goes through the finishing state */
};

/* Opens the log area; damaged chains are EBADMSG. */
int vi_logs_open(struct vi_logs *logs, unsigned char *meta, const struct vi_superblock *superblock,
                 const struct vi_file *file, const struct vi_persist *persist);
void vi_logs_close(struct vi_logs *logs);

/* Bytes of slots and chunks now in use. */
uint64_t vi_logs_bytes(struct vi_logs *logs);

/* With every slot idle: unlinks all chunks and gives their disk blocks back. */
void vi_logs_trim(struct vi_logs *logs);

/* A slot that no one has had in this mapping, ready to be appended to.  EAGAIN,
 * ENOSPC. */
int vi_log_take(struct vi_logs *logs, struct vi_log *log);

/* From now on the log, which is empty, is written by way of `stage`. */
void vi_log_use_stage(struct vi_log *log, struct vi_stage *stage);

/* Slot `slot` as it is stored, for recovery. */
void vi_log_attach(struct vi_logs *logs, struct vi_log *log, uint32_t slot);

/*
 * Appends a record of one item, about what is at `address` in the data, which is durable after
 * vi_log_flush, and makes the commit go out of line.  -1 with ENOSPC: nothing was appended.
 */
int vi_log_append(struct vi_log *log, enum vi_kind kind, uintptr_t address, uint32_t length);
/* The same of a kind that has a payload. */
int vi_log_append_with(struct vi_log *log, enum vi_kind kind, uintptr_t address, uint32_t length,
                       const void *payload);

/* The same for VI_KIND_UNDO, whose commit stays inlined while it can. */
int vi_log_append_undo(struct vi_log *log, uintptr_t address, uint32_t length, const void *image);

/*
 * Ranges that count all or not at all: after vi_log_start, vi_log_add appends one or more of
 * the first of them and returns how many; -1 with ENOSPC, and then vi_log_rewind takes back
 * what was added since.
 */
struct vi_mark {
    uintptr_t next, limit1;
    struct vi_place place;
};
struct vi_mark vi_log_start(struct vi_log *log);
int vi_log_add(struct vi_log *log, const struct iovec *ranges, int count);
void vi_log_rewind(struct vi_log *log, const struct vi_mark *mark);

/* The commit goes out of line. */
static inline void vi_log_end_out_of_line(struct vi_log *log)
{
    __atomic_store_n(&log->cursor.limit1, log->cursor.limit1 | 1u, __ATOMIC_RELAXED);
}

/* Makes the records so far durable. */
void vi_log_flush(struct vi_log *log);

/* The same, but that they are durable only after the next fence; false: they are now. */
bool vi_log_begin_flush(struct vi_log *log);

/* Stores the slot's word, durably.  */
void vi_log_store_word(struct vi_log *log, uint64_t word);

/* The same with the next stamp, which is the cursor's from then on: the log is void. */
void vi_log_discard(struct vi_log *log);

/* The same, durable only after the next fence. */
void vi_log_begin_discard(struct vi_log *log);

/* After the discard: begins again; gives chunks back past a bound. */
void vi_log_reset(struct vi_log *log);

/* Walking a log from its oldest item: what has log->stamp and, unless it is ours, a sound
 * checksum. */
struct vi_walk {
    const struct vi_log *log;
    struct vi_place place;   /* `at`: where the next record would be */
    uint64_t shape;          /* of the record's items that are left; 0: none */
    uintptr_t end;           /* of the record, at the latest */
    struct vi_record record; /* the last one read */
};
void vi_walk_begin(struct vi_walk *walk, const struct vi_log *log);
/* The item, which is walk->record; NULL behind the last. */
const struct vi_record *vi_walk_next(struct vi_walk *walk);

/* Calls `visit` for every item, newest first. */
void vi_walk_backward(const struct vi_log *log,
                      void (*visit)(void *context, const struct vi_record *record), void *context);

#endif

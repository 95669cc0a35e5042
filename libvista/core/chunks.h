/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log area: slots, and the chunks by which a slot's log grows.  Chunks form a chain behind
 * the slot.  A chunk's header is durable before the link to it is, and a link is
 * durably gone before the chunk can be anyone else's; so a link to a chunk that
 * names another owner is never followed.  Chains stay across commits.
 *
 * A slot is used by one transaction at a time, which needs no lock for its chain; the lock of
 * struct vi_logs guards what slots share: who has which chunk.
 */
#ifndef VI_CORE_CHUNKS_H
#define VI_CORE_CHUNKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/kinds.h"
#include "media/file.h"
#include "media/format.h"
#include "media/persist.h"

/* A segment's log area. */
struct vi_logs {
    unsigned char *meta; /* the file's mapped beginning */
    const struct vi_file *file;
    const struct vi_persist *persist;
    uint32_t seed;            /* CRC32C of the file's UUID */
    vi_kinds kinds;           /* what its records mean, see vi_logs_use */
    vi_step_fn *const *steps; /* of all of these that have any */
    uint32_t deferred;        /* bit k: kind k has work after the commit point */
    uint64_t mapped;          /* address of the data in records */
    bool in_memory;           /* nothing of it is in the file: the disk class */
    bool checked;             /* records carry a CRC32C: the log's class flushes */
    bool careful;           /* that, or they need room elsewhere: none is appended the quick way */
    uint64_t chunks_offset; /* of the chunk area */
    uint64_t units;         /* in it */
    uint64_t kept;          /* bytes of chunks that a slot keeps between transactions */
    /* What is logged has room elsewhere at commit, as so many bytes: -1 with ENOSPC, EIO.  NULL: it
     * goes nowhere else. */
    int (*make_room)(void *context, uint64_t bytes);
    void *room_context;
    pthread_mutex_t lock;
    uint64_t *used; /* a bit for each unit: in some slot's chain */
    uint64_t held;  /* units whose bit is set */
    uint32_t slots; /* handed out in this mapping */
    uint32_t max_slots;
};

/* Where in its chain a log stands. */
struct vi_position {
    uintptr_t chunk; /* slot header or chunk header */
    uintptr_t at;    /* where the next record goes */
    uintptr_t end;   /* of the chunk */
    uint64_t index;  /* of the chunk; 0: the slot's own */
};

/* Opens the log area; damaged chains are EBADMSG. */
int vi_logs_open(struct vi_logs *logs, unsigned char *meta, const struct vi_superblock *superblock,
                 const struct vi_file *file, const struct vi_persist *persist);
void vi_logs_close(struct vi_logs *logs);

/* Says what records mean, before any is read or written. */
void vi_logs_use(struct vi_logs *logs, vi_kinds kinds);

/* Bytes of slots and chunks now in use. */
uint64_t vi_logs_bytes(struct vi_logs *logs);

/* With every slot idle: unlinks all chunks and gives their disk blocks back. */
void vi_logs_trim(struct vi_logs *logs);

/* A slot that no one has had in this mapping.  EAGAIN, ENOSPC. */
int vi_logs_take(struct vi_logs *logs, uint32_t *slot);

/* Where a slot begins. */
uintptr_t vi_logs_slot(const struct vi_logs *logs, uint32_t slot);

/* The chunk behind `chunk` (slot or chunk header) in the slot's chain, or NULL. */
struct vi_chunk_header *vi_chunk_next(const struct vi_logs *logs, uint32_t slot, uintptr_t chunk);

/* The beginning of the records in a chunk; 0 is the index of the slot itself. */
struct vi_position vi_chunk_position(uintptr_t chunk, uint64_t index);

/* Links a fresh chunk of at least `size` bytes behind `chunk`, whose old tail is
 * given back; `index` is the new one's place in the chain; `exact`: of no more.  NULL
 * with ENOSPC. */
struct vi_chunk_header *vi_chunk_link(struct vi_logs *logs, uint32_t slot, uintptr_t chunk,
                                      uint64_t index, size_t size, bool exact);

/* Gives back what the chain behind `chunk` has beyond logs->kept bytes. */
void vi_chunk_trim(struct vi_logs *logs, uint32_t slot, uintptr_t chunk);

#endif

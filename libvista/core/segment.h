/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A mapped segment: what a file is turned into before transactions run on it.
 *
 * Lock order: a segment's root lock, its size lock, the list of segments, a segment's lock, the
 * heap's lock, the log area's lock, `backing`.
 */
#ifndef VI_CORE_SEGMENT_H
#define VI_CORE_SEGMENT_H

#include <limits.h>
#include <pthread.h>

#include "core/log.h"
#include "core/operations.h"
#include "media/guard.h"
#include "media/map.h"
#include "media/superblock.h"

enum vi_segment_state {
    VI_SEGMENT_CLOSED,
    VI_SEGMENT_MAPPED,
    VI_SEGMENT_DETACHED, /* unmapped, but members use its log */
    VI_SEGMENT_FORKED
};

struct vi_tx;
struct vi_ranges;

/*
 * Segments that share one undo log, their home's, or a segment that has its log to itself:
 * each transaction is one of a group, and the group's engine runs it.
 *
 * The list of members is read without a lock by transactions.  It is changed under `lock`, and
 * a member leaves only when no transaction is open.
 */
struct vi_group {
    struct vi_segment *home;
    struct vi_segment *members;     /* those beside home */
    pthread_mutex_t lock;           /* of the list and of the handles */
    struct vi_tx *all;              /* every handle made */
    struct vi_tx *idle;             /* those that no thread has in its cache */
    unsigned strays;                /* of `all`: see handles.h */
    uint64_t number;                /* of all logs ever mapped, from 1 */
    const struct vi_engine *base;   /* below automatic ranges, if there are any */
    const struct vi_engine *engine; /* what runs its transactions: base, or those around it */
    struct vi_redo *redo;           /* who is told what transactions change; NULL: no one */
    /* The members by address, side by side: what is in segments lies in lines that are in each
     * other's way in the caches. */
    unsigned count;
    struct vi_group_part {
        uint64_t logged;
        struct vi_segment *segment;
    } part[VI_MEMBERS];
};

struct vi_segment {
    struct vista_segment handle; /* first: the public prefix */
    enum vi_segment_state state;
    unsigned flags;  /* VISTA_READ_ONLY, NO_HEAP, SPARSE, ANY_ADDRESS: what it is */
    unsigned forced; /* as in struct vista_info */
    bool created;    /* being created: gone again if that fails */
    struct vi_file file;
    struct vi_superblock superblock;
    struct vi_persist persist;
    struct vi_map map;
    struct vi_logs logs;
    uint64_t rolled_back; /* by this mapping's recovery */
    uint64_t finished;

    struct vi_group *group;         /* that it is in */
    struct vi_group own;            /* of which it is home */
    struct vi_segment *next_member; /* in its group's list */
    unsigned member;                /* its number in redo records; 0: home */
    uint64_t logged;                /* a member's address in records of its home's log */

    void *contexts[VI_KINDS]; /* of items by kind, see kinds.h; NULL: it has none of that kind */
    void *heap;
    struct vi_ranges *ranges;  /* automatic ranges, else NULL */
    pthread_mutex_t root_lock; /* of the heap's root; before all other locks */
    pthread_mutex_t size_lock; /* of the size; before all but that */
    bool grows;                /* when the heap is full */
    unsigned holds;            /* vista_hold: it stays mapped; atomic */
    bool accept_torn;          /* as vista_map was told */
    bool was_torn;             /* and it was needed, for this segment itself */
    const char *group_folder;  /* as vista_map was told; only while it is being mapped */

    pthread_mutex_t backing; /* sparse: of `backed`, a bit for each group that has blocks */
    uint64_t *backed;
    uint64_t group_size; /* bytes whose blocks are allocated together */

    struct vi_segment *next;        /* in the list of segments, or of closed ones */
    char layout[VI_LAYOUT_MAX + 1]; /* as stored, and ended */
    char path[PATH_MAX];            /* as vista_map was told */
    char real[PATH_MAX];            /* absolute, without links, when it was mapped */
};

/* Bytes of data: vista_resize on another thread may change it. */
static inline uint64_t vi_segment_size(const struct vi_segment *segment)
{
    return __atomic_load_n(&segment->map.data_size, __ATOMIC_ACQUIRE);
}

/* The segment whose log it uses: mostly itself. */
static inline struct vi_segment *vi_home(const struct vi_segment *segment)
{
    return segment->group->home;
}

/* Does it use another's? */
static inline bool vi_is_member(const struct vi_segment *segment)
{
    return segment->group != &segment->own;
}

/* Is it the one with this UUID? */
static inline bool vi_segment_is(const struct vi_segment *segment, const uint8_t uuid[16])
{
    return memcmp(segment->superblock.uuid, uuid, sizeof segment->superblock.uuid) == 0;
}

/* A size as it will be: whole pages, and room for a heap unless VISTA_NO_HEAP. */
uint64_t vi_segment_round(uint64_t size, unsigned flags);

/* 0 if no one has removed or truncated the file; ENOENT, EBADMSG. */
int vi_segment_intact(const struct vi_segment *segment);

/* Of VI_KIND_UNDO, the kind of record that is the log's own; its context is the segment. */
extern const struct vi_record_kind vi_undo_kind;

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Reading a log: item by item, from the oldest or from the newest.
 */
#ifndef VI_CORE_WALK_H
#define VI_CORE_WALK_H

#include "core/log.h"

/* An item as it is stored. */
struct vi_record {
    uint64_t address; /* where its segment was mapped when it was written */
    uint32_t length;
    uint16_t kind;       /* VI_KINDS: it makes no sense */
    const void *payload; /* behind the item's address */
};

/* Goes through what has log->stamp and, unless the log is ours, a sound checksum. */
struct vi_walk {
    const struct vi_log *log;
    struct vi_position position; /* `at`: where the next record would be */
    uint64_t shape;              /* of the record's items that are left; 0: none */
    uintptr_t end;               /* of the record, at the latest */
    struct vi_record record;     /* the last one read */
};
void vi_walk_begin(struct vi_walk *walk, const struct vi_log *log);
/* The item, which is walk->record; NULL behind the last. */
const struct vi_record *vi_walk_next(struct vi_walk *walk);

/* Calls `visit` for every item, newest first. */
void vi_walk_backward(const struct vi_log *log,
                      void (*visit)(void *context, const struct vi_record *record), void *context);

#endif

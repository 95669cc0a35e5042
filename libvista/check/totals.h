/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a check counts and shows beside its report.
 */
#ifndef VI_CHECK_TOTALS_H
#define VI_CHECK_TOTALS_H

#include <stdbool.h>

#include "core/kinds.h"
#include "disk/replay.h"
#include "media/format.h"

/* What a check counted on its way; of a damaged file, what it could make out. */
struct vi_check_totals {
    struct vi_superblock superblock; /* all zero: none was found */
    bool may_be_torn;
    uint64_t slots;     /* log slots ever used */
    uint64_t open;      /* transactions that recovery would roll back */
    uint64_t finishing; /* committed ones whose frees it would finish */
    uint64_t log_bytes; /* in slots and their chunks */
    /* The redo log, without its memory.  Its area is all zero: the segment has none of its own, or
     * what it has cannot be read. */
    struct vi_disk_left redo;
    struct vi_root root; /* as it is after recovery */
    uint64_t small_spans;
    uint64_t large_spans;
    uint64_t blocks; /* allocated, as stored: recovery may change that */
    uint64_t block_bytes;
    uint64_t free_units;
    uint64_t largest_free; /* units */
};

/* What a check passes by, for callers that want to see more than the verdict.  NULL
 * functions are not called.  Offsets and lengths are of data, in bytes. */
struct vi_check_visitor {
    void *arg;
    /* A record of a log that is not idle, in the order written.  `finishing`: it is of
     * a committed transaction.  `file_offset`: where it is stored. */
    void (*record)(void *arg, uint64_t slot, bool finishing, const struct vi_item *item,
                   uint64_t file_offset);
    /* An item of a redo record that recovery would apply, in the order of the stream. */
    void (*redo)(void *arg, const struct vi_redo_record *record, const struct vi_redo_item *item);
    /* A sound span, in the order of addresses.  `block_size`: of its blocks; a large
     * one is one block. */
    void (*span)(void *arg, uint64_t offset, uint64_t length, uint64_t block_size);
    /* An allocated block, after its span: first the large ones, then the small ones,
     * each in the order of addresses. */
    void (*block)(void *arg, uint64_t offset, uint64_t size);
    /* How far a step has come that may take long: `done` of `all`. */
    void (*progress)(void *arg, const char *step, uint64_t done, uint64_t all);
};

#endif

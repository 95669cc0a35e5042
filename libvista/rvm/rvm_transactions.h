/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's transactions: ranges with their old values, in memory alone; at the end one redo record.
 */
#ifndef VI_RVM_TRANSACTIONS_H
#define VI_RVM_TRANSACTIONS_H

#include "rvm/rvm_state.h"

/* Behind it the old values, if they are kept. */
struct vi_rvm_range {
    uintptr_t from;
    uint64_t length;
    uint64_t offset;   /* in the segment's file */
    uint64_t previous; /* where the range before is in the transaction's memory */
    unsigned member;
    bool has_old;
};

struct vi_rvm_tx {
    pthread_mutex_t lock;
    struct vi_rvm_tx *next;
    uint64_t name; /* 0: not open */
    bool keeps_old;
    unsigned char *memory; /* ranges, one behind the other; kept for the next transaction */
    uint64_t used, size;
    uint32_t ranges;
    uint64_t last;       /* where the last range is */
    uint64_t bytes;      /* of its record */
    uint64_t generation; /* of the region that was used last: */
    struct vi_rvm_region region;
};

/* How many transactions are open, or have ranges at these addresses; their names become `tids`,
 * unless that is NULL, up to `room`.  With vi_rvm.lock. */
size_t vi_rvm_uncommitted(uintptr_t from, uint64_t length, rvm_tid_t *tids, size_t room);

#endif

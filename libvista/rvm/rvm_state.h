/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the process has of RVM: one log, options, regions, open transactions.
 *
 * Locks, in this order: `admin`, held by who opens, maps, unmaps or ends; `use`; `lock`, of the list of
 * transactions and the counters; a transaction's own; `regions_lock`; the redo log's.
 *
 * The log goes only when nobody uses it: who does has `admin`, or reads under `use`, or has a transaction in
 * the list, in which it is until its end has returned.
 */
#ifndef VI_RVM_STATE_H
#define VI_RVM_STATE_H

#include <pthread.h>
#include <rvm/rvm.h>
#include <stdbool.h>

#include "rvm/rvm_log.h"

struct vi_rvm_region {
    struct vi_rvm_region *next;
    uintptr_t from; /* in memory */
    uint64_t length;
    uint64_t offset; /* in the segment */
    unsigned member; /* the segment, in the log */
};

/* What rvm_statistics tells, counted since the log was opened. */
enum vi_rvm_count {
    VI_RVM_ABORTS,
    VI_RVM_FLUSHED,
    VI_RVM_NOT_FLUSHED,
    VI_RVM_FLUSHES,
    VI_RVM_TRUNCATIONS,
    VI_RVM_RANGES,
    VI_RVM_LOGGED, /* bytes of records */
    VI_RVM_COUNTS
};

struct vi_rvm {
    pthread_mutex_t admin;
    pthread_rwlock_t use; /* of the log */
    pthread_mutex_t lock;
    pthread_mutex_t regions_lock;
    int is_begun;           /* atomic: rvm_initialize has succeeded, and rvm_terminate not */
    bool is_over;           /* it has */
    struct vi_rvm_log *log; /* atomic; NULL: none is open */
    long truncate;
    rvm_length_t flags;  /* atomic */
    uint64_t named;      /* how many transactions there have been: the last one's name */
    uint64_t generation; /* atomic: of the regions */
    struct vi_rvm_region *regions;
    struct vi_rvm_tx *open; /* transactions */
    struct vi_rvm_tx *idle;
    uint64_t count[VI_RVM_COUNTS];
};

extern struct vi_rvm vi_rvm;

/* RVM_SUCCESS, or RVM_EINIT; with `log`, RVM_ELOG if none is open. */
rvm_return_t vi_rvm_ready(struct vi_rvm_log **log);

/* The code of what has failed, by errno. */
rvm_return_t vi_rvm_code(void);

#endif

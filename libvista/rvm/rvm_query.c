/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is in force, what is open, what has been counted: the calls are in rvm/rvm.h and
 * rvm/rvm_statistics.h.
 */
#include <rvm/rvm_statistics.h>
#include <stdlib.h>
#include <string.h>

#include "rvm/rvm_regions.h"
#include "rvm/rvm_transactions.h"

/* ---- Query ------------------------------------------------------------------ */

static rvm_return_t list_open(rvm_options_t *options, uintptr_t from, uint64_t length)
{
    size_t count, found = 0;
    rvm_tid_t *tids = NULL;

    pthread_mutex_lock(&vi_rvm.lock);
    count = vi_rvm_uncommitted(from, length, NULL, 0);
    if (count != 0)
        tids = malloc(count * sizeof *tids);
    if (tids != NULL)
        found = vi_rvm_uncommitted(from, length, tids, count);
    pthread_mutex_unlock(&vi_rvm.lock);
    if (count != 0 && tids == NULL)
        return RVM_ENO_MEMORY;
    free(options->tid_array);
    options->tid_array = tids;
    options->n_uncommit = found < count ? found : count; /* a range may come or go meanwhile */
    return RVM_SUCCESS;
}

/* With vi_rvm.admin. */
static rvm_return_t query(rvm_options_t *options, const rvm_region_t *region)
{
    const uintptr_t from = region != NULL ? (uintptr_t)region->vmaddr : 0;
    struct vi_rvm_log *log;
    const rvm_return_t ready = vi_rvm_ready(&log);

    if (ready != RVM_SUCCESS)
        return ready;
    if (options == NULL || options->struct_id != rvm_options_id)
        return RVM_EOPTIONS;
    if (region != NULL && region->struct_id != rvm_region_id)
        return RVM_EREGION;
    if (region != NULL && !vi_rvm_is_mapped(from, region->length))
        return RVM_ENOT_MAPPED;
    options->log_dev = log->path;
    options->truncate = vi_rvm.truncate;
    options->flags = vi_rvm.flags;
    pthread_mutex_lock(&log->redo.lock);
    options->log_empty = log->redo.tail.end <= log->redo.head.lsn;
    pthread_mutex_unlock(&log->redo.lock);
    return list_open(options, from, region != NULL ? region->length : UINT64_MAX);
}

rvm_return_t rvm_query(rvm_options_t *options, rvm_region_t *region)
{
    rvm_return_t result;

    pthread_mutex_lock(&vi_rvm.admin);
    result = query(options, region);
    pthread_mutex_unlock(&vi_rvm.admin);
    return result;
}

/* ---- Statistics -------------------------------------------------------------- */

static void read_counts(struct vi_disk_log *redo, rvm_statistics_t *s)
{
    pthread_mutex_lock(&vi_rvm.lock);
    pthread_mutex_lock(&redo->lock);
    s->n_abort = vi_rvm.count[VI_RVM_ABORTS];
    s->n_flush_commit = vi_rvm.count[VI_RVM_FLUSHED];
    s->n_no_flush_commit = vi_rvm.count[VI_RVM_NOT_FLUSHED];
    s->n_unflush = redo->tail.commits - redo->durable.commits;
    s->n_rvm_flush = vi_rvm.count[VI_RVM_FLUSHES];
    s->n_truncation = vi_rvm.count[VI_RVM_TRUNCATIONS];
    s->n_range = vi_rvm.count[VI_RVM_RANGES];
    s->log_written.low = vi_rvm.count[VI_RVM_LOGGED];
    s->log_size.low = redo->area.log_size;
    s->log_used.low = redo->tail.lsn - redo->head.lsn;
    pthread_mutex_unlock(&redo->lock);
    s->n_uncommit = vi_rvm_uncommitted(0, UINT64_MAX, NULL, 0);
    pthread_mutex_unlock(&vi_rvm.lock);
}

rvm_return_t rvm_statistics(const char *version, rvm_statistics_t *statistics)
{
    struct vi_rvm_log *log;
    rvm_return_t result;

    pthread_rwlock_rdlock(&vi_rvm.use);
    result = vi_rvm_ready(&log);
    if (result == RVM_SUCCESS && (version == NULL || strcmp(version, RVM_STATISTICS_VERSION) != 0))
        result = RVM_ESTAT_VERSION_SKEW;
    if (result == RVM_SUCCESS && (statistics == NULL || statistics->struct_id != rvm_statistics_id))
        result = RVM_ESTATISTICS;
    if (result == RVM_SUCCESS)
        read_counts(&log->redo, statistics);
    pthread_rwlock_unlock(&vi_rvm.use);
    return result;
}

rvm_return_t rvm_print_statistics(rvm_statistics_t *s, FILE *stream)
{
    if (s == NULL || s->struct_id != rvm_statistics_id)
        return RVM_ESTATISTICS;
    fprintf(stream,
            "transactions: %lu aborted, %lu committed by flush, %lu by no_flush, %lu open, %lu not "
            "yet durable\n"
            "calls: %lu rvm_flush, %lu rvm_truncate\n"
            "ranges: %lu\n"
            "log: %lu bytes of records written, %lu of %lu bytes in use\n",
            s->n_abort, s->n_flush_commit, s->n_no_flush_commit, s->n_uncommit, s->n_unflush,
            s->n_rvm_flush, s->n_truncation, s->n_range, s->log_written.low, s->log_used.low,
            s->log_size.low);
    return ferror(stream) ? RVM_EIO : RVM_SUCCESS;
}

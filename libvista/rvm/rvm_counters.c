/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Statistics: the calls are in rvm/rvm_statistics.h.
 */
#include <errno.h>
#include <rvm/rvm_statistics.h>
#include <string.h>

#include "rvm/rvm_state.h"
#include "rvm/rvm_transactions.h"

static void read_log(struct vi_rvm_log *log, rvm_statistics_t *s)
{
    struct vi_disk_log *redo = &log->redo;

    pthread_mutex_lock(&redo->lock);
    s->n_unflush = redo->committed - redo->durable_commits;
    s->log_size = rvm_mk_offset(0, redo->area.log_size);
    s->log_used = rvm_mk_offset(0, redo->tail - redo->head.lsn);
    pthread_mutex_unlock(&redo->lock);
}

static void read_counts(rvm_statistics_t *s)
{
    const uint64_t *count = vi_rvm.count;

    pthread_mutex_lock(&vi_rvm.lock);
    s->n_abort = count[VI_RVM_ABORTS];
    s->n_flush_commit = count[VI_RVM_FLUSHED];
    s->n_no_flush_commit = count[VI_RVM_NOT_FLUSHED];
    s->n_uncommit = vi_rvm_uncommitted(0, UINT64_MAX, NULL, 0);
    s->n_rvm_flush = count[VI_RVM_FLUSHES];
    s->n_truncation = count[VI_RVM_TRUNCATIONS];
    s->n_range = count[VI_RVM_RANGES];
    s->n_range_coalesce = count[VI_RVM_COALESCED];
    s->range_overlap = rvm_mk_offset(0, count[VI_RVM_OVERLAP]);
    s->log_written = rvm_mk_offset(0, count[VI_RVM_LOGGED]);
    pthread_mutex_unlock(&vi_rvm.lock);
}

rvm_return_t rvm_statistics(const char *version, rvm_statistics_t *statistics)
{
    struct vi_rvm_log *log;
    const rvm_return_t ready = vi_rvm_ready(&log);

    if (ready != RVM_SUCCESS)
        return ready;
    if (version == NULL || strcmp(version, RVM_STATISTICS_VERSION) != 0)
        return RVM_ESTAT_VERSION_SKEW;
    if (statistics == NULL || statistics->struct_id != rvm_statistics_id)
        return RVM_ESTATISTICS;
    read_counts(statistics);
    read_log(log, statistics);
    return RVM_SUCCESS;
}

rvm_return_t rvm_print_statistics(rvm_statistics_t *s, FILE *stream)
{
    if (s == NULL || s->struct_id != rvm_statistics_id)
        return RVM_ESTATISTICS;
    fprintf(stream,
            "transactions aborted               %lu\n"
            "transactions committed, flush      %lu\n"
            "transactions committed, no_flush   %lu\n"
            "transactions open                  %lu\n"
            "transactions not yet durable       %lu\n"
            "flushes asked for                  %lu\n"
            "truncations asked for              %lu\n"
            "ranges                             %lu\n"
            "ranges merged with others          %lu\n"
            "bytes that merging saved           %lu\n"
            "bytes of records                   %lu\n"
            "bytes of the log                   %lu\n"
            "bytes of these in use              %lu\n",
            s->n_abort, s->n_flush_commit, s->n_no_flush_commit, s->n_uncommit, s->n_unflush,
            s->n_rvm_flush, s->n_truncation, s->n_range, s->n_range_coalesce, s->range_overlap.low,
            s->log_written.low, s->log_size.low, s->log_used.low);
    return ferror(stream) ? RVM_EIO : RVM_SUCCESS;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What is in force and what is open: the calls are in rvm/rvm.h.
 */
#include <stdlib.h>

#include "rvm/rvm_regions.h"
#include "rvm/rvm_transactions.h"

static rvm_return_t list_open(rvm_options_t *options, uintptr_t from, uint64_t length)
{
    rvm_return_t result = RVM_SUCCESS;
    rvm_tid_t *tids = NULL;
    size_t count, found = 0;

    pthread_mutex_lock(&vi_rvm.lock);
    count = vi_rvm_uncommitted(from, length, NULL, 0);
    if (count != 0) {
        tids = malloc(count * sizeof *tids);
        if (tids == NULL)
            result = RVM_ENO_MEMORY;
        else
            found = vi_rvm_uncommitted(from, length, tids, count);
    }
    pthread_mutex_unlock(&vi_rvm.lock);
    if (result != RVM_SUCCESS)
        return result;
    free(options->tid_array);
    options->tid_array = tids;
    options->n_uncommit = found < count ? found : count; /* a range may come or go meanwhile */
    return RVM_SUCCESS;
}

static rvm_return_t query(struct vi_rvm_log *log, rvm_options_t *options,
                          const rvm_region_t *region)
{
    options->log_dev = log->path;
    options->truncate = vi_rvm.truncate;
    options->flags = vi_rvm.flags;
    pthread_mutex_lock(&log->redo.lock);
    options->log_empty = log->redo.end <= log->redo.head.lsn;
    pthread_mutex_unlock(&log->redo.lock);
    return region == NULL ? list_open(options, 0, UINT64_MAX)
                          : list_open(options, (uintptr_t)region->vmaddr, region->length);
}

rvm_return_t rvm_query(rvm_options_t *options, rvm_region_t *region)
{
    struct vi_rvm_log *log;
    rvm_return_t result = vi_rvm_ready(&log);

    if (result != RVM_SUCCESS)
        return result;
    if (options == NULL || options->struct_id != rvm_options_id)
        return RVM_EOPTIONS;
    if (region != NULL && region->struct_id != rvm_region_id)
        return RVM_EREGION;
    pthread_mutex_lock(&vi_rvm.admin);
    result = region != NULL && !vi_rvm_is_mapped((uintptr_t)region->vmaddr, region->length)
                 ? RVM_ENOT_MAPPED
                 : query(log, options, region);
    pthread_mutex_unlock(&vi_rvm.admin);
    return result;
}

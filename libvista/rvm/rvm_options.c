/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's options: see rvm_options.h.
 */
#include "rvm/rvm_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"

#define FLAGS (RVM_ALL_OPTIMIZATIONS | RVM_MAP_PRIVATE)

int rvm_map_private;

static rvm_return_t check(const rvm_options_t *options)
{
    if (options == NULL || options->struct_id != rvm_options_id)
        return RVM_EOPTIONS;
    if (options->pager != NULL)
        return RVM_EPAGER;
    return options->truncate < 0 || options->truncate > 100 || options->flags & ~(rvm_length_t)FLAGS
               ? RVM_EOPTIONS
               : RVM_SUCCESS;
}

/* ---- The log -------------------------------------------------------------- */

static rvm_return_t make_log(const char *path, const rvm_offset_t *length, rvm_length_t mode)
{
    return length->high != 0                                         ? RVM_EOPTIONS
           : vi_rvm_log_create(path, length->low, (mode_t)mode) == 0 ? RVM_SUCCESS
                                                                     : vi_rvm_code();
}

static rvm_return_t open_log(const rvm_options_t *options)
{
    rvm_return_t result = RVM_SUCCESS;
    struct vi_rvm_log *log;

    if (options->create_log_file && access(options->log_dev, F_OK) != 0 && errno == ENOENT)
        result = make_log(options->log_dev, &options->create_log_size, options->create_log_mode);
    if (result != RVM_SUCCESS)
        return result;
    log = vi_reserve(sizeof *log);
    if (log == NULL)
        return RVM_ENO_MEMORY;
    if (vi_rvm_log_open(log, options->log_dev) != 0) {
        result = errno == EBADMSG || errno == EPERM ? RVM_ELOG : vi_rvm_code();
        vi_release(log, sizeof *log);
        return result;
    }
    __atomic_store_n(&vi_rvm.log, log, __ATOMIC_RELEASE);
    return RVM_SUCCESS;
}

/* One process has one log. */
static rvm_return_t check_is_open(const char *name)
{
    char path[PATH_MAX];

    return realpath(name, path) != NULL && strcmp(path, vi_rvm.log->path) == 0 ? RVM_SUCCESS
                                                                               : RVM_ELOG;
}

rvm_return_t vi_rvm_apply_options(rvm_options_t *options)
{
    rvm_return_t result = check(options);

    if (result == RVM_SUCCESS && options->log_dev != NULL)
        result = vi_rvm.log != NULL ? check_is_open(options->log_dev) : open_log(options);
    if (result != RVM_SUCCESS)
        return result;
    vi_rvm.truncate = options->truncate;
    if (vi_rvm.log != NULL) {
        pthread_mutex_lock(&vi_rvm.log->redo.lock);
        vi_rvm.log->redo.writer.quiet = 0;
        vi_rvm.log->redo.truncate_percent =
            options->truncate != 0 ? (unsigned)options->truncate : 100; /* it is never fuller */
        pthread_mutex_unlock(&vi_rvm.log->redo.lock);
    }
    __atomic_store_n(&vi_rvm.flags, options->flags, __ATOMIC_RELAXED);
    rvm_map_private = (options->flags & RVM_MAP_PRIVATE) != 0;
    return RVM_SUCCESS;
}

rvm_return_t rvm_set_options(rvm_options_t *options)
{
    rvm_return_t result;

    pthread_mutex_lock(&vi_rvm.admin);
    result = vi_rvm_ready(NULL);
    if (result == RVM_SUCCESS)
        result = vi_rvm_apply_options(options);
    pthread_mutex_unlock(&vi_rvm.admin);
    return result;
}

rvm_return_t rvm_create_log(rvm_options_t *options, rvm_offset_t *length, long mode)
{
    rvm_return_t result = vi_rvm_ready(NULL);

    if (result == RVM_SUCCESS)
        result = check(options);
    if (result != RVM_SUCCESS)
        return result;
    if (options->log_dev == NULL || length == NULL)
        return RVM_EOPTIONS;
    return make_log(options->log_dev, length, (rvm_length_t)mode);
}

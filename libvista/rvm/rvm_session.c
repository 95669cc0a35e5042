/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Beginning and ending RVM in a process; flush and truncation on demand.  The calls are in rvm/rvm.h.
 */
#include <errno.h>
#include <string.h>

#include "base/arena.h"
#include "rvm/rvm_options.h"
#include "rvm/rvm_transactions.h"

static void before_fork(void)
{
    pthread_mutex_lock(&vi_rvm.admin);
    pthread_mutex_lock(&vi_rvm.lock);
    pthread_mutex_lock(&vi_rvm.regions_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&vi_rvm.regions_lock);
    pthread_mutex_unlock(&vi_rvm.lock);
    pthread_mutex_unlock(&vi_rvm.admin);
}

/* A child has its parent's memory, but the log, the regions and the transactions are the parent's.  The
 * other threads are gone, and what they had begun stays so: locks are made again, and memory that they may
 * have changed is left alone. */
static void after_fork_in_child(void)
{
    for (struct vi_rvm_tx *tx = vi_rvm.open; tx != NULL; tx = tx->next) {
        pthread_mutex_init(&tx->lock, NULL);
        tx->name = 0;
    }
    if (vi_rvm.log != NULL)
        vi_rvm_log_forget(vi_rvm.log);
    vi_rvm.log = NULL;
    vi_rvm.regions = NULL;
    vi_rvm.open = NULL;
    vi_rvm.is_begun = false;
    vi_rvm.is_over = false;
    pthread_rwlock_init(&vi_rvm.use, NULL);
    after_fork();
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

rvm_return_t rvm_initialize(const char *version, rvm_options_t *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    rvm_return_t result = RVM_SUCCESS;

    if (version == NULL || strcmp(version, RVM_VERSION) != 0)
        return RVM_EVERSION_SKEW;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&vi_rvm.admin);
    if (vi_rvm.is_over)
        result = RVM_EINIT;
    else if (!vi_rvm.is_begun && options != NULL)
        result = vi_rvm_apply_options(options);
    if (result == RVM_SUCCESS)
        __atomic_store_n(&vi_rvm.is_begun, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&vi_rvm.admin);
    return result;
}

/* Nothing is open any more, and nothing can begin. */
static rvm_return_t close_log(struct vi_rvm_log *log)
{
    rvm_return_t result = RVM_SUCCESS;
    int error = 0;

    if (log == NULL)
        return RVM_SUCCESS;
    if (vi_disk_truncate(&log->redo) != 0) {
        error = errno;
        result = vi_rvm_code();
        (void)vi_disk_flush(&log->redo, UINT64_MAX, true); /* what can be done for the next start */
    }
    __atomic_store_n(&vi_rvm.log, NULL, __ATOMIC_RELEASE);
    vi_rvm_log_close(log);
    vi_release(log, sizeof *log);
    errno = error;
    return result;
}

rvm_return_t rvm_terminate(void)
{
    rvm_return_t result;

    pthread_mutex_lock(&vi_rvm.admin);
    pthread_mutex_lock(&vi_rvm.lock);
    result = vi_rvm_ready(NULL);
    if (result == RVM_SUCCESS && vi_rvm.open != NULL)
        result = RVM_EUNCOMMIT;
    if (result == RVM_SUCCESS)
        __atomic_store_n(&vi_rvm.is_begun, false, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&vi_rvm.lock);
    if (result == RVM_SUCCESS) {
        vi_rvm.is_over = true;
        pthread_rwlock_wrlock(&vi_rvm.use);
        result = close_log(vi_rvm.log);
        pthread_rwlock_unlock(&vi_rvm.use);
    }
    pthread_mutex_unlock(&vi_rvm.admin);
    return result;
}

/* Does to the log what a call asks for, which is counted. */
static rvm_return_t use(enum vi_rvm_count which, int (*call)(struct vi_disk_log *redo))
{
    struct vi_rvm_log *log;
    rvm_return_t result;

    pthread_rwlock_rdlock(&vi_rvm.use);
    result = vi_rvm_ready(&log);
    pthread_mutex_lock(&vi_rvm.lock);
    vi_rvm.count[which] += result == RVM_SUCCESS;
    pthread_mutex_unlock(&vi_rvm.lock);
    if (result == RVM_SUCCESS && call(&log->redo) != 0)
        result = vi_rvm_code();
    pthread_rwlock_unlock(&vi_rvm.use);
    return result;
}

static int flush_all(struct vi_disk_log *redo)
{
    return vi_disk_flush(redo, UINT64_MAX, true);
}

rvm_return_t rvm_flush(void)
{
    return use(VI_RVM_FLUSHES, flush_all);
}

rvm_return_t rvm_truncate(void)
{
    return use(VI_RVM_TRUNCATIONS, vi_disk_truncate);
}

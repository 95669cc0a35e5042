/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the process has of RVM: see rvm_state.h.
 */
#include "rvm/rvm_state.h"

#include <errno.h>

struct vi_rvm vi_rvm = {.admin = PTHREAD_MUTEX_INITIALIZER,
                        .use = PTHREAD_RWLOCK_INITIALIZER,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .regions_lock = PTHREAD_MUTEX_INITIALIZER,
                        .truncate = RVM_TRUNCATE_DEFAULT};

rvm_return_t vi_rvm_ready(struct vi_rvm_log **log)
{
    if (!__atomic_load_n(&vi_rvm.is_begun, __ATOMIC_ACQUIRE))
        return RVM_EINIT;
    if (log == NULL)
        return RVM_SUCCESS;
    *log = __atomic_load_n(&vi_rvm.log, __ATOMIC_ACQUIRE);
    return *log != NULL ? RVM_SUCCESS : RVM_ELOG;
}

rvm_return_t vi_rvm_code(void)
{
    return errno == EPROTO         ? RVM_ELOG_VERSION_SKEW
           : errno == ENOMEM       ? RVM_ENO_MEMORY
           : errno == ENAMETOOLONG ? RVM_ENAME_TOO_LONG
                                   : RVM_EIO;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls on automatic ranges.
 */
#include "ranges/ranges.h"

#include <errno.h>

#include "base/error.h"
#include "ranges/faults.h"

int vista_open_pages(vista_tx *handle, void *address, size_t length)
{
    struct vi_tx *tx = vi_tx_check(handle);
    const struct vi_segment *owner =
        tx != NULL ? vi_group_find(tx->segment, (uintptr_t)address) : NULL;
    const uintptr_t at = (uintptr_t)address, first = at / VI_PAGE * VI_PAGE;
    struct iovec pages = {(void *)first, (at + length - first + VI_PAGE - 1) / VI_PAGE * VI_PAGE};

    if (tx == NULL || length == 0)
        return tx != NULL ? 0 : -1;
    if (owner == NULL || length > (uintptr_t)owner->map.data + vi_segment_size(owner) - at)
        return vi_fail(EINVAL, "vista_open_pages: %p + %zu is not inside the data of %s", address,
                       length, tx->segment->path);
    return vi_ranges_mode(owner) != VISTA_AUTO_RANGE
               ? tx->segment->own.engine->declare(tx, &pages, 1)
               : vi_ranges_allow(tx, pages.iov_base, pages.iov_len, pages.iov_len);
}

int vista_fault(const siginfo_t *info, void *ucontext)
{
    const int error = errno;
    sigset_t all, before;
    bool mended;

    if (info == NULL || ucontext == NULL)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    mended = vi_faults_mend(info, ucontext);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return mended;
}

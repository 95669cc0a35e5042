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
    uint64_t offset, first, end;
    struct iovec pages;

    if (tx == NULL)
        return -1;
    offset = (uintptr_t)address - (uintptr_t)tx->segment->map.data;
    if (offset > tx->segment->map.data_size || length > tx->segment->map.data_size - offset)
        return vi_fail(EINVAL, "vista_open_pages: %p + %zu is not inside the %zu bytes of %s",
                       address, length, tx->segment->map.data_size, tx->segment->path);
    first = offset / VI_PAGE * VI_PAGE;
    end = length != 0 ? (offset + length + VI_PAGE - 1) / VI_PAGE * VI_PAGE : first;
    pages = (struct iovec){tx->segment->map.data + first, end - first};
    if (tx->segment->ranges == NULL)
        return vi_tx_declare(tx, &pages, 1);
    return vi_ranges_prepare(tx, pages.iov_base, pages.iov_len) != 0
               ? -1
               : vi_ranges_allow(tx, pages.iov_base, pages.iov_len);
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

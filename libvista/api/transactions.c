/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls on transactions.  What vista_inline.h inlines is compiled here once
 * more as ordinary functions, for programs that cannot inline it.
 */
#define VISTA_INLINE
#include "vista.h"

#include <errno.h>

#include "base/error.h"
#include "core/transaction.h"
#include "ranges/ranges.h"

vista_tx *vista_begin_out_of_line(vista_segment *handle, unsigned mode)
{
    struct vi_segment *segment = vi_segment_check(handle);
    struct vi_tx *tx;

    if (segment == NULL)
        return NULL;
    if (mode & ~VISTA_NO_RESTORE)
        return vi_fail(EINVAL, "vista_begin_transaction: unknown mode 0x%x", mode), NULL;
    if (segment->flags & VISTA_READ_ONLY)
        return vi_fail(EROFS, "%s: is mapped read-only", segment->path), NULL;
    tx = vi_ranges_begin(vi_home(segment), mode);
    return tx != NULL ? &tx->log.cursor : NULL;
}

int vista_set_ranges_out_of_line(vista_tx *handle, const struct iovec *ranges, int count)
{
    struct vi_tx *tx = vi_tx_check(handle);

    if (tx == NULL)
        return -1;
    if (count < 0 || (ranges == NULL && count > 0))
        return vi_fail(EINVAL, "vista_set_ranges: %d ranges at %p", count, (const void *)ranges);
    if (vi_tx_declare(tx, ranges, count) != 0)
        return -1;
    if (tx->segment->ranges == NULL)
        return 0;
    for (int i = 0; i < count; i++)
        if (vi_ranges_allow(tx, ranges[i].iov_base, ranges[i].iov_len, 0) != 0)
            return -1;
    return 0;
}

static __attribute__((noinline)) int end_and_tell(struct vi_tx *tx)
{
    const struct vi_hooks hooks = vi_hooks_detach(&tx->hooks);
    const int result = vi_ranges_commit(tx);

    if (result == 0)
        vi_hooks_run(hooks, 1);
    else
        tx->hooks = hooks; /* it is still open: a range was forgotten */
    return result;
}

int vista_end_out_of_line(vista_tx *handle, unsigned mode)
{
    struct vi_tx *tx = vi_tx_check(handle);

    if (tx == NULL)
        return -1;
    if (mode & ~VISTA_NO_FLUSH)
        return vi_fail(EINVAL, "vista_end_transaction: unknown mode 0x%x", mode);
    return VISTA_INLINE_LIKELY(tx->hooks.first == NULL) ? vi_ranges_commit(tx) : end_and_tell(tx);
}

int vista_abort_transaction(vista_tx *handle)
{
    struct vi_tx *tx = vi_tx_check(handle);
    struct vi_hooks hooks;

    if (tx == NULL)
        return -1;
    if (tx->no_restore)
        return vi_fail(EINVAL, "the transaction was begun with VISTA_NO_RESTORE");
    hooks = vi_hooks_detach(&tx->hooks);
    vi_ranges_abort(tx);
    vi_hooks_run(hooks, 0);
    return 0;
}

int vista_on_end(vista_tx *handle, void (*fn)(void *arg, int outcome), void *arg)
{
    struct vi_tx *tx = vi_tx_check(handle);

    if (tx == NULL)
        return -1;
    if (fn == NULL)
        return vi_fail(EINVAL, "vista_on_end: nothing to call");
    if (vi_hooks_add(&tx->hooks, fn, arg) != 0)
        return -1;
    vi_log_end_out_of_line(&tx->log);
    return 0;
}

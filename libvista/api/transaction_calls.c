/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The public calls on transactions.  What vista_inline.h inlines is compiled here once
 * more as ordinary functions, for programs that cannot inline it.
 */
#define VISTA_INLINE
#include "vista.h"

#include <errno.h>

#include "base/error.h"
#include "core/range_log.h"
#include "core/transaction.h"

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
    tx = segment->group->engine->begin(vi_home(segment), mode);
    return tx != NULL ? &tx->log.cursor : NULL;
}

int vista_set_ranges_out_of_line(vista_tx *handle, const struct iovec *ranges, int count)
{
    struct vi_tx *tx = vi_tx_check(handle);

    if (tx == NULL)
        return -1;
    if (count < 0 || (ranges == NULL && count > 0))
        return vi_fail(EINVAL, "vista_set_ranges: %d ranges at %p", count, (const void *)ranges);
    return tx->segment->own.engine->declare(tx, ranges, count);
}

static __attribute__((noinline)) int end_and_tell(struct vi_tx *tx, unsigned mode)
{
    const struct vi_hooks hooks = vi_hooks_detach(&tx->hooks);
    struct vi_segment *const home = tx->segment;
    int result = home->own.engine->commit(tx, mode | VI_TX_TELL), error;

    /* They are told of what is durable, also of a transaction that need not be yet. */
    if (result == 0 && home->persist.class == VISTA_CLASS_DISK &&
        home->own.engine->flush(home) != 0) {
        result = -1;
        errno = EIO; /* the transaction has ended, whatever it was */
    }
    error = errno;

    if (result == 0 || error == EIO)
        vi_hooks_run(hooks, result == 0 ? 1 : result == VI_TX_ROLLED_BACK ? 0 : -1);
    else
        tx->hooks = hooks; /* it is still open: a range was forgotten */
    errno = error;
    return result == 0 ? 0 : -1;
}

static __attribute__((noinline)) int declare_one(vista_tx *handle, void *address, size_t length)
{
    const struct iovec range = {address, length};

    return vi_range_log(handle, address, length) ? 0
                                                 : vista_set_ranges_out_of_line(handle, &range, 1);
}

/* Calls nothing on the short way, so that it saves no register. */
int vista_set_range_out_of_line(vista_tx *handle, void *address, size_t length)
{
    if (!vi_range_is_short(handle, address, length))
        return declare_one(handle, address, length);
    vi_range_log_short(handle, address, length);
    return 0;
}

int vista_end_out_of_line(vista_tx *handle, unsigned mode)
{
    struct vi_tx *tx = vi_tx_check(handle);

    if (tx == NULL)
        return -1;
    if (mode & ~VISTA_NO_FLUSH)
        return vi_fail(EINVAL, "vista_end_transaction: unknown mode 0x%x", mode);
    return VISTA_INLINE_LIKELY(tx->hooks.first.fn == NULL)
               ? tx->segment->own.engine->commit(tx, mode)
               : end_and_tell(tx, mode);
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
    tx->segment->own.engine->abort(tx);
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

vista_segment *vista_transaction_segment(vista_tx *handle)
{
    struct vi_tx *tx = vi_tx_check(handle);

    return tx != NULL ? &tx->segment->handle : NULL;
}

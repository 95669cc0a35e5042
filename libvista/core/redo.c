/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calling all that follow a group's transactions: see redo.h.
 */
#include "core/redo.h"

int vi_redo_wait(struct vi_redo *redo, uint64_t position, unsigned mode)
{
    int result = 0;

    for (; redo != NULL; redo = redo->next)
        if (redo->ops->wait != NULL && redo->ops->wait(redo, position, mode) != 0)
            result = -1;
    return result;
}

void vi_redo_abort(struct vi_redo *redo, struct vi_tx *tx)
{
    for (; redo != NULL; redo = redo->next)
        if (redo->ops->abort != NULL)
            redo->ops->abort(redo, tx);
}

void vi_redo_note(struct vi_redo *redo, struct vi_segment *segment, const void *address,
                  size_t length)
{
    for (; redo != NULL; redo = redo->next)
        if (redo->ops->note != NULL)
            redo->ops->note(redo, segment, address, length);
}

int vi_redo_flush(struct vi_redo *redo)
{
    for (; redo != NULL; redo = redo->next)
        if (redo->ops->flush != NULL && redo->ops->flush(redo) != 0)
            return -1;
    return 0;
}

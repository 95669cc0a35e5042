/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Who is told what a group's transactions change: an engine that makes it last in a log of its
 * own, and behind it observers.  The list is empty in the classes
 * whose undo log is all there is, unless there are observers.
 */
#ifndef VI_CORE_REDO_H
#define VI_CORE_REDO_H

#include <stddef.h>
#include <stdint.h>

struct vi_segment;
struct vi_tx;

struct vi_redo {
    const struct vi_redo_ops *ops;
    struct vi_redo *next;
};

/* A NULL operation: nothing to do.  None is called for a transaction that has logged nothing. */
struct vi_redo_ops {
    /* A transaction is to commit, and nothing of that is done yet.  What it returns with, such
     * as a lock, `commit` gives back.  -1 with errno: it is rolled back instead. */
    int (*prepare)(struct vi_redo *redo, struct vi_tx *tx, unsigned mode);
    /* All that it changes is changed, and its undo log still tells what that is.  What it
     * returns is `wait`'s; the last one's that is not 0 counts. */
    uint64_t (*commit)(struct vi_redo *redo, struct vi_tx *tx, unsigned mode);
    /* The transaction has ended: returns when it is as durable as the mode asks; -1 with EIO. */
    int (*wait)(struct vi_redo *redo, uint64_t position, unsigned mode);
    /* It has been rolled back, and ends. */
    void (*abort)(struct vi_redo *redo, struct vi_tx *tx);
    /* Bytes of a segment, of its data or metadata, have changed outside any undo log. */
    void (*note)(struct vi_redo *redo, struct vi_segment *segment, const void *address,
                 size_t length);
    /* As an engine's flush. */
    int (*flush)(struct vi_redo *redo);
};

/* Call the operation of all in the list, in its order. */
static inline int vi_redo_prepare(struct vi_redo *redo, struct vi_tx *tx, unsigned mode)
{
    for (; redo != NULL; redo = redo->next)
        if (redo->ops->prepare != NULL && redo->ops->prepare(redo, tx, mode) != 0)
            return -1;
    return 0;
}
static inline uint64_t vi_redo_commit(struct vi_redo *redo, struct vi_tx *tx, unsigned mode)
{
    uint64_t position = 0, at;

    for (; redo != NULL; redo = redo->next)
        if (redo->ops->commit != NULL && (at = redo->ops->commit(redo, tx, mode)) != 0)
            position = at;
    return position;
}
int vi_redo_wait(struct vi_redo *redo, uint64_t position, unsigned mode);
void vi_redo_abort(struct vi_redo *redo, struct vi_tx *tx);
void vi_redo_note(struct vi_redo *redo, struct vi_segment *segment, const void *address,
                  size_t length);
int vi_redo_flush(struct vi_redo *redo);

#endif

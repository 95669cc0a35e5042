/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What runs the transactions of a group: a table of operations.  Public calls check their
 * arguments and call the table; so what a class does, or automatic ranges, or an engine with a
 * log of its own, is told where its table is, and costs the others nothing.
 */
#ifndef VI_CORE_OPERATIONS_H
#define VI_CORE_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct vi_member;
struct vi_segment;
struct vi_tx;

/* Opens a member that home's log names, and links it to home (vi_group_link).  -1: what
 * home's log says cannot be undone.  0 without linking it: it is to be left alone. */
typedef int vi_attach_fn(struct vi_segment *home, const struct vi_member *entry);

#define VI_TX_TELL 0x80000000u
#define VI_TX_ROLLED_BACK (-2)

struct vi_engine {
    /* What limit1 and room of its handles have: 0, all can be inlined; 1, ends go out of line;
     * VI_GATED, ranges too. */
    uintptr_t gate;
    /* A transaction on `home`'s log; NULL with errno. */
    struct vi_tx *(*begin)(struct vi_segment *home, unsigned mode);
    /* As vista_set_ranges, with a count and an array that make sense. */
    int (*declare)(struct vi_tx *tx, const struct iovec *ranges, int count);
    /* With the mode of vista_end_transaction.  -1: with EIO the transaction has ended, with
     * another errno it is open.  With VI_TX_TELL in the mode too: VI_TX_ROLLED_BACK, errno as
     * set, where it is sure that it has not been committed. */
    int (*commit)(struct vi_tx *tx, unsigned mode);
    void (*abort)(struct vi_tx *tx);
    /* What has been committed so far is durable on return; -1 with errno. */
    int (*flush)(struct vi_segment *segment);
    /* Before a segment starts: what its log says is undone and finished.  -1 with EBADMSG, and
     * then nothing was changed, or with what `attach` failed with. */
    int (*recover)(struct vi_segment *segment, vi_attach_fn *attach);
    /* As vi_segment_close. */
    int (*close)(struct vi_segment *segment, bool clean);
};

#endif

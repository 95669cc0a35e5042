/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A slot's log with two writers: chunks behind the slot are set aside for undo
 * records of one size, which someone else than the transaction's thread appends,
 * and the transaction's own records begin behind them.
 *
 *     slot          chunk 1                  chunk n          chunk n + 1, ...
 *    +------+      +------+-----+-----+     +------+-----+   +-------------------+
 *    | head |  ->  | head | set | aside| -> | head |     | ->| head, the tx's    |
 *    +------+      +------+-----+-----+     +------+-----+   +-------------------+
 *
 * A walk goes on to the next chunk where the records of one end, if it begins with
 * a record: so each chunk that may be empty begins with a head, a record of no
 * bytes, from the transaction's beginning on.  To a walk, what is set aside is older than
 * the transaction's own records, and so is undone after them: it must hold the
 * bytes as they were when the transaction began.
 */
#ifndef VI_CORE_PAGE_LOG_H
#define VI_CORE_PAGE_LOG_H

#include "core/log.h"

struct vi_page_log {
    struct vi_log log; /* the second writer's place in the slot's log */
    uint32_t length;   /* of each record */
    uint64_t count;    /* of records that fit */
};

/* Sets space for `count` records of `length` bytes aside; that of before is given
 * back.  The log holds no transaction's records.  -1 with ENOSPC; then none is. */
int vi_page_log_reserve(struct vi_page_log *pages, struct vi_log *log, uint32_t length,
                        uint64_t count);

/* A transaction begins: stores the heads, durably. */
void vi_page_log_begin(struct vi_page_log *pages, const struct vi_log *log);

/* Appends the `length` bytes of data at `address`; at most `count` times.  Durable after
 * vi_log_flush of its log.  Says where they are. */
const void *vi_page_log_append(struct vi_page_log *pages, const void *address);

#endif

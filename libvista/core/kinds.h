/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What records mean.  Each kind has one entry in a table, registered by who writes such records
 * (the undo log itself, the heap); commit, rollback, recovery and check go by the entries.
 */
#ifndef VI_CORE_KINDS_H
#define VI_CORE_KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "media/format.h"

/* An item of a record whose owner is known: the segment or, of its records, the heap. */
struct vi_item {
    uint64_t offset; /* in the owner's data */
    uint32_t length;
    uint16_t kind;
    const void *payload; /* behind the item's address in the log */
    void *context;       /* of the owner; NULL: it is not here, or no kind that it has */
};

/* What is to be done with the effects of items at a step of a commit or of recovery: with those
 * of one context, oldest first, in the log of `slot`.  Says whether VI_SETTLE is needed. */
enum vi_step {
    VI_APPLY,  /* before the commit point, which then comes for sure */
    VI_FINISH, /* after it, of kinds that are deferred; may be repeated by recovery */
    VI_SETTLE, /* volatile: when the slot is durably idle, after an abort, too */
    VI_STEPS
};
typedef bool vi_step_fn(void *context, uint32_t slot, const struct vi_item *items, uint32_t count);

/* A NULL function: nothing to do. */
struct vi_record_kind {
    uint32_t payload; /* bytes behind the address, a multiple of 8; VI_PAYLOAD_LENGTH: its length */
    bool deferred;    /* VI_FINISH has work, and no extent: the commit has a finishing state */
    /* Recovery, before anything is changed: false if it names what cannot be (a damaged
     * file). */
    bool (*valid)(const struct vi_item *item);
    /* Takes back what VI_APPLY (or, for UNDO, the program) stored; newest first; also when
     * that was never done. */
    void (*undo)(const struct vi_item *item);
    /* The stored metadata that the steps change, exactly. */
    struct iovec (*stored)(const struct vi_item *item);
    /* The data that must be durable before the commit point. */
    struct iovec (*extent)(const struct vi_item *item);
    /* Of an open transaction: was the extent given up again, so that no one is to have it? */
    bool (*given_up)(const struct vi_item *item);
    /* The same for all kinds of a table that have any, so that one call does a whole log's. */
    vi_step_fn *const *steps;
};

#define VI_PAYLOAD_LENGTH UINT32_MAX

/* A table has VI_KINDS entries; NULL: there is no such kind. */
typedef const struct vi_record_kind *const *vi_kinds;

#endif

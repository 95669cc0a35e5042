/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The persistent part: a hash table of keys and values in a segment's heap.
 *
 * Functions that take a transaction change the store as a part of it.  When one fails,
 * errno and vista_errormsg() say why, and the caller aborts; when it has committed, the
 * change is for good.
 */
#ifndef KEYVALUE_STORE_H
#define KEYVALUE_STORE_H

#include <vista.h>

#include "text.h"

struct store;

/* The store in the segment, made if the segment is new.  NULL with vista_errormsg(), or
 * with errno EBADMSG: the segment belongs to another program. */
struct store *store_open(vista_segment *segment);

/* Of all keys, those whose time is over and that have not been removed among them; and of
 * those that have a deadline. */
uint64_t store_count(const struct store *store);
uint64_t store_mortal(const struct store *store);

/* Now, in milliseconds since 1970: what deadlines are compared with.  A key is there until its
 * deadline; 0: for ever. */
uint64_t store_time(void);

struct found {
    struct slice value; /* it stays where it is until the next change */
    uint64_t deadline;
};

bool store_get(const struct store *store, struct slice key, struct found *found);

/* Neither the key nor the value may be bytes of the store. */
bool store_set(vista_tx *tx, struct store *store, struct slice key, struct slice value,
               uint64_t deadline);

/* Of a key that is there; of another nothing happens. */
bool store_set_deadline(vista_tx *tx, struct store *store, struct slice key, uint64_t deadline);

/* 1: the key is gone; 0: it was not there; -1: failed. */
int store_delete(vista_tx *tx, struct store *store, struct slice key);

/* All keys are gone; what they took is given back by store_tidy. */
bool store_flush(vista_tx *tx, struct store *store);

/*
 * Does a little, in a transaction of its own, of what can wait: frees what was flushed, and
 * removes keys whose time is over, of which it looks for more each time, from *position on (0
 * at first).  1: there is more to free; 0: not now; -1: failed.
 */
int store_tidy(vista_segment *segment, struct store *store, uint64_t *position);

/*
 * Walks through the store a little: calls `visit` for some keys and returns where to go
 * on; begin with 0, and 0 says that the end was reached.  A key that is there from the
 * first call to the last is visited at least once, however the store has changed and its
 * table was resized between calls; one that came or went meanwhile, perhaps.
 */
typedef void (*store_visit)(void *context, struct slice key);
uint64_t store_scan(const struct store *store, uint64_t cursor, store_visit visit, void *context);

#endif

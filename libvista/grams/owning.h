/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a transaction owns here, and what happens when it ends: the hook of vista_on_end.
 */
#ifndef VI_GRAMS_OWNING_H
#define VI_GRAMS_OWNING_H

#include "grams/endpoint.h"

/*
 * The transaction's group, made and registered with vista_on_end if this is its first call.  The
 * transaction has logged something before: an ended one that logged nothing cannot be told from
 * the handle's next.  NULL with ENOMEM or as vista_on_end.  This and the next with the lock.
 */
struct vi_group *vi_owning_group(vista_endpoint *e, vista_tx *tx);

/* The group of an open transaction, if it has one. */
struct vi_group *vi_owning_find(vista_endpoint *e, vista_tx *tx);

/* A lane that no other owns becomes the group's. */
void vi_owning_add(struct vi_group *group, struct vi_lane *lane, unsigned act);

/* Declares the peer's entry, and it becomes the transaction's.  -1: as vi_owning_group, or
 * vista_set_range. */
int vi_owning_peer(vista_endpoint *e, vista_tx *tx, struct vi_peer *peer);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Memory of messages that have arrived and were not yet received, and their queues.
 * All with the endpoint's lock.
 */
#ifndef VI_GRAMS_STAGING_H
#define VI_GRAMS_STAGING_H

#include "grams/endpoint.h"

/* A message of `length` bytes for this lane.  NULL: no room for it now. */
struct vi_message *vi_staging_new(vista_endpoint *e, const struct vi_lane *lane, uint32_t length);
void vi_staging_free(vista_endpoint *e, struct vi_message *message);

/* The message of a lane that no transaction owns, and that is in no queue, can be received, or, as it
 * was cancelled, be dropped by a task: at the queue's end, or at its head again. */
void vi_staging_queue(vista_endpoint *e, struct vi_lane *lane, bool first);
void vi_staging_unqueue(struct vi_lane *lane);

/* Drops what has arrived for a lane. */
void vi_staging_drop(vista_endpoint *e, struct vi_lane *lane);

/* Gives all memory back; the endpoint closes. */
void vi_staging_close(vista_endpoint *e);

#endif

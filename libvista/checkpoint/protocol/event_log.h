/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The log of events, beside the landing zones in the checkpoint file: what the guest's calls gave since
 * the last checkpoint, of those whose results are kept.  It is stored at once, outside of
 * checkpoints, and each checkpoint voids it.
 *
 * A guest that is resumed comes to the same calls again, since between them there is nothing
 * but what is deterministic; each is given its result from the log and is not made.  One that
 * comes to another call has been told something else since, and the run cannot go on.  Calls are
 * told apart by number, the first argument, and the second of two or the third of more (of a write its
 * length, not its bytes): what a register holds that is no argument may differ.
 */
#ifndef VI_CHECKPOINT_EVENT_LOG_H
#define VI_CHECKPOINT_EVENT_LOG_H

#include <sys/uio.h>

#include "checkpoint/trap/trap.h"

/* After a kill: what there is is replayed.  After a checkpoint there is nothing. */
void vi_events_resumed(void);
void vi_events_committed(void);

/* Are there events to be replayed?  Until they are, nothing else may happen to the guest. */
bool vi_events_is_replaying(void);
/* The result of this call, which is the next event.  Does not return where it is another. */
long vi_events_replay(const struct vi_call *call);
/* An event that no log has, where one of the log's was to come: it does not return. */
void vi_events_refuse(const char *event);

/* For one more event with what it wrote to the guest's memory. */
bool vi_events_has_room(size_t bytes);
void vi_events_append(const struct vi_call *call, long result, const struct iovec *parts,
                      int count);
/* The same of a call that a signal has ended, of which the parts tell. */
void vi_events_append_ended(const struct vi_call *call, long result, const struct iovec *parts,
                            int count);
/* Is the next event of those that are replayed such a one? */
bool vi_events_is_ended(void);
/* Writes to the guest's memory what the event that was just replayed wrote there. */
void vi_events_write(const struct iovec *parts, int count);
/* Another number for each place in the log, of all the run. */
uint64_t vi_events_place(void);
uint64_t vi_events_place_behind_commit(void); /* if there is one now */

#endif

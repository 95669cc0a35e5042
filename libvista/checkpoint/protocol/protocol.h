/* SPDX-License-Identifier: BSD-3-Clause
 *
 * When to commit.  CPVS (Lowell, Chandra and Chen, "Exploring Failure Transparency and the Limits
 * of Generic Recovery", OSDI 2000): before every visible event and every send.
 *
 * The result of a visible event is noted in the file when the event has been made, outside of any
 * checkpoint.  A process that is resumed to make the event finds it made, unless the kill came
 * between the two; then the event is repeated, which failure transparency allows.
 */
#ifndef VI_CHECKPOINT_PROTOCOL_H
#define VI_CHECKPOINT_PROTOCOL_H

#include "checkpoint/trap/trap.h"

/* Commits before a visible event.  False: the event was made before a kill, with `result`.  True: it is
 * to be made, all but the first `result` bytes of a send, which the kernel took before a kill. */
bool vi_protocol_visible(const struct vi_call *call, long *result);
/* The visible event of `bytes` was made. */
void vi_protocol_done(const struct vi_call *call, long result, const void *bytes);

/* A checkpoint with all that belongs to it. */
void vi_protocol_commit(const struct vi_frame *frame);

/* Resumed from the last checkpoint. */
void vi_protocol_resumed(void);

#endif

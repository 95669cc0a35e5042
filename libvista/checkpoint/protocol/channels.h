/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Channels for the trace: one direction of a connection between processes.  Both ends come to the same number
 * for it by themselves, and to the same position in its bytes, so that from the traces of several
 * processes it is known who received what was sent by whom.
 *
 * Of TCP the kernel tells both, whatever was killed.  Of a Unix stream or a pipe the bytes are counted
 * here, from the first one on; what was open when the process was resumed is not followed any
 * further, since how much was sent or received just before the kill is not known; nor is what was
 * open when it got a child.  A pipe is taken to have one writer and one reader.
 */
#ifndef VI_CHECKPOINT_CHANNELS_H
#define VI_CHECKPOINT_CHANNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/trap/trap.h"

/* A call on a descriptor comes: what is to be known of its connection before. */
void vi_channels_before(int fd);
/* The call has sent, or received, `bytes`: by which channel, and up to which position.  False: by
 * none that can be followed. */
bool vi_channels_sent(const struct vi_call *call, long bytes, uint64_t *channel,
                      uint64_t *position);
bool vi_channels_received(const struct vi_call *call, long bytes, uint64_t *channel,
                          uint64_t *position);
/* The process goes on behind a kill, or is about to share what is open with a child. */
void vi_channels_lost(void);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Waiting for descriptors and for time.
 */
#ifndef VI_CHECKPOINT_WAIT_H
#define VI_CHECKPOINT_WAIT_H

#include "checkpoint/trap/trap.h"

/* Epoll sets: what was told before the kill is told again; a descriptor that is about to be closed
 * is taken out, since the open description behind it lives on for a while. */
void vi_wait_recover(void);
void vi_wait_forget(int gone);

#endif

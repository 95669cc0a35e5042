/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The process: its ids, limits, timers, and its end.
 */
#ifndef VI_CHECKPOINT_GUEST_PROCESS_H
#define VI_CHECKPOINT_GUEST_PROCESS_H

#include "checkpoint/trap/trap.h"

void vi_process_start(void);
void vi_process_recover(void);
/* Another program has taken the place of the running one. */
void vi_process_replaced(const char *path);
/* What is to be noted before a checkpoint. */
void vi_process_gather(void);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libdc's call, as the runtime takes it.
 */
#ifndef VI_CHECKPOINT_DC_CALL_H
#define VI_CHECKPOINT_DC_CALL_H

#include "checkpoint/trap/trap.h"

long vi_call_dc(struct vi_call *call);
/* This process goes on from a checkpoint: the program is told if it wants to be. */
void vi_dc_resumed(void);

#endif

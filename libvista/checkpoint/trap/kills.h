/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where tests kill the run: before and after a system call of the guest, and in checkpoints.
 * A build for tests has VI_KILL_POINTS and test/checkpoint/kills.c; another has nothing.
 */
#ifndef VI_CHECKPOINT_KILLS_H
#define VI_CHECKPOINT_KILLS_H

#include <stdbool.h>

#ifdef VI_KILL_POINTS
void vi_kill_point(bool after);
#else
static inline void vi_kill_point(bool after)
{
    (void)after;
}
#endif

#endif

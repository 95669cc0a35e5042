/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where tests kill the run: before and after a system call of the guest, and in checkpoints.
 * A build for tests has VI_KILL_POINTS and test/checkpoint/kills.c; another has nothing.
 */
#ifndef VI_CHECKPOINT_KILLS_H
#define VI_CHECKPOINT_KILLS_H

#include <stdbool.h>

struct vi_row;

#ifdef VI_KILL_POINTS
void vi_kill_point(bool after);
/* Another row, where a test is to find that this one is missed. */
const struct vi_row *vi_kill_row(const struct vi_row *row);
/* Are calls counted, so that each has to be seen? */
bool vi_kill_is_by_call(void);
#else
static inline bool vi_kill_is_by_call(void)
{
    return false;
}
static inline void vi_kill_point(bool after)
{
    (void)after;
}
static inline const struct vi_row *vi_kill_row(const struct vi_row *row)
{
    return row;
}
#endif

#endif

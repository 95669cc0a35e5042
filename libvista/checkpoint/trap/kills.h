/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where tests kill the run: before and after a system call of the guest, where it is made, and in
 * checkpoints.
 * A build for tests has VI_KILL_POINTS and test/checkpoint/kills.c; another has nothing.
 */
#ifndef VI_CHECKPOINT_KILLS_H
#define VI_CHECKPOINT_KILLS_H

#include <stdbool.h>

struct vi_row;

#ifdef VI_KILL_POINTS
void vi_kill_point(bool after);
/* The call is made, and nothing notes it yet. */
void vi_kill_made(void);
/* Another row, where a test is to find that this one is missed. */
const struct vi_row *vi_kill_row(const struct vi_row *row);
/* At calls that go without the trap. */
void vi_kill_quickly(bool after);
/* May they, although kills are at calls that are counted, or the run is traced? */
bool vi_kill_lets_be_quick(bool traced);
#else
static inline bool vi_kill_lets_be_quick(bool traced)
{
    return !traced; /* of a run that is traced each call has to be seen */
}
static inline void vi_kill_quickly(bool after)
{
    (void)after;
}
static inline void vi_kill_point(bool after)
{
    (void)after;
}
static inline void vi_kill_made(void)
{
}
static inline const struct vi_row *vi_kill_row(const struct vi_row *row)
{
    return row;
}
#endif

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Waiting, with the guest's signals open: for descriptors and for time, by the runtime; and in calls that
 * only the kernel can wait in, as the opening of a named pipe and a connection.  Of those a signal that
 * came before the call would be held until it is over; so the instructions between are a window, which
 * a signal leads out of.
 */
#ifndef VI_CHECKPOINT_WINDOW_H
#define VI_CHECKPOINT_WINDOW_H

#include <stdint.h>

#include "checkpoint/trap/trap.h"

/* Waits until `fd` (-1: none) has one of `events`, for at most `nanoseconds` (-1: for ever), with the
 * guest's signals open, or `mask` if it is not NULL.  1; 0 time is up; VI_INTERRUPTED a signal is to
 * be delivered; or minus an errno. */
long vi_window_wait(struct vi_call *call, int fd, short events, int64_t nanoseconds,
                    const uint64_t *mask);
/* Makes the guest's call.  Its result; VI_INTERRUPTED: a signal has ended it; or VI_NO_RESULT: one came
 * before it, and behind its handler the guest makes the call again. */
long vi_window_pass(struct vi_call *call);
/* A signal has come to the runtime. */
void vi_window_leave(ucontext_t *context);

#endif

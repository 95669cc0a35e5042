/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Where system calls put their results: what a log of them has to hold.
 */
#ifndef VI_CHECKPOINT_CALL_RESULTS_H
#define VI_CHECKPOINT_CALL_RESULTS_H

#include <sys/uio.h>

#include "checkpoint/trap/trap.h"

#define VI_RESULTS 5

/* The parts of the guest's memory that a call with that result has written: how many, or -1 where giving
 * them again is not all that the call has to do, so that it cannot be logged. */
int vi_results_of(const struct vi_call *call, long result, struct iovec parts[VI_RESULTS]);

/* So, of a call that a signal has ended: what is left of its time, and of poll what the kernel makes of
 * the events that there are. */
int vi_results_of_ended(const struct vi_call *call, struct iovec parts[1]);

#endif

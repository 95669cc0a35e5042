/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What program.c needs of simulated threads; scenarios have theirs in program.h.
 */
#ifndef CRASH_THREADS_H
#define CRASH_THREADS_H

#include <stdbool.h>

/* None has a transaction's handle. */
void threads_reset(void);

/* Another may run now. */
void threads_pause(bool at_fence);

#endif

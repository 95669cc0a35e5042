/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Programs that have called mlockall.
 */
#ifndef VI_BASE_LOCKED_H
#define VI_BASE_LOCKED_H

#include <stdbool.h>
#include <stddef.h>

/* The process has all that it maps locked and filled (mlockall, MCL_FUTURE).  Then a mapping is made
 * PROT_NONE, and given its protection when it is no longer locked. */
bool vi_memory_is_locked(void);
int vi_memory_unlock(void *address, size_t size, int protection);

#endif

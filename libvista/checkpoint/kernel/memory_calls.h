/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The guest's memory: which of its areas is mapped, in the table of the control state, and the
 * calls that change it.  The views are there already; mapping is protection and contents.
 */
#ifndef VI_CHECKPOINT_MEMORY_CALLS_H
#define VI_CHECKPOINT_MEMORY_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/trap/trap.h"

/* As mmap(2), for the loader, too: an address or minus an errno. */
long vi_memory_map(uint64_t address, uint64_t length, int protection, int flags, int fd,
                   uint64_t offset);
long vi_memory_protect(uint64_t address, uint64_t length, int protection);
void vi_memory_start_break(void);
/* Nothing is mapped any more. */
void vi_memory_clear(void);

/* May the guest read or write all of this? */
bool vi_memory_readable(uint64_t address, uint64_t length);
bool vi_memory_writable(uint64_t address, uint64_t length);
/* Is there a whole string of at most `size` bytes with its end? */
bool vi_memory_string(uint64_t address, uint64_t size);

#endif

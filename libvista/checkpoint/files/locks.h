/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The guest's locks of fcntl(2), which end with a process: noted at a checkpoint, as the kernel tells
 * them, and asked for again by the process that goes on.
 */
#ifndef VI_CHECKPOINT_LOCKS_H
#define VI_CHECKPOINT_LOCKS_H

#include <stdbool.h>

/* They are about to become others, and `most` more, one or two; false: there is no room for so many. */
bool vi_locks_touch(unsigned most);
void vi_locks_gather(void);
/* Asks for those that were noted; the run ends where one is another's. */
void vi_locks_take(void);
/* Closes a descriptor of the runtime's own, with which the kernel ends the locks of the process on that
 * file. */
void vi_locks_close(int fd);

#endif

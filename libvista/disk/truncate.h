/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Truncation of a redo log in use, and the thread that does it.  What is here beside disk_log.h is
 * between the two.
 */
#ifndef VI_DISK_TRUNCATE_H
#define VI_DISK_TRUNCATE_H

#include "disk/disk_log.h"

/* With the lock, which is given back in between: truncates, or waits until another thread has. */
void vi_disk_truncate_locked(struct vi_disk_log *redo);

/* With the lock: is there something for the thread to do? */
void vi_disk_wake_thread(struct vi_disk_log *redo);
void vi_disk_stop_thread(struct vi_disk_log *redo);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Truncation of a redo log in use, the thread that does it, and growth of the log.
 */
#ifndef VI_DISK_TRUNCATE_H
#define VI_DISK_TRUNCATE_H

#include "disk/disk_state.h"
#include "media/file.h"

/* Makes the data the same as the log's durable part, and that part free.  -1 with errno: it
 * stays in the log. */
int vi_disk_truncate(struct vi_disk_log *redo);

/* Starts the log's thread: it truncates when the log is half full, writes when the ring is, and
 * flushes every `flush_ms` milliseconds, unless that is 0.  -1 with errno. */
int vi_disk_start_thread(struct vi_disk_log *redo, unsigned flush_ms);

/* Makes the log large enough for a record of `bytes` bytes, up to `end` of the file.  -1: ENOSPC,
 * EIO. */
int vi_disk_grow(struct vi_disk_log *redo, const struct vi_file *file, uint64_t end,
                 uint64_t bytes);

/* With the lock, which is unlocked in between, and no other thread at it: truncates.  `full`: a log
 * for which that fails is lost. */
int vi_disk_truncate_locked(struct vi_disk_log *redo, bool full);

/* With the lock: if there is something for the thread to do, wakes or starts it; notes up to which LSN
 * there is nothing. */
void vi_disk_wake_thread(struct vi_disk_log *redo);
void vi_disk_stop_thread(struct vi_disk_log *redo);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Landing zones: input that cannot be read twice is read into the checkpoint file first, and
 * copied to the guest from there.  After a kill what has landed since the last checkpoint is
 * served again, before anything new.
 */
#ifndef VI_CHECKPOINT_ZONE_H
#define VI_CHECKPOINT_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes of an open description that have landed and were not served; an end of file is one. */
size_t vi_zone_left(uint32_t group);

/* Reads at most `size` bytes of `fd`, which has some: what is left first.  VI_ZONE_FULL: a checkpoint
 * has to be made, so that there is room.  `ends_once`: an end of file can be read only once, too. */
#define VI_ZONE_FULL (-4096L)
long vi_zone_read(uint32_t group, int fd, unsigned char *to, size_t size, bool ends_once);
bool vi_zone_any_left(void);
/* Has it a zone, so that what was read since the last checkpoint has landed there? */
bool vi_zone_has(uint32_t group);

/* The open description is gone. */
void vi_zone_close(uint32_t group);
/* Until the next checkpoint its number may be no other's. */
bool vi_zone_is_closing(uint32_t group);

/* After a kill: counts what has landed.  `fd_of` gives a descriptor of a group. */
void vi_zone_recover(int (*fd_of)(uint32_t group));

/* For checkpoints: what of the zones changes, and the change: what was served is wiped out. */
int vi_zone_ranges(struct iovec *ranges);
void vi_zone_settle(void);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Descriptors that the supervisor keeps.  The runtime hands them over when they are made; the
 * process that the supervisor starts after a kill has them from it.
 */
#ifndef VI_CHECKPOINT_KEEPER_H
#define VI_CHECKPOINT_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/engine/layout.h"

/* In the supervisor: makes the channel; takes what has come through it; the supervisor's number of
 * what is kept as `group`, or -1. */
bool vi_keeper_open(void);
int vi_keeper_channel(void);
void vi_keeper_receive(void);
int vi_keeper_find(uint32_t group);
/* Of what is kept, the file with this identity, or -1. */
int vi_keeper_find_file(uint64_t device, uint64_t inode);

/* In the runtime: hands over and takes back. */
void vi_keeper_enter(void);
bool vi_keeper_give(uint32_t group, int fd);
void vi_keeper_drop(uint32_t group);

#endif

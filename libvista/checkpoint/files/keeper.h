/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Descriptors that the supervisor keeps.  The runtime hands them over when they are made; the
 * process that the supervisor starts after a kill has them from it.
 */
#ifndef VI_CHECKPOINT_KEEPER_H
#define VI_CHECKPOINT_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
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
/* Accepts a connection of what is kept as `listener`, to be kept as `group`: a descriptor of it, or
 * minus an errno.  The supervisor does it, so that no kill loses the connection. */
int vi_keeper_accept(uint32_t listener, uint32_t group);
/* Of what was kept when this process was started: the listener that it was accepted from behind
 * checkpoint `commit`, or 0. */
uint32_t vi_keeper_accepted(uint32_t group, uint64_t commit);
/* Has the supervisor write to what is kept as `group`, without waiting: the bytes that were written, or
 * minus an errno.  It counts them by `key`, whatever becomes of this process. */
long vi_keeper_write(uint32_t group, uint64_t key, const void *bytes, size_t size);
/* Has it read, likewise; the report has what was read last, and its size. */
long vi_keeper_read(uint32_t group, size_t size);
/* Asks the supervisor for a child process, the runtime's `birth`th: 0, or minus an errno. */
long vi_keeper_bear(uint64_t birth);
/* In the supervisor: the birth that is asked for, or 0; the answer.  A child's supervisor keeps what its
 * parent's does, by a channel of its own; and nothing when its program has ended. */
uint64_t vi_keeper_birth(void);
void vi_keeper_answer(int error);
void vi_keeper_end(void);
/* The copy that this process has of what is kept is not needed any more. */
void vi_keeper_release(uint32_t group);
bool vi_keeper_give(uint32_t group, int fd);
void vi_keeper_drop(uint32_t group);

#endif

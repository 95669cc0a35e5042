/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How far a TCP connection is in both its streams.  The kernel keeps count whatever becomes of
 * the process, so that a call which a kill interrupted is known to the byte.
 */
#ifndef VI_CHECKPOINT_TCP_H
#define VI_CHECKPOINT_TCP_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes that the kernel has taken for sending, counted from any fixed point. */
bool vi_tcp_sent(int fd, uint64_t *position);
/* The same, counted from the first byte, though not of a connection that is over. */
bool vi_tcp_written(int fd, uint64_t *position);
/* Bytes that were read from it, counted from the first. */
bool vi_tcp_received(int fd, uint64_t *position);

#endif

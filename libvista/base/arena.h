/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Memory for the library's own volatile state.  It is mapped by the library and
 * apart from malloc, so that a program whose heap is itself recovered (process
 * checkpoints) does not roll the library back with it.
 */
#ifndef VI_BASE_ARENA_H
#define VI_BASE_ARENA_H

#include <stddef.h>

/* `size` zeroed bytes on lines of their own, never given back: callers keep lists
 * of what they reuse.  NULL with ENOMEM.  Any thread. */
void *vi_arena_alloc(size_t size);

/* A zeroed mapping whose pages take memory as they are touched.  NULL with ENOMEM. */
void *vi_reserve(size_t size);
/* NULL is allowed and does nothing. */
void vi_release(void *address, size_t size);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Chunks: how a slot's log grows beyond its slot.  Chunks form a chain behind the
 * slot.  A chunk's header is durable before the link to it is, and a link is
 * durably gone before the chunk can be anyone else's; so a link to a chunk that
 * names another owner is never followed.  Chains stay across commits.
 */
#ifndef VI_CORE_CHUNKS_H
#define VI_CORE_CHUNKS_H

#include "core/log.h"

/* The chunk behind `chunk` (slot or chunk header) in the slot's chain, or NULL. */
struct vi_chunk_header *vi_chunk_next(const struct vi_logs *logs, uint32_t slot, uintptr_t chunk);

/* The beginning of the records in a chunk; 0 is the index of the slot itself. */
struct vi_place vi_chunk_place(uintptr_t chunk, uint64_t index);

/* Links a fresh chunk of at least `size` bytes behind `chunk`, whose old tail is
 * given back; `index` is the new one's place in the chain; `exact`: of no more.  NULL
 * with ENOSPC. */
struct vi_chunk_header *vi_chunk_link(struct vi_logs *logs, uint32_t slot, uintptr_t chunk,
                                      uint64_t index, size_t size, bool exact);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The persistent heap, as the public calls and the log use it.
 *
 * Everything is told by its stored descriptors and marks (media/format.h); what is
 * kept beside them in memory is built lazily and lost with the mapping.  A slot of
 * the log keeps some free blocks of each size, so that its transactions allocate and
 * free without a lock.  Blocks become allocated in the file when their transaction
 * commits, and free for others when its slot is durably idle.
 */
#ifndef VI_HEAP_HEAP_H
#define VI_HEAP_HEAP_H

#include "core/log.h"
#include "heap/heap_area.h"

struct vi_heap;

/* Reads next to nothing.  NULL with ENOMEM. */
struct vi_heap *vi_heap_open(const struct vi_heap_area *area);
/* A sparse heap gives the disk blocks of all that is free back; slots below `slots` have been used,
 * and no transaction is open. */
void vi_heap_trim(struct vi_heap *heap, uint32_t slots);
void vi_heap_close(struct vi_heap *heap);

/* The data has become larger. */
void vi_heap_grow(struct vi_heap *heap, uint64_t size);

/* The data is to be cut to `size`; no transaction is open: ends spans above that hold
 * nothing, durably.  EBUSY when there is a block, EBADMSG. */
int vi_heap_cut(struct vi_heap *heap, uint64_t size);

/* As vista_malloc and vista_free, in the transaction that has `log`. */
void *vi_heap_malloc(struct vi_heap *heap, struct vi_log *log, size_t size);
int vi_heap_free(struct vi_heap *heap, struct vi_log *log, const void *address);
/* Makes the large block at `address`, which is live or of the transaction that has `log`, at least
 * `size` bytes long where it lies.  False, errno 0: what is behind it is not free. */
bool vi_heap_extend(struct vi_heap *heap, struct vi_log *log, const void *address, size_t size);
/* Is nothing behind the large block at `address`, up to the end of the data? */
bool vi_heap_is_last(struct vi_heap *heap, const void *address);
/* Has the block that begins at `address` become longer in this mapping?  A block that grows again
 * is likely to go on. */
bool vi_heap_has_grown(struct vi_heap *heap, const void *address);
void vi_heap_note_growth(struct vi_heap *heap, const void *address);
/* The same, also of the root. */
int vi_heap_free_any(struct vi_heap *heap, struct vi_log *log, const void *address);

/* Bytes of the block that starts at `address`, live or of an open transaction; 0
 * with EINVAL if there is none, it is being freed, or (unless `log` is NULL) it
 * belongs to another transaction than that of `log`. */
size_t vi_heap_usable_size(struct vi_heap *heap, const struct vi_log *log, const void *address);

struct vi_root vi_heap_root(const struct vi_heap *heap);
bool vi_heap_is_root(const struct vi_heap *heap, const void *address);
int vi_heap_set_root(struct vi_heap *heap, struct vi_log *log, struct vi_root root);

#endif

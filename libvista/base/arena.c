/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A bump allocator over mapped blocks.  How much of a block is used is kept in the
 * block itself and `current` is but a hint: where it is rolled back to an older
 * block, that block is found full and the next one mapped.  There is no lock, so
 * that none can be left held in a forked child.
 */
#include "base/arena.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/locked.h"

#define LINE ((size_t)64)
#define BLOCK_SIZE ((size_t)256 << 10)
#define LARGE (BLOCK_SIZE / 4) /* from here on a mapping of its own: at most a quarter is lost */

struct block {
    atomic_size_t used; /* bytes, this header's line included; over BLOCK_SIZE: full */
};

static _Atomic(struct block *) current;

void *vi_reserve(size_t size)
{
    const int protection = PROT_READ | PROT_WRITE;
    const bool locked = size > BLOCK_SIZE && vi_memory_is_locked();
    void *address = mmap(NULL, size, locked ? PROT_NONE : protection,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (address == MAP_FAILED)
        return vi_fail(ENOMEM, "no memory: cannot map %zu bytes", size), NULL;
    if (locked && vi_memory_unlock(address, size, protection) != 0) {
        munmap(address, size);
        return vi_fail(ENOMEM, "no memory: cannot unlock %zu bytes", size), NULL;
    }
    return address;
}

void vi_release(void *address, size_t size)
{
    if (address != NULL)
        munmap(address, size);
}

void *vi_arena_alloc(size_t size)
{
    struct block *full = atomic_load(&current), *fresh;

    if (size >= LARGE)
        return vi_reserve(size);
    size = size == 0 ? LINE : (size + LINE - 1) & ~(LINE - 1);
    if (full != NULL) {
        size_t at = atomic_fetch_add(&full->used, size);

        if (at <= BLOCK_SIZE - size)
            return (char *)full + at;
    }
    fresh = vi_reserve(BLOCK_SIZE);
    if (fresh == NULL)
        return NULL;
    atomic_init(&fresh->used, LINE + size);
    /* Should another thread have been first, this block serves one allocation only. */
    atomic_compare_exchange_strong(&current, &full, fresh);
    return (char *)fresh + LINE;
}

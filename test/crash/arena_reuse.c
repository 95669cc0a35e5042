/* SPDX-License-Identifier: BSD-3-Clause
 *
 * In place of libvista/base/arena.c, whose mappings would take more time than the
 * recovery of a state: what was released is kept by size and given out again.
 */
#include "base/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALLEST 8 /* the logarithm of sizes that are kept */
#define LARGEST 15

struct kept {
    struct kept *next;
};
static struct kept *kept[LARGEST + 1];

static unsigned class_of(size_t size)
{
    unsigned class = SMALLEST;

    while ((size_t)1 << class < size)
        class ++;
    return class;
}

void *vi_reserve(size_t size)
{
    const unsigned class = class_of(size);
    struct kept *block;
    void *mapped;

    if (class > LARGEST) {
        mapped = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return mapped != MAP_FAILED ? mapped : NULL;
    }
    block = kept[class];
    if (block == NULL)
        block = aligned_alloc(64, (size_t)1 << class);
    else
        kept[class] = block->next;
    return block != NULL ? memset(block, 0, size) : NULL;
}

void vi_release(void *address, size_t size)
{
    const unsigned class = class_of(size);
    struct kept *block = address;

    if (class > LARGEST) {
        munmap(address, size);
    } else if (block != NULL) {
        block->next = kept[class];
        kept[class] = block;
    }
}

void *vi_arena_alloc(size_t size)
{
    void *got = aligned_alloc(64, (size + 63) & ~(size_t)63);

    return got != NULL ? memset(got, 0, size) : NULL;
}

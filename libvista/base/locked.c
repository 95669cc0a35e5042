/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Locked memory: see locked.h.
 */
#include "base/locked.h"

#include <sys/mman.h>

#define PAGE ((size_t)4096)

bool vi_memory_is_locked(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char there = 0;

    if (page == MAP_FAILED)
        return false;
    if (mincore(page, PAGE, &there) != 0)
        there = 0;
    munmap(page, PAGE);
    return there & 1;
}

int vi_memory_unlock(void *address, size_t size, int protection)
{
    return munlock(address, size) != 0 || mprotect(address, size, protection) != 0 ? -1 : 0;
}

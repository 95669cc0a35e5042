/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Page protection: a store to a protected page of a segment's data comes as a
 * signal to the thread that made it.  Two ways, by what the kernel and the file
 * system have:
 *
 *   userfaultfd  tmpfs: write protection in the page tables; SIGBUS
 *   mprotect     everywhere: SIGSEGV; neighbours that differ are mappings of their
 *                own, of which there is a limit (vm.max_map_count): ENOMEM
 */
#ifndef VI_RANGES_PROTECT_H
#define VI_RANGES_PROTECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vi_protect {
    unsigned char *base;
    int fd;            /* of userfaultfd; -1: by mprotect */
    uint64_t *open;    /* a bit for each page, and one more */
    uint32_t *touched; /* the pages whose bit is set */
    uint64_t count;    /* of them */
};

/* Nothing is protected yet. */
void vi_protect_open(struct vi_protect *protect, unsigned char *base, size_t size,
                     bool by_mprotect);
void vi_protect_close(struct vi_protect *protect);

/* Opens pages to stores, or protects them.  -1 with errno.  Signal handlers may
 * call it. */
int vi_protect_set(const struct vi_protect *protect, uint64_t page, uint64_t count, bool writable);

static inline bool vi_is_open(const struct vi_protect *protect, uint64_t page)
{
    return protect->open[page / 64] >> page % 64 & 1;
}

/* Notes that closed pages have been opened. */
void vi_protect_set_open(struct vi_protect *protect, uint64_t page, uint64_t end);

/* The kernel refuses more mappings: finds a run of closed pages that needs none, with
 * `*page` to `*end` in it.  It reaches to an open page, or is all `pages`. */
void vi_protect_widen(const struct vi_protect *protect, uint64_t pages, uint64_t *page,
                      uint64_t *end);

/* Protects again what was touched.  -1: not all of it; it counts as closed all the same.
 * `others`: there are open pages beside it, whose bits are not set, and which are left open. */
int vi_protect_again(struct vi_protect *protect, bool others);

#endif

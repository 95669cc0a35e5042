/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The file under the peers that bring no library: mapped shared, blocks allocated,
 * always at one address, so that pointers may be stored; and a heap of the
 * simplest kind: free lists by size over a part not yet used.
 */
#ifndef BENCH_MAP_TIME_H
#define BENCH_MAP_TIME_H

#include <stddef.h>
#include <stdint.h>

#include "bench.h"

#define MAPPING_HEADER (2u << 20) /* data begins at a huge page's boundary */

struct mapping {
    void *base;
    size_t size;
};

/* Creates the file of session->path with `size` bytes and maps it, or maps the one
 * that is there. */
struct mapping mapping_open(const struct session *session, size_t size);
void mapping_close(struct mapping *mapping);

/* Blocks up to 1 KiB, in steps of 16 bytes, go to a list of their size when freed;
 * larger ones are not used again. */
#define POOL_LISTS 65

#define POOL_MAGIC 0x6c6f6f7068636e62u

struct pool {
    uint64_t magic; /* stored last: the file counts as made */
    uint64_t next;  /* offset of what was never used */
    uint64_t end;
    uint64_t root;
    uint64_t lists[POOL_LISTS]; /* offsets; 0: empty */
};

void mapping_check(const struct pool *pool);

/* Makes the pool of a file just made; of one made before nothing is changed. */
void mapping_start(const struct mapping *mapping, struct pool *pool);

static inline size_t pool_round(size_t size)
{
    return (size + 15) & ~(size_t)15;
}

#endif

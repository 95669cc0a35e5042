/* SPDX-License-Identifier: BSD-3-Clause
 *
 * How stores are made to last: the only place that flushes or fences.  Above it
 * the library says flush and fence in every class; in the kill-safe class they do
 * nothing.  The operations are a table so that a test can put a simulated memory
 * behind the whole library.
 */
#ifndef VI_MEDIA_PERSIST_H
#define VI_MEDIA_PERSIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vista.h"

struct vi_persist_ops {
    /* Starts writing back the lines of a range; it is durable after this thread's
     * next fence. */
    void (*flush)(const void *address, size_t length);
    void (*fence)(void);
    /* Stores whole lines, or a word, durable after this thread's next fence; until then in any
     * order.  For what is not read soon: it may bypass the caches. */
    void (*write)(uint64_t *to, const uint64_t *from, size_t length);
    /* What was stored to the file so far is durable on return; -1 with errno. */
    int (*sync)(int fd);
};

struct vi_persist {
    struct vi_persist_ops ops;
    enum vista_class class;
    bool flushes; /* false: flush and fence are not called */
};

/* Are cache lines flushed in this class, and undo records checked? */
static inline bool vi_class_flushes(enum vista_class class)
{
    return class == VISTA_CLASS_LINE || class == VISTA_CLASS_EADR;
}

/* Fills in the operations of a class. */
void vi_persist_init(struct vi_persist *persist, enum vista_class class);

/* For tests: takes the place of every class's operations in segments mapped from
 * now on (NULL: none); flush and fence are then called in the flushing classes,
 * sync in all. */
extern const struct vi_persist_ops *vi_persist_test_ops;

/* The lines are not in the caches any more: what was read and will be written past them. */
void vi_persist_evict(const void *address, size_t length);

static inline void vi_flush(const struct vi_persist *persist, const void *address, size_t length)
{
    if (persist->flushes)
        persist->ops.flush(address, length);
}

static inline void vi_fence(const struct vi_persist *persist)
{
    if (persist->flushes)
        persist->ops.fence();
}

static inline void vi_flush_fence(const struct vi_persist *persist, const void *address,
                                  size_t length)
{
    vi_flush(persist, address, length);
    vi_fence(persist);
}

/* The class that this process forces: by `option` (of vista_init), else by
 * VISTA_CLASS or PMEM_IS_PMEM_FORCE; VISTA_CLASS_PROBE if none.  `forced` as in
 * struct vista_info.  -1 with EINVAL when VISTA_CLASS is none of its values. */
int vi_persist_forced(enum vista_class option, enum vista_class *class, unsigned *forced);

/* The class that a mapping gives. `map_sync`: MAP_SYNC was granted.
 * PMEM_NO_FLUSH=1 makes it kill-safe. */
enum vista_class vi_persist_probe(bool map_sync);

#endif

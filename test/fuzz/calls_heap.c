/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The heap's calls: blocks in home and in members, the root, the walk.  See calls.h.
 */
#include <string.h>

#include "base/watch.h"
#include "calls.h"

/* ---- Blocks ------------------------------------------------------------ */

/* In home; or `in` a segment. */
void allocate(struct input *input, int act, struct seg *in, bool zeroed)
{
    const unsigned which = (unsigned)take(input, 1) % BLOCKS;
    const size_t length = some_length(input) + vi_watched * 3, /* no byte of none may be used */
        size = zeroed ? length / 3 * 3 : length;
    struct seg *s = in != NULL ? in : acts[act].log;
    vista_tx *tx = acts[act].tx;
    unsigned char *block;

    if (blocks[which].live)
        return;
    expect();
    block = in != NULL ? vista_malloc_in(tx, in->handle, size)
            : zeroed   ? vista_calloc(tx, size / 3, 3)
                       : vista_malloc(tx, size);
    if (block == NULL) {
        no_block(&acts[act], s, size);
        return;
    }
    HOLDS(s->log == acts[act].log, "a block of another group");
    given(act, which, s, block, size);
    if (zeroed) {
        for (size_t i = 0; i < size; i++)
            HOLDS(block[i] == 0, "calloc zeroes");
        memset(s->now + (block - s->base), 0, size);
        memset(s->known + (block - s->base), 0xff, size);
    }
    store(s, (size_t)(block - s->base) + size / 2, size - size / 2);
}

/* Others' bytes in it. */
static bool is_shared(int act, const struct block *b)
{
    for (size_t i = b->at; i < (size_t)b->at + b->size; i++)
        if (b->in->owner[i] != NO_ONE && b->in->owner[i] != act)
            return true;
    return false;
}

void reallocate(struct input *input, int act)
{
    const unsigned which = (unsigned)take(input, 1) % BLOCKS,
                   fresh = (unsigned)take(input, 1) % BLOCKS;
    const size_t size = some_length(input) + 1;
    struct block *b = &blocks[which];
    unsigned char *block;
    struct seg *s = b->in;
    size_t kept, at = b->at;

    if (!b->live || b->freed_by != NO_ONE || blocks[fresh].live || !is_there(s) ||
        s->log != acts[act].log)
        return;
    if (is_shared(act, b)) /* its contents are not ours to copy */
        return;
    expect();
    block = vista_realloc(acts[act].tx, s->base + at, size);
    if (block == NULL) {
        no_block(&acts[act], s, size);
        return;
    }
    if (block == s->base + at) { /* the old bytes are as before; new ones are not ours yet */
        const size_t before = b->size;

        if (b->by == act) {
            if (size > before) {
                memset(s->owner + at + before, act, size - before);
                memset(s->known + at + before, 0, size - before);
            }
            b->size = (uint32_t)(size > before ? size : before);
        }
        return;
    }
    kept = size < b->size ? size : b->size;
    given(act, fresh, s, block, size);
    memcpy(s->now + (block - s->base), s->now + at, kept);
    memcpy(s->known + (block - s->base), s->known + at, kept);
    freed(act, b);
}

void release(struct input *input, int act)
{
    struct block *b = &blocks[take(input, 1) % BLOCKS];
    const bool ours = b->live && b->in->log == acts[act].log && b->freed_by == NO_ONE &&
                      (b->by == NO_ONE || b->by == act);

    if (b->size == 0 || !is_there(b->in))
        return;
    if (ours && is_shared(act, b)) /* the program's error */
        return;
    if (!b->live) /* it may have become part of another one */
        for (unsigned i = 0; i < BLOCKS; i++)
            if (blocks[i].live && blocks[i].in == b->in && blocks[i].at == b->at)
                return;
    if (!b->live && b->in->root_size != 0 && b->at == b->in->root)
        return;
    expect();
    if (vista_free(acts[act].tx, b->in->base + b->at) != 0) {
        REFUSED("vista_free", EINVAL, ENOSPC, ENOMEM, EIO, ENOTSUP);
        HOLDS(errno != ENOTSUP || (acts[act].log->flat && b->in->log != acts[act].log),
              "there is a heap");
        HOLDS(!ours || (errno != EINVAL && fault_hits() != 0), "vista_free failed for no reason");
        compare("vista_free failed");
        return;
    }
    HOLDS(ours, "a block that is not there, or not ours to free, was freed");
    freed(act, b);
}

void release_wrong(struct input *input, int act, struct seg *s)
{
    unsigned char *at = s->base + take(input, 3) - 64;
    const bool flat = s->log == acts[act].log && at >= s->base && at < s->base + s->size
                          ? s->flat
                          : acts[act].log->flat;

    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].live && is_there(blocks[i].in) && blocks[i].in->base + blocks[i].at == at)
            return;
    expect();
    HOLDS(vista_free(acts[act].tx, at) == -1, "%p is no block, and was freed", (void *)at);
    HOLDS(errno == (flat ? ENOTSUP : EINVAL), "vista_free of no block");
    HOLDS(vista_usable_size(s->handle, at) == 0 || (s->root_size != 0 && at == s->base + s->root),
          "the size of no block");
}

/* ---- The root and the walk --------------------------------------------- */

/* It is larger than it was, here or elsewhere. */
static void root_grew(struct seg *s, size_t at, size_t size)
{
    const size_t was = s->root, old = s->root_size;

    s->root = (uint32_t)at;
    if (old == 0 || at != was) {
        for (unsigned i = 0; i < BLOCKS; i++)
            HOLDS(!blocks[i].live || blocks[i].in != s || at + size <= blocks[i].at ||
                      blocks[i].at + blocks[i].size <= at,
                  "the root over a block");
        HOLDS(old == 0 || at + size <= was || was + old <= at, "the root over the old");
        memcpy(s->now + at, s->now + was, old);
        memcpy(s->known + at, s->known + was, old);
        if (old != 0)
            unknown(s, was, old);
    }
    memset(s->now + at + old, 0, size - old);
    memset(s->known + at + old, 0xff, size - old);
    s->root_size = (uint32_t)size;
}

void root(struct input *input, struct seg *s)
{
    const size_t size = some_length(input) % (40 * KIB), old = s->root_size;
    const bool busy = s->log->watch != 0 && open_count(s) != 0;
    unsigned char *at;

    if (size > old && busy && s->log->watch == VISTA_CHECK_RANGES)
        return;     /* it would wait */
    if (size > old) /* it must not meet ranges that others have declared there */
        for (size_t i = s->root; i < s->root + old; i++)
            if (s->owner[i] != NO_ONE)
                return;
    expect();
    at = vista_root(s->handle, size);
    look_at_size(s);
    if (at == NULL) {
        REFUSED("vista_root", ENOENT, EBUSY, EROFS, ENOMEM, ENOSPC, ENOTSUP, EAGAIN, EIO, EFBIG);
        HOLDS((errno == ENOTSUP) == s->flat, "the root of a flat segment");
        HOLDS(errno != ENOENT || (old == 0 && size == 0), "there is a root");
        HOLDS(errno != EBUSY || (open_count(s) != 0 && old != 0) || busy,
              "it would not have to move");
        HOLDS(errno != EROFS || s->read_only, "mapped for writing");
        HOLDS(s->flat || size > old || size + old == 0, "vista_root failed for no reason");
        return;
    }
    HOLDS(old != 0 || size != 0, "a root of no size");
    if (size > old)
        root_grew(s, (size_t)(at - s->base), size);
    HOLDS(at == s->base + s->root, "the root has moved");
    compare("the root");
}

static unsigned visited;

static int visit(void *context, void *address, size_t size)
{
    const struct seg *s = context;
    const size_t at = (size_t)((unsigned char *)address - s->base);

    visited++;
    if (s->root_size != 0 && at == s->root && size >= s->root_size)
        return 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].live && blocks[i].in == s && blocks[i].by == NO_ONE && blocks[i].at == at &&
            blocks[i].size <= size)
            return 0;
    HOLDS(false, "the walk meets %zu bytes at %zu, which are no block", size, at);
}

void walk(struct seg *s)
{
    int result;

    visited = 0;
    expect();
    result = vista_heap_walk(s->handle, visit, s);
    if (s->flat) {
        HOLDS(result == -1 && errno == ENOTSUP, "a walk through no heap");
        return;
    }
    HOLDS(result == 0 && visited == committed_blocks(s), "the walk met %u blocks of %llu", visited,
          (unsigned long long)committed_blocks(s));
}

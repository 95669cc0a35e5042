/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Exact comparison of a segment with the models: every byte of the root, every
 * block, and no block besides.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/segment.h"
#include "guest.h"

/* The first byte that differs, or -1. */
static long difference(const unsigned char *found, const unsigned char *expected, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (found[i] != expected[i])
            return (long)i;
    return -1;
}

static void compare(const char *what, const void *found, uint64_t length, uint64_t tag)
{
    static unsigned char expected[VM_BLOCK_MAX];
    long at;

    vm_fill(expected, length, tag);
    at = difference(found, expected, length);
    if (at >= 0)
        vm_fail("%s: byte %ld of %llu is %02x, should be %02x", what, at,
                (unsigned long long)length, ((const unsigned char *)found)[at], expected[at]);
}

/* ---- Blocks ------------------------------------------------------------ */

static uint64_t count_marks(const uint8_t *marks, uint64_t count)
{
    uint64_t allocated = 0;

    while (count-- > 0)
        allocated += *marks++ == VI_MARK_ALLOCATED;
    return allocated;
}

/* Blocks that are allocated as stored; no transaction is open. */
static uint64_t live_blocks(vista_segment *handle)
{
    const struct vi_segment *segment = (const struct vi_segment *)handle;
    const struct vi_superblock *s = &segment->superblock;
    const unsigned char *meta = segment->map.meta + s->heap_offset + VI_PAGE;
    const uint64_t *descriptors = (const uint64_t *)meta;
    const uint8_t *marks = (const uint8_t *)(descriptors + vi_superblock_units(s));
    uint64_t live = 0;

    for (uint64_t unit = 0; unit < s->size / VI_UNIT; unit++)
        if (descriptors[unit] != 0)
            live += count_marks(marks + unit * VI_MARKS_PER_UNIT,
                                VI_SPAN_UNITS(descriptors[unit]) * VI_MARKS_PER_UNIT);
    return live;
}

static void check_apart(const struct iovec *blocks, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < i; j++) {
            const char *a = blocks[i].iov_base, *b = blocks[j].iov_base;

            if (a < b + blocks[j].iov_len && b < a + blocks[i].iov_len)
                vm_fail("blocks at %p and %p overlap", (const void *)a, (const void *)b);
        }
}

static void check_block(vista_segment *segment, const char *name, void *block,
                        const struct vm_slot *slot)
{
    const size_t usable = vista_usable_size(segment, block);

    if (usable < slot->size)
        vm_fail("%s at %p: %llu bytes, but %zu are usable", name, block,
                (unsigned long long)slot->size, usable);
    if ((uintptr_t)block % 16 != 0)
        vm_fail("%s at %p is not aligned", name, block);
    compare(name, block, slot->size, slot->tag);
}

/* ---- Streams ----------------------------------------------------------- */

/* Adds the stream's blocks to `blocks`. */
static unsigned check_stream(vista_segment *segment, const struct vm_stream *stream,
                             const struct vm_model *model, struct iovec *blocks)
{
    const long at = difference(stream->area, model->area, VM_AREA);
    unsigned count = 0;
    char name[80];

    if (at >= 0)
        vm_fail("stream %u after %llu commits: byte %ld of the area is %02x, should be %02x",
                model->stream, (unsigned long long)model->count, at, stream->area[at],
                model->area[at]);
    for (unsigned i = 0; i < VM_SLOTS; i++) {
        const struct vm_slot *slot = &model->slots[i];

        snprintf(name, sizeof name, "stream %u after %llu commits: block %u", model->stream,
                 (unsigned long long)model->count, i);
        if ((stream->blocks[i] != NULL) != (slot->size != 0))
            vm_fail("%s is %p, should have %llu bytes", name, stream->blocks[i],
                    (unsigned long long)slot->size);
        if (slot->size == 0)
            continue;
        check_block(segment, name, stream->blocks[i], slot);
        blocks[count++] = (struct iovec){stream->blocks[i], slot->size};
    }
    return count;
}

static void check_count(unsigned stream, uint64_t count, uint64_t acked, unsigned in_flight)
{
    if (count < acked)
        vm_fail("stream %u: %llu commits were acknowledged, %llu are there: LOST", stream,
                (unsigned long long)acked, (unsigned long long)count);
    if (count > acked + in_flight)
        vm_fail("stream %u: %llu commits were acknowledged, %llu are there", stream,
                (unsigned long long)acked, (unsigned long long)count);
}

void vm_verify(vista_segment *segment, uint64_t seed, const uint64_t acked[VM_STREAMS],
               unsigned in_flight, struct vm_model models[VM_STREAMS])
{
    struct iovec blocks[1 + VM_STREAMS * VM_SLOTS];
    struct vm_root *root = vm_work_root(segment);
    unsigned count = 1;
    uint64_t live;

    if (root->magic != VM_MAGIC || root->seed != seed)
        vm_fail("the root is not the one that was made");
    compare("the scratch area", root->scratch, sizeof root->scratch, seed);
    blocks[0] = (struct iovec){root, sizeof *root};
    for (unsigned i = 0; i < VM_STREAMS; i++) {
        check_count(i, root->streams[i].count, acked[i], in_flight);
        vm_model_start(&models[i], seed, i);
        vm_model_advance(&models[i], root->streams[i].count);
        count += check_stream(segment, &root->streams[i], &models[i], blocks + count);
    }
    check_apart(blocks, count);
    live = live_blocks(segment);
    if (live != count)
        vm_fail("%llu blocks are allocated, should be %u", (unsigned long long)live, count);
}

void vm_verify_new(vista_segment *segment, uint64_t seed, struct vm_model models[VM_STREAMS])
{
    static const uint64_t none[VM_STREAMS];
    const struct vm_root *root = vista_root(segment, 0);
    const unsigned char *bytes = (const unsigned char *)root;
    const uint64_t live = live_blocks(segment);

    if (root != NULL && root->magic != 0) {
        vm_verify(segment, seed, none, 0, models);
        return;
    }
    if (root == NULL && errno != ENOENT)
        vm_fail_call("vista_root");
    if (live != (root != NULL))
        vm_fail("%llu blocks are allocated, %s root", (unsigned long long)live,
                root != NULL ? "besides the" : "without a");
    for (size_t i = 0; root != NULL && i < sizeof *root; i++)
        if (bytes[i] != 0)
            vm_fail("byte %zu of the new root is %02x, should be 0", i, bytes[i]);
}

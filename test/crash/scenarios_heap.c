/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Scenarios of segments with a heap.  Where spans are to be made, emptied or used up,
 * blocks are large for the small heap.
 */
#include "program.h"
#include "scenarios.h"

#define SIZE ((size_t)64 << 10)
#define KEPT 12

static size_t kept[KEPT]; /* committed blocks */
static int kept_count;

static size_t some_size(void)
{
    return maybe(70) ? pick(1, 200) : maybe(70) ? pick(200, 1500) : pick(4097, 12000);
}

static void end(int act)
{
    if (maybe(75))
        commit(act);
    else
        roll_back(act);
}

/* A heap with some blocks in it, before anything is explored. */
static void fresh_heap(int blocks, size_t size)
{
    fresh_segment(HEAP, SIZE);
    kept_count = 0;
    begin(0);
    for (int i = 0; i < blocks; i++) {
        const size_t block = allocate(0, size != 0 ? size : some_size());

        if (block != NOWHERE)
            kept[kept_count++] = block;
    }
    commit(0);
    explore();
}

static size_t take_kept(void)
{
    const int i = (int)pick(0, (uint64_t)kept_count - 1);
    const size_t block = kept[i];

    kept[i] = kept[--kept_count];
    return block;
}

static void allocate_some(void)
{
    for (int i = 0; i < 3; i++) {
        begin(0);
        for (int j = (int)pick(1, 3); j > 0; j--)
            allocate(0, some_size());
        end(0);
    }
    leave_segment();
}

static void malloc_some(void)
{
    fresh_heap((int)pick(0, 3), 0);
    allocate_some();
}

/* The same where the heap's disk blocks come with use. */
static void malloc_sparse(void)
{
    fresh_segment(SPARSE_HEAP, SIZE);
    explore();
    allocate_some();
}

/* Nothing is declared: no fence but the commit's makes the record durable. */
static void malloc_alone(void)
{
    fresh_heap(1, 64);
    for (int i = 0; i < 4; i++) {
        begin(0);
        if (maybe(50))
            allocate_plain(0, pick(1, 64));
        else
            allocate(0, pick(1, 64));
        end(0);
    }
    leave_segment();
}

static void free_some(void)
{
    fresh_heap(7, 0);
    for (int i = 0; i < 3 && kept_count > 2; i++) {
        const size_t block = take_kept();

        begin(0);
        if (maybe(30)) /* what is freed was changed before */
            change(0, block, 8);
        release(0, block);
        if (maybe(50))
            release(0, take_kept());
        if (maybe(50))
            change(0, kept[0], 8);
        commit(0);
    }
    leave_segment();
}

static void realloc_some(void)
{
    fresh_heap(3, 0);
    for (int i = 0; i < 2 && kept_count > 0; i++) {
        size_t block = take_kept();

        begin(0);
        block = reallocate(0, block, some_size());
        if (maybe(40))
            reallocate(0, block, some_size());
        end(0);
        kept_count = 0;
    }
    leave_segment();
}

/* A large block grows where it lies, and what it grew by is filled without being declared. */
static void extend_large(void)
{
    size_t size = 3 * 4096;

    fresh_heap(1, size);
    for (int i = 0; i < 3; i++) {
        const size_t more = size + pick(1, 2) * 4096;

        begin(0);
        kept[0] = reallocate(0, kept[0], more);
        store(kept[0] + size, 40);
        store(kept[0] + more - 40, 40);
        if (maybe(50))
            change(0, kept[0] + size - 8, 16);
        if (maybe(70)) {
            commit(0);
            size = more;
        } else { /* it stays longer, and what it has there is nobody's */
            roll_back(0);
            break;
        }
    }
    leave_segment();
}

/* The last block of a sparse heap is freed: its disk blocks go back, then come again. */
static void emptied(void)
{
    fresh_segment(SPARSE_HEAP, SIZE);
    explore();
    for (int i = 0; i < 3; i++) {
        size_t block;

        begin(0);
        block = allocate(0, some_size());
        end(0);
        if (model.blocks[block / GRANULE / 64] >> block / GRANULE % 64 & 1) {
            begin(0);
            release(0, block);
            end(0);
        }
    }
    leave_segment();
}

static void malloc_and_free(void)
{
    fresh_heap(6, 0);
    for (int i = 0; i < 3 && kept_count > 1; i++) {
        begin(0);
        release(0, take_kept());
        allocate(0, some_size());
        if (maybe(50))
            release(0, take_kept());
        change(0, kept_count > 0 ? kept[0] : allocate(0, 64), 4);
        commit(0);
    }
    leave_segment();
}

static void abort_heap(void)
{
    fresh_heap(5, 0);
    for (int i = 0; i < 3; i++) {
        begin(0);
        allocate(0, some_size());
        release(0, kept[i]);
        change(0, kept[4], 8);
        roll_back(0);
    }
    begin(0);
    allocate(0, some_size());
    release(0, kept[0]);
    commit(0);
    leave_segment();
}

/* One block allocated, freed and allocated again, in one transaction. */
static void alloc_free_alloc(void)
{
    const size_t size = maybe(70) ? pick(1, 300) : pick(4097, 9000);

    fresh_heap(2, size);
    for (int i = 0; i < 2; i++) {
        size_t block;

        begin(0);
        block = allocate(0, size);
        release(0, block);
        block = allocate(0, size);
        if (maybe(50))
            release(0, block);
        if (maybe(30))
            allocate(0, size);
        if (maybe(50))
            release(0, take_kept());
        end(0);
        if (kept_count < 1)
            break;
    }
    leave_segment();
}

/* What an aborted transaction had is used by the next, and filled. */
static void reuse_after_abort(void)
{
    const size_t size = maybe(70) ? pick(1, 300) : pick(4097, 9000);

    fresh_heap(1, size);
    for (int i = 0; i < 3; i++) {
        begin(0);
        allocate(0, size);
        roll_back(0);
        begin(0);
        allocate(0, size);
        end(0);
    }
    leave_segment();
}

/* ---- Several threads --------------------------------------------------- */

static size_t shared_size;

static void free_and_change(void)
{
    while (kept_count > 1) {
        begin(0);
        release(0, take_kept());
        if (maybe(50))
            release(0, take_kept());
        if (maybe(80))
            commit(0);
        else
            roll_back(0);
    }
}

static void allocate_and_fill(int act)
{
    for (int i = 0; i < 4; i++) {
        begin(act);
        for (int j = (int)pick(1, 2); j > 0; j--)
            allocate(act, shared_size);
        end(act);
    }
}

static void allocate_on_1(void)
{
    allocate_and_fill(1);
}

static void allocate_on_2(void)
{
    allocate_and_fill(2);
}

/* Freed by one thread, wanted by another before the first's slot is durably idle. */
static void freed_reused(void)
{
    static const size_t sizes[] = {64, 500, 4000, 8192, 12288, 20480};

    shared_size = sizes[pick(0, 5)];
    fresh_heap(KEPT, shared_size);
    together((void (*const[])(void)){free_and_change, allocate_on_1}, 2);
    leave_segment();
}

static void three_heaps(void)
{
    shared_size = maybe(50) ? pick(1, 2000) : pick(4097, 9000);
    fresh_heap(6, shared_size);
    together((void (*const[])(void)){free_and_change, allocate_on_1, allocate_on_2}, 3);
    leave_segment();
}

/* Slots that have no span of their own, in a full heap, take from the same one. */
static void last_span(void)
{
    fresh_segment(HEAP, SIZE);
    shared_size = 64;
    begin(0);
    allocate_plain(0, shared_size);
    for (size_t size = SIZE; size >= 4096; size /= 2)
        while (allocate_plain(0, size) != NOWHERE)
            continue;
    commit(0);
    explore();
    together((void (*const[])(void)){allocate_on_1, allocate_on_2}, 2);
    leave_segment();
}

/*
 * A span's blocks are pending in one transaction while another looks for units of
 * another class: in a full heap it may be given only those of a span that is empty.
 */
static void fill_with_other_class(void)
{
    for (int i = 0; i < 4; i++) {
        begin(1);
        for (int j = 0; j < 3; j++)
            if (allocate(1, shared_size == 1000 ? 16000 : 1000) == NOWHERE)
                break;
        end(1);
    }
}

static void reclassed_span(void)
{
    shared_size = maybe(50) ? 1000 : 8000;
    fresh_heap(shared_size == 1000 ? 10 : 6, shared_size);
    together((void (*const[])(void)){free_and_change, fill_with_other_class}, 2);
    leave_segment();
}

/*
 * A transaction has allocated and freed a block, which its slot keeps, and then finds no
 * room: what others are given must not be that block, which its log names.
 */
static void cancel_and_want_more(void)
{
    for (int i = 0; i < 3; i++) {
        size_t block;

        begin(1);
        block = allocate_plain(1, shared_size);
        if (block != NOWHERE)
            release(1, block);
        allocate_plain(1, SIZE - 4096);
        for (int j = (int)pick(1, 4); j > 0; j--) /* meanwhile */
            change(1, kept[0], 8);
        if (maybe(50))
            allocate(1, shared_size);
        end(1);
    }
}

static void cancelled_kept(void)
{
    shared_size = maybe(50) ? 16 : 200;
    fresh_heap(3, shared_size);
    together((void (*const[])(void)){cancel_and_want_more, allocate_on_2}, 2);
    leave_segment();
}

/* ---- The root ---------------------------------------------------------- */

static void root(void)
{
    size_t size = 0;

    fresh_heap((int)pick(0, 3), 0);
    for (int i = 0; i < 4; i++) {
        size += pick(1, i % 2 ? 3000 : 40);
        grow_root(size);
        if (maybe(50)) {
            begin(0);
            allocate(0, some_size());
            end(0);
        }
    }
    leave_segment();
}

const struct scenario heap_scenarios[] = {
    {"malloc", malloc_some, "vista_malloc", false},
    {"malloc-sparse", malloc_sparse, "allocations in a sparse heap", false},
    {"malloc-alone", malloc_alone, "a block and no range: its bit durable, its record not?", false},
    {"free", free_some, "vista_free: work deferred to after the commit", false},
    {"realloc", realloc_some, "vista_realloc", false},
    {"extended", extend_large, "a large block made longer where it lies", false},
    {"emptied", emptied, "a sparse heap gives its disk blocks back", false},
    {"malloc-and-free", malloc_and_free, "both in one transaction", false},
    {"abort-heap", abort_heap, "heap work aborted", false},
    {"alloc-free-alloc", alloc_free_alloc, "one block again and again in one transaction", false},
    {"reuse-after-abort", reuse_after_abort, "a block used again after an abort", false},
    {"freed-reused", freed_reused, "a freed block wanted before its slot is durably idle", false},
    {"three-heaps", three_heaps, "heap work on three threads", false},
    {"last-span", last_span, "two threads take from the only span that has room", false},
    {"reclassed-span", reclassed_span, "a span reclassed while it holds pending blocks", false},
    {"cancelled-kept", cancelled_kept, "a block freed by who allocated it, then no room", false},
    {"root", root, "vista_root made and grown, in place and moved", true},
    {NULL, NULL, NULL, false}};

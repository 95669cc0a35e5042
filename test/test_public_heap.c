/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The persistent heap as programs see it: allocation in transactions, the root,
 * what an abort, a crash and a new mapping leave of both, against a model of the
 * blocks that ought to be there.
 */
#include "support.h"

#include <stdlib.h>
#include <sys/resource.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static vista_segment *segment;
static const char *path;

static void make(size_t size, unsigned flags)
{
    path = test_path("heap");
    segment = vista_map(path, size, VISTA_CREATE | flags, NULL);
    SOME(segment);
}

static void set_up(void)
{
    make(MIB, 0);
}

static void tear_down(void)
{
    OK(vista_unmap(segment));
    test_sound(path);
}

static void reopen(void)
{
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
}

static vista_tx *begin(void)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    SOME(tx);
    return tx;
}

static bool inside(const void *block, size_t size)
{
    const uintptr_t at = (uintptr_t)block, base = (uintptr_t)vista_base(segment);

    return at >= base && at + size <= base + vista_size(segment);
}

static void *allocate(vista_tx *tx, size_t size)
{
    void *block = vista_malloc(tx, size);

    SOME(block);
    ck_assert_uint_eq((uintptr_t)block % 16, 0);
    ck_assert_uint_ge(vista_usable_size(segment, block), size);
    ck_assert(inside(block, vista_usable_size(segment, block)));
    return block;
}

/* The largest block that there is room for. */
static size_t largest(void)
{
    size_t low = 0, high = vista_size(segment) + 1;

    while (low + 1 < high) {
        const size_t middle = low + (high - low) / 2;
        vista_tx *tx = begin();

        if (vista_malloc(tx, middle) != NULL)
            low = middle;
        else
            high = middle;
        OK(vista_abort_transaction(tx));
    }
    return low;
}

/* ---- Blocks ------------------------------------------------------------ */

START_TEST(every_size)
{
    vista_tx *tx = begin();
    unsigned char *blocks[400];

    for (size_t i = 0; i < 400; i++) {
        blocks[i] = allocate(tx, i);
        memset(blocks[i], (int)i, i);
    }
    for (size_t i = 0; i < 400; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_eq(blocks[i][j], i & 0xff);
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 400);
    reopen();
    tx = begin();
    for (size_t i = 0; i < 400; i++) {
        for (size_t j = 0; j < i; j++)
            if (blocks[i][j] != (i & 0xff))
                ck_abort_msg("block of %zu bytes lost byte %zu", i, j);
        OK(vista_free(tx, blocks[i]));
    }
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 0);
}
END_TEST

START_TEST(usable_size_is_near)
{
    for (size_t size = 1; size < 200 * KIB; size = size * 9 / 8 + 1) {
        vista_tx *tx = begin();
        void *block = allocate(tx, size);
        const size_t usable = vista_usable_size(segment, block);

        /* A size class is an eighth apart from the next; whole pages serve, too. */
        ck_assert(usable <= size + size / 8 + 16 || usable < size + 4 * KIB);
        memset(block, 0xa5, usable);
        OK(vista_free(tx, block));
        OK(vista_end_transaction(tx, 0));
    }
    ck_assert_uint_eq(test_live_blocks(path), 0);
}
END_TEST

START_TEST(zeroed_blocks)
{
    static const size_t sizes[] = {1, 16, 100, 1000, 5000, 9000, 100000};
    vista_tx *tx;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        tx = begin();
        void *dirty = allocate(tx, sizes[i]);

        memset(dirty, 0xff, sizes[i]);
        OK(vista_end_transaction(tx, 0));
        tx = begin();
        OK(vista_free(tx, dirty));
        OK(vista_end_transaction(tx, 0));
        tx = begin();
        for (int j = 0; j < 3; j++) {
            const unsigned char *block = vista_calloc(tx, sizes[i], 1);

            SOME(block);
            for (size_t k = 0; k < sizes[i]; k++)
                if (block[k] != 0)
                    ck_abort_msg("calloc of %zu: byte %zu is %u", sizes[i], k, block[k]);
        }
        OK(vista_abort_transaction(tx));
    }
    tx = begin();
    SOME(vista_calloc(tx, 0, 8));
    NULLS(vista_calloc(tx, SIZE_MAX / 2, 3), ENOMEM, "");
    NULLS(vista_calloc(tx, SIZE_MAX, SIZE_MAX), ENOMEM, "");
    NULLS(vista_calloc(tx, (size_t)1 << 32, (size_t)1 << 32), ENOMEM, "");
    OK(vista_end_transaction(tx, 0));
}
END_TEST

START_TEST(reallocation)
{
    vista_tx *tx = begin();
    unsigned char *block = vista_realloc(tx, NULL, 100);

    SOME(block);
    memset(block, 7, 100);
    OK(vista_end_transaction(tx, 0));
    for (size_t size = 100; size < 300 * KIB; size = size * 3 / 2) {
        tx = begin();
        unsigned char *larger = vista_realloc(tx, block, size * 3 / 2);

        SOME(larger);
        for (size_t i = 0; i < size; i++)
            if (larger[i] != 7)
                ck_abort_msg("realloc to %zu lost byte %zu", size * 3 / 2, i);
        if (larger == block)
            OK(vista_set_range(tx, larger, size * 3 / 2));
        memset(larger, 7, size * 3 / 2);
        block = larger;
        OK(vista_end_transaction(tx, 0));
        ck_assert_uint_eq(test_live_blocks(path), 1);
    }
    tx = begin();
    NULLS(vista_realloc(tx, block, 100 * MIB), ENOMEM, "");
    ck_assert_uint_eq(block[0], 7);
    block = vista_realloc(tx, block, 10);
    SOME(block);
    for (size_t i = 0; i < 10; i++)
        ck_assert_uint_eq(block[i], 7);
    OK(vista_free(tx, block));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 0);
}
END_TEST

START_TEST(reallocation_aborted)
{
    vista_tx *tx = begin();
    unsigned char *block = allocate(tx, 500), *moved;

    memset(block, 3, 500);
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    moved = vista_realloc(tx, block, 50000);
    SOME(moved);
    memset(moved, 9, 50000);
    OK(vista_abort_transaction(tx));
    for (size_t i = 0; i < 500; i++)
        ck_assert_uint_eq(block[i], 3);
    ck_assert_uint_eq(vista_usable_size(segment, moved), 0);
    ck_assert_uint_eq(test_live_blocks(path), 1);
    tx = begin();
    OK(vista_free(tx, block));
    OK(vista_end_transaction(tx, 0));
}
END_TEST

/* ---- Frees and transactions -------------------------------------------- */

START_TEST(abort_gives_back)
{
    vista_tx *tx = begin();
    void *kept = allocate(tx, 64);

    OK(vista_end_transaction(tx, 0));
    tx = begin();
    void *small = allocate(tx, 64), *large = allocate(tx, 100 * KIB);

    OK(vista_free(tx, kept));
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(vista_usable_size(segment, small), 0);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_uint_eq(vista_usable_size(segment, large), 0);
    ck_assert_uint_ge(vista_usable_size(segment, kept), 64);
    ck_assert_uint_eq(test_live_blocks(path), 1);
    tx = begin();
    OK(vista_free(tx, kept));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 0);
}
END_TEST

/* Fills the heap with blocks of one size; returns how many. */
static size_t fill_up(vista_tx *tx, size_t size, void **blocks, size_t most)
{
    size_t count = 0;

    while (count < most && (blocks[count] = vista_malloc(tx, size)) != NULL)
        count++;
    if (count < most)
        ck_assert_int_eq(errno, ENOMEM);
    return count;
}

/* A freed block stays readable, and is no one's until the commit, whatever the size
 * that others look for. */
static void frees_wait(size_t size, size_t other_size)
{
    static void *blocks[70000];
    vista_tx *tx = begin(), *other;
    unsigned char *block = allocate(tx, size);

    memset(block, 0x42, size);
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    OK(vista_free(tx, block));
    other = begin();
    size_t count = fill_up(other, other_size, blocks, 70000);

    count += fill_up(tx, other_size, blocks + count, 70000 - count); /* nor does the freer */
    for (size_t i = 0; i < count; i++)
        memset(blocks[i], 0x11, other_size);
    for (size_t i = 0; i < size; i++)
        ck_assert_uint_eq(block[i], 0x42);
    OK(vista_end_transaction(tx, 0));
    OK(vista_end_transaction(other, 0));
    ck_assert_uint_eq(test_live_blocks(path), count);
    tx = begin();
    if (size == other_size)
        ck_assert_ptr_eq(vista_malloc(tx, size), block);
    OK(vista_abort_transaction(tx));
}

START_TEST(small_frees_wait)
{
    frees_wait(64, 64);
    set_up();
    frees_wait(64, 1000);
    set_up();
    frees_wait(64, 5000);
}
END_TEST

START_TEST(large_frees_wait)
{
    frees_wait(100 * KIB, 100 * KIB);
    set_up();
    frees_wait(100 * KIB, 64);
    set_up();
    frees_wait(100 * KIB, 5000);
}
END_TEST

/* What a transaction both allocated and freed only it may have again. */
static void own_blocks_come_back(size_t size)
{
    static void *blocks[70000];
    vista_tx *tx = begin(), *other = begin();
    void *block = allocate(tx, size);
    const size_t count = fill_up(tx, size, blocks, 70000);

    OK(vista_free(tx, block));
    NULLS(vista_malloc(other, size), ENOMEM, "");
    block = vista_malloc(tx, size);
    SOME(block);
    OK(vista_free(tx, block));
    FAILS(vista_free(tx, block), EINVAL, "");
    for (size_t i = 0; i < count; i++)
        OK(vista_free(tx, blocks[i]));
    OK(vista_end_transaction(tx, 0));
    OK(vista_end_transaction(other, 0));
    ck_assert_uint_eq(test_live_blocks(path), 0);
}

START_TEST(own_small_blocks_come_back)
{
    own_blocks_come_back(48);
}
END_TEST

/* Alloc, free, alloc, free, ... of one block in one transaction. */
static void back_and_forth(size_t size, int frees, bool commit)
{
    vista_tx *tx = begin();
    unsigned char *block = allocate(tx, size);

    for (int i = 0; i < frees; i++) {
        OK(vista_free(tx, block));
        block = allocate(tx, size);
    }
    memset(block, 0x77, size);
    if (commit)
        OK(vista_end_transaction(tx, 0));
    else
        OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(test_live_blocks(path), commit);
    reopen();
    if (!commit) {
        ck_assert_uint_eq(vista_usable_size(segment, block), 0);
        return;
    }
    for (size_t i = 0; i < size; i++)
        ck_assert_uint_eq(block[i], 0x77);
    tx = begin();
    OK(vista_free(tx, block));
    OK(vista_end_transaction(tx, 0));
}

START_TEST(alloc_free_alloc)
{
    static const size_t sizes[] = {16, 64, 1000, 8000, 20000, 200000};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int frees = 0; frees < 4; frees++)
            for (int commit = 0; commit < 2; commit++)
                back_and_forth(sizes[i], frees, commit);
}
END_TEST

START_TEST(frees_of_others_blocks)
{
    vista_tx *one = begin(), *two = begin();
    void *small = allocate(one, 64), *large = allocate(one, 64 * KIB), *old;

    FAILS(vista_free(two, small), EINVAL, "transaction");
    FAILS(vista_free(two, large), EINVAL, "transaction");
    NULLS(vista_realloc(two, small, 64), EINVAL, ""); /* nor resized, in place or not */
    NULLS(vista_realloc(two, small, 640), EINVAL, "");
    NULLS(vista_realloc(two, large, 64 * KIB), EINVAL, "");
    NULLS(vista_realloc(two, large, 90 * KIB), EINVAL, "");
    OK(vista_end_transaction(one, 0));
    one = begin();
    old = small;
    OK(vista_free(one, old));
    FAILS(vista_free(one, old), EINVAL, "free");
    FAILS(vista_free(two, old), EINVAL, "free");
    OK(vista_free(one, large));
    FAILS(vista_free(one, large), EINVAL, "free");
    FAILS(vista_free(two, large), EINVAL, "free");
    OK(vista_abort_transaction(one));
    OK(vista_free(two, old));
    OK(vista_free(two, large));
    OK(vista_free(two, NULL));
    OK(vista_end_transaction(two, 0));
    ck_assert_uint_eq(test_live_blocks(path), 0);
}
END_TEST

/* Two transactions take from spans of their own while there is room, so that threads do not
 * store to each other's cache lines; and from each other's when there is none. */
START_TEST(own_spans)
{
    static void *blocks[20000];
    vista_tx *both[2] = {begin(), begin()};
    const void *owner[256] = {0}; /* of each page */
    size_t count, freed = 0;

    for (int i = 0; i < 400; i++) {
        const unsigned char *block = allocate(both[i % 2], 64);
        const size_t page = (size_t)(block - (unsigned char *)vista_base(segment)) / 4096;

        ck_assert(owner[page] == NULL || owner[page] == both[i % 2]);
        owner[page] = both[i % 2];
    }
    OK(vista_end_transaction(both[0], 0));
    both[0] = begin();
    count = fill_up(both[0], 64, blocks, 20000);
    ck_assert_uint_gt(count, 15000);
    OK(vista_end_transaction(both[0], 0));
    both[0] = begin();
    for (size_t i = 0; i < count; i += 2, freed++)
        OK(vista_free(both[0], blocks[i]));
    OK(vista_end_transaction(both[0], 0));
    count = fill_up(both[1], 64, blocks, 20000);
    ck_assert_uint_ge(count, freed - 64); /* but for what the other's slot keeps */
    OK(vista_end_transaction(both[1], 0));
}
END_TEST

/* ---- Growing blocks ---------------------------------------------------- */

static void fill(unsigned char *block, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        block[i] = (unsigned char)(i / 4096 + i);
}

static void holds(const unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != (unsigned char)(i / 4096 + i))
            ck_abort_msg("a block of %zu bytes lost byte %zu", size, i);
}

/* Several blocks grow by turns, a step a transaction.  Returns the bytes copied in all. */
static size_t grow_by_turns(unsigned char **block, int count, size_t step, size_t to)
{
    size_t copied = 0;

    for (int i = 0; i < count; i++)
        block[i] = NULL;
    for (size_t size = step; size <= to; size += step)
        for (int i = 0; i < count; i++) {
            vista_tx *tx = begin();
            unsigned char *next = vista_realloc(tx, block[i], size);

            SOME(next);
            copied += next != block[i] ? size - step : 0;
            block[i] = next;
            fill(next, size - step, size);
            OK(vista_end_transaction(tx, 0));
        }
    return copied;
}

START_TEST(growing_alone)
{
    unsigned char *block;

    /* It goes on where it lies, but for its first steps, in the holes of a small heap. */
    ck_assert_uint_le(grow_by_turns(&block, 1, 16 * KIB, 768 * KIB), 64 * KIB);
    holds(block, 768 * KIB);
    reopen();
    holds(block, 768 * KIB);
    ck_assert_uint_eq(test_live_blocks(path), 1);
}
END_TEST

START_TEST(growing_by_turns)
{
    const size_t to = 2 * MIB;
    unsigned char *block[3];

    OK(vista_unmap(segment));
    make(64 * MIB, _i == 0 ? 0 : VISTA_SPARSE);
    /* As much as by doubling, and the first move. */
    ck_assert_uint_le(grow_by_turns(block, 3, 16 * KIB, to), 3 * 2 * to);
    reopen();
    for (int i = 0; i < 3; i++)
        holds(block[i], to);
}
END_TEST

/* The blocks of a heap that grows are its last ones by turns. */
START_TEST(growing_with_the_heap)
{
    const struct vista_map_options options = {.max_size = 64 * MIB};
    unsigned char *block[2];

    OK(vista_unmap(segment));
    path = test_path("growing");
    segment = vista_map(path, MIB, VISTA_CREATE | VISTA_GROW, &options);
    SOME(segment);
    ck_assert_uint_le(grow_by_turns(block, 1, 64 * KIB, 8 * MIB), MIB);
    holds(block[0], 8 * MIB);
    ck_assert_uint_lt(vista_size(segment), 16 * MIB);
    reopen();
    holds(block[0], 8 * MIB);
}
END_TEST

/* What an aborted transaction made longer is as it was, whatever lies behind. */
START_TEST(growth_aborted)
{
    vista_tx *tx = begin();
    unsigned char *block = allocate(tx, 100 * KIB);

    fill(block, 0, 100 * KIB);
    OK(vista_end_transaction(tx, 0));
    for (int i = 0; i < 3; i++) {
        tx = begin();
        ck_assert_ptr_eq(vista_realloc(tx, block, (120 + 20 * (size_t)i) * KIB), block);
        memset(block + 104 * KIB, 1, 10 * KIB);
        OK(vista_abort_transaction(tx));
        holds(block, 100 * KIB);
        reopen();
        holds(block, 100 * KIB);
    }
    ck_assert_uint_eq(test_live_blocks(path), 1);
    tx = begin();
    OK(vista_free(tx, block));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_ge(largest(), 900 * KIB); /* and all of it comes back */
}
END_TEST

/* A block that is found only because it is made longer, in a heap not yet looked through. */
START_TEST(growing_after_a_mapping)
{
    unsigned char *block[4];
    vista_tx *tx = begin();

    for (int i = 0; i < 4; i++) {
        block[i] = allocate(tx, 50 * KIB);
        fill(block[i], 0, 50 * KIB);
    }
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    OK(vista_free(tx, block[1]));
    OK(vista_end_transaction(tx, 0));
    reopen();
    tx = begin();
    ck_assert_ptr_eq(vista_realloc(tx, block[3], 90 * KIB), block[3]); /* into what is unused */
    fill(block[3], 50 * KIB, 90 * KIB);
    ck_assert_ptr_eq(vista_realloc(tx, block[0], 90 * KIB), block[0]); /* over what was freed */
    fill(block[0], 50 * KIB, 90 * KIB);
    ck_assert_ptr_ne(vista_realloc(tx, block[0], 900 * KIB - 300 * KIB), block[0]);
    OK(vista_abort_transaction(tx));
    tx = begin();
    for (int i = 0; i < 4; i++)
        if (i != 1) {
            holds(block[i], 50 * KIB);
            OK(vista_free(tx, block[i]));
        }
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_ge(largest(), 900 * KIB);
}
END_TEST

/* What vista_info says is the largest block can be had, and no larger one. */
START_TEST(largest_is_true)
{
    static const size_t sizes[] = {4096, 8192, 200, 20000};
    static void *block[8192];
    struct vista_info info;
    vista_tx *tx;
    int count = 0;

    for (;; count++) {
        tx = begin();
        block[count] = vista_malloc(tx, sizes[_i]);
        OK(vista_end_transaction(tx, 0));
        if (block[count] == NULL)
            break;
    }
    for (int i = 0; i < count; i += 2) {
        tx = begin();
        OK(vista_free(tx, block[i]));
        OK(vista_end_transaction(tx, 0));
    }
    OK(vista_info(segment, &info));
    ck_assert_uint_ge(info.heap_largest, sizes[_i]);
    tx = begin();
    ck_assert_ptr_null(vista_malloc(tx, info.heap_largest + 1));
    SOME(vista_malloc(tx, info.heap_largest));
    OK(vista_abort_transaction(tx));
}
END_TEST

/* ---- The whole heap ---------------------------------------------------- */

/* Any size up to the free space, and all of it back after all is freed, also for
 * other sizes. */
START_TEST(all_comes_back)
{
    static const size_t sizes[] = {16, 48, 64, 100, 512, 1000, 1040, 3000, 8192, 8193, 30000};
    static void *blocks[70000];
    const size_t all = largest();

    ck_assert_uint_ge(all, vista_size(segment) - 4 * KIB);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        vista_tx *tx = begin();
        const size_t count = fill_up(tx, sizes[i], blocks, 70000);

        ck_assert_uint_ge(count * (sizes[i] + sizes[i] / 8 + 16), all * 8 / 10 - 64 * KIB);
        OK(vista_end_transaction(tx, 0));
        ck_assert_uint_eq(test_live_blocks(path), count);
        if (i % 2 == 0)
            reopen();
        for (size_t first = 0; first < 3; first++) { /* not in order */
            tx = begin();
            for (size_t j = first; j < count; j += 3)
                OK(vista_free(tx, blocks[j]));
            OK(vista_end_transaction(tx, 0));
        }
        ck_assert_uint_eq(test_live_blocks(path), 0);
        ck_assert_uint_eq(largest(), all);
        if (i % 3 == 0)
            reopen();
        ck_assert_uint_eq(largest(), all);
    }
}
END_TEST

START_TEST(smallest_heap)
{
    static void *blocks[5000];

    make(1, 0);
    ck_assert_uint_eq(vista_size(segment), 64 * KIB);
    SOME(vista_root(segment, 100));
    vista_tx *tx = begin();
    const size_t count = fill_up(tx, 16, blocks, 5000);

    ck_assert_uint_ge(count, 500);
    for (size_t i = 0; i < count; i++)
        OK(vista_free(tx, blocks[i]));
    /* Any size fits that there is space for: whole pages serve where a span cannot be had. */
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    ck_assert_uint_ge(fill_up(tx, 4 * KIB, blocks, 5000), 8);
    OK(vista_abort_transaction(tx));
    tear_down();
}
END_TEST

START_TEST(too_large)
{
    vista_tx *tx = begin();
    char text[32];

    snprintf(text, sizeof text, "%zu", 2 * MIB);
    NULLS(vista_malloc(tx, 2 * MIB), ENOMEM, text);
    NULLS(vista_malloc(tx, SIZE_MAX), ENOMEM, "");
    NULLS(vista_malloc(tx, SIZE_MAX - 4095), ENOMEM, "");
    NULLS(vista_malloc(tx, (size_t)1 << 62), ENOMEM, "");
    SOME(vista_malloc(tx, 64));
    OK(vista_end_transaction(tx, 0));
}
END_TEST

/* ---- The root ---------------------------------------------------------- */

START_TEST(root_is_made_zeroed)
{
    NULLS(vista_root(segment, 0), ENOENT, path);
    uint64_t *root = vista_root(segment, 1000);

    SOME(root);
    for (size_t i = 0; i < 125; i++)
        ck_assert_uint_eq(root[i], 0);
    ck_assert_uint_eq(test_live_blocks(path), 1);
    ck_assert_ptr_eq(vista_root(segment, 0), root);
    ck_assert_ptr_eq(vista_root(segment, 8), root);
    ck_assert_ptr_eq(vista_root(segment, 1000), root);
    vista_tx *tx = begin();

    FAILS(vista_free(tx, root), EINVAL, "root");
    NULLS(vista_realloc(tx, root, 100000), EINVAL, "root");
    OK(vista_abort_transaction(tx)); /* it does not belong to the transaction */
    ck_assert_ptr_eq(vista_root(segment, 0), root);
    reopen();
    ck_assert_ptr_eq(vista_root(segment, 0), root);
}
END_TEST

START_TEST(root_grows)
{
    size_t size = 8;
    unsigned char *root = vista_root(segment, size);

    SOME(root);
    while (size < 400 * KIB) {
        vista_tx *tx = begin();

        OK(vista_set_range(tx, root, size));
        memset(root, 0x31, size);
        OK(vista_end_transaction(tx, 0));
        const size_t larger = size * 2 + 5;

        root = vista_root(segment, larger);
        SOME(root);
        for (size_t i = 0; i < larger; i++)
            if (root[i] != (i < size ? 0x31 : 0))
                ck_abort_msg("root of %zu bytes: byte %zu is %u", larger, i, root[i]);
        ck_assert_uint_eq(test_live_blocks(path), 1);
        ck_assert_uint_ge(vista_usable_size(segment, root), larger);
        if (size % 3 == 0)
            reopen();
        size = larger;
    }
    NULLS(vista_root(segment, 2 * MIB), ENOMEM, "");
    ck_assert_ptr_eq(vista_root(segment, 0), root);
    ck_assert_uint_eq(root[0], 0x31);
}
END_TEST

/* Bytes between the size asked for and the block's end may have been written by
 * nobody; grown in place they must be zero all the same. */
START_TEST(root_grows_in_place_zeroed)
{
    vista_tx *tx = begin();
    void *blocks[64];

    for (size_t i = 0; i < 64; i++) {
        blocks[i] = allocate(tx, 128);
        memset(blocks[i], 0xee, 128);
    }
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    for (size_t i = 0; i < 64; i++)
        OK(vista_free(tx, blocks[i]));
    OK(vista_end_transaction(tx, 0));
    for (size_t size = 113; size <= 128; size++) {
        unsigned char *root = vista_root(segment, size);

        SOME(root);
        for (size_t i = 0; i < size; i++)
            ck_assert_uint_eq(root[i], 0);
    }
}
END_TEST

START_TEST(root_cannot_move_under_transactions)
{
    unsigned char *root = vista_root(segment, 16);
    vista_tx *tx = begin();

    SOME(root);
    NULLS(vista_root(segment, 100 * KIB), EBUSY, "");
    ck_assert_ptr_eq(vista_root(segment, 0), root);
    ck_assert_ptr_eq(vista_root(segment, 16), root);
    OK(vista_end_transaction(tx, 0));
    SOME(vista_root(segment, 100 * KIB));
    tx = begin();
    SOME(vista_malloc(tx, 64));
    OK(vista_abort_transaction(tx));
    ck_assert_uint_eq(test_live_blocks(path), 1);
}
END_TEST

/* Its first call may come while a transaction is open. */
START_TEST(root_made_inside_a_transaction)
{
    vista_tx *tx = begin();
    void *block = allocate(tx, 64), *root = vista_root(segment, 64);

    SOME(root);
    ck_assert_ptr_ne(block, root);
    OK(vista_abort_transaction(tx));
    ck_assert_ptr_eq(vista_root(segment, 0), root);
    ck_assert_uint_eq(test_live_blocks(path), 1);
    reopen();
    ck_assert_ptr_eq(vista_root(segment, 0), root);
}
END_TEST

/* ---- Against a model --------------------------------------------------- */

#define BLOCKS 400

struct block {
    unsigned char *at; /* NULL: none */
    size_t size;
    unsigned char fill;
};

static struct block now[BLOCKS];

static size_t random_size(struct test_random *random)
{
    switch (test_below(random, 10)) {
    case 0:
        return test_below(random, 60 * KIB);
    case 1:
    case 2:
        return test_below(random, 8 * KIB);
    default:
        return test_below(random, 300);
    }
}

static void expect_block(const struct block *block)
{
    for (size_t i = 0; i < block->size; i++)
        if (block->at[i] != block->fill)
            ck_abort_msg("block %p of %zu bytes: byte %zu is %u, not %u", (void *)block->at,
                         block->size, i, block->at[i], block->fill);
}

static void change(vista_tx *tx, struct block *block, struct test_random *random, bool full_is_well)
{
    const size_t size = random_size(random);
    unsigned char *at;

    if (block->at == NULL) {
        at = vista_malloc(tx, size);
    } else if (test_below(random, 4) != 0) {
        expect_block(block);
        OK(vista_free(tx, block->at));
        block->at = NULL;
        return;
    } else {
        at = vista_realloc(tx, block->at, size);
        if (at != NULL) {
            const struct block kept = {at, size < block->size ? size : block->size, block->fill};

            expect_block(&kept);
            if (at == block->at)
                OK(vista_set_range(tx, at, size));
        }
    }
    if (at == NULL) {
        ck_assert(full_is_well);
        ck_assert_int_eq(errno, ENOMEM);
        return;
    }
    *block = (struct block){at, size, (unsigned char)test_next(random)};
    memset(at, block->fill, size);
}

static uint64_t count_blocks(void)
{
    uint64_t count = 0;

    for (size_t i = 0; i < BLOCKS; i++)
        if (now[i].at != NULL) {
            expect_block(&now[i]);
            ck_assert_uint_ge(vista_usable_size(segment, now[i].at), now[i].size);
            count++;
        }
    return count;
}

static void random_heap(size_t size, unsigned flags, uint64_t stream)
{
    struct test_random random = test_random_new(stream);
    struct block before[BLOCKS];

    make(size, flags);
    memset(now, 0, sizeof now);
    for (unsigned round = 0; round < test_times(3000); round++) {
        vista_tx *tx = begin();

        memcpy(before, now, sizeof now);
        for (uint64_t i = test_below(&random, 20); i > 0; i--)
            change(tx, &now[test_below(&random, BLOCKS)], &random, size < 16 * MIB);
        if (test_below(&random, 3) == 0) {
            OK(vista_abort_transaction(tx));
            memcpy(now, before, sizeof now);
        } else {
            OK(vista_end_transaction(tx, 0));
        }
        if (round % 100 == 0) {
            ck_assert_uint_eq(test_live_blocks(path), count_blocks());
            reopen();
            ck_assert_uint_eq(test_live_blocks(path), count_blocks());
        }
    }
    OK(vista_unmap(segment));
    test_sound(path);
    segment = vista_map(path, 0, 0, NULL);
    vista_tx *tx = begin();
    for (size_t i = 0; i < BLOCKS; i++)
        OK(vista_free(tx, now[i].at));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 0);
    ck_assert_uint_ge(largest(), vista_size(segment) - 4 * KIB);
    tear_down();
}

START_TEST(random_in_a_roomy_heap)
{
    random_heap(16 * MIB, 0, 1);
}
END_TEST

START_TEST(random_in_a_full_heap)
{
    random_heap(400 * KIB, 0, 2);
}
END_TEST

START_TEST(random_in_a_sparse_heap)
{
    random_heap(64 * MIB, VISTA_SPARSE, 3);
}
END_TEST

START_TEST(random_in_the_line_class)
{
    OK(vista_init(&(struct vista_options){.force_class = VISTA_CLASS_LINE}));
    random_heap(2 * MIB, 0, 4);
}
END_TEST

/* Several transactions open at once; each block belongs to one of them. */
START_TEST(random_with_many_open)
{
    struct test_random random = test_random_new(5);
    struct block before[BLOCKS];
    vista_tx *open[10] = {NULL};

    make(4 * MIB, 0);
    memset(now, 0, sizeof now);
    for (unsigned round = 0; round < test_times(100000); round++) {
        const size_t which = test_below(&random, 10);
        const size_t first = which * (BLOCKS / 10);
        const uint64_t choice = test_below(&random, 20);

        if (open[which] == NULL) {
            open[which] = begin();
            memcpy(before + first, now + first, BLOCKS / 10 * sizeof now[0]);
        } else if (choice == 0) {
            OK(vista_abort_transaction(open[which]));
            memcpy(now + first, before + first, BLOCKS / 10 * sizeof now[0]);
            open[which] = NULL;
        } else if (choice < 3) {
            OK(vista_end_transaction(open[which], 0));
            open[which] = NULL;
        } else {
            change(open[which], &now[first + test_below(&random, BLOCKS / 10)], &random, true);
        }
    }
    for (size_t i = 0; i < 10; i++)
        if (open[i] != NULL)
            OK(vista_end_transaction(open[i], 0));
    ck_assert_uint_eq(test_live_blocks(path), count_blocks());
    reopen();
    ck_assert_uint_eq(test_live_blocks(path), count_blocks());
    vista_tx *tx = begin();
    for (size_t i = 0; i < BLOCKS; i++)
        OK(vista_free(tx, now[i].at));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_ge(largest(), vista_size(segment) - 4 * KIB);
    tear_down();
}
END_TEST

/* ---- Death ------------------------------------------------------------- */

struct deaths {
    struct block blocks[BLOCKS];
    uint64_t stream;
};

/* Commits some, leaves two transactions open, dies. */
static void die_with_blocks(void *argument)
{
    struct deaths *deaths = argument;
    struct test_random random = test_random_new(deaths->stream);
    struct block pending[BLOCKS];
    vista_tx *tx, *other;

    segment = vista_map(path, 0, 0, NULL);
    REQUIRE(segment != NULL);
    for (int i = 0; i < 10; i++) {
        tx = vista_begin_transaction(segment, 0);
        for (int j = 0; j < 10; j++)
            change(tx, &deaths->blocks[test_below(&random, BLOCKS)], &random, true);
        REQUIRE(vista_end_transaction(tx, 0) == 0);
    }
    memcpy(pending, deaths->blocks, sizeof pending);
    tx = vista_begin_transaction(segment, 0);
    other = vista_begin_transaction(segment, 0);
    for (int j = 0; j < 50; j++) {
        change(tx, &pending[test_below(&random, BLOCKS / 2)], &random, true);
        change(other, &pending[BLOCKS / 2 + test_below(&random, BLOCKS / 2)], &random, true);
    }
    /* Where lines are flushed, records of blocks are in the file by then at the latest. */
    REQUIRE(vista_set_range(tx, vista_malloc(tx, 16), 8) == 0);
    REQUIRE(vista_set_range(other, vista_malloc(other, 16), 8) == 0);
}

START_TEST(death_gives_back)
{
    struct deaths *deaths = test_share(sizeof *deaths);

    make(4 * MIB, 0);
    for (deaths->stream = 0; deaths->stream < test_times(40); deaths->stream++) {
        struct vista_info info;

        OK(vista_unmap(segment));
        OK(vista_init(
            &(struct vista_options){.force_class = VISTA_CLASS_KILL + deaths->stream % 3}));
        ck_assert_int_eq(test_in_child(die_with_blocks, deaths), 0);
        test_sound(path);
        segment = vista_map(path, 0, 0, NULL);
        SOME(segment);
        OK(vista_info(segment, &info));
        ck_assert_uint_eq(info.rolled_back, 2);
        memcpy(now, deaths->blocks, sizeof now);
        ck_assert_uint_eq(test_live_blocks(path), count_blocks());
    }
    tear_down();
}
END_TEST

/* ---- Large heaps ------------------------------------------------------- */

static long faults(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Mapping a large heap in use reads next to nothing of it. */
START_TEST(large_heap_is_mapped_lazily)
{
    const size_t size = 16 * 1024 * MIB;
    void **root;

    if (test_room(false) < 64 * MIB || test_is_thread_sanitized()) {
        test_skip("a heap of 16 GiB", "too little room, or no addresses under ThreadSanitizer");
        return;
    }
    make(size, VISTA_SPARSE);
    root = vista_root(segment, 4096 * sizeof *root);
    SOME(root);
    for (size_t i = 0; i < 4096; i += 64) {
        vista_tx *tx = begin();

        OK(vista_set_range(tx, root + i, 64 * sizeof *root));
        for (size_t j = i; j < i + 64; j++)
            root[j] = allocate(tx, 10 + 5 * (j % 1000));
        OK(vista_end_transaction(tx, 0));
    }
    OK(vista_unmap(segment));
    const long before = faults();
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    if (!test_is_sanitized() && !test_is_valgrind())
        ck_assert_int_lt(faults() - before, 100);
    vista_tx *tx = begin();
    for (size_t i = 4096; i-- > 0;)
        OK(vista_free(tx, root[i]));
    SOME(vista_malloc(tx, 100));
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 2);
    tear_down();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("public heap");
    TCase *tests = test_case(suite, "blocks", 20);

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_size);
    tcase_add_test(tests, usable_size_is_near);
    tcase_add_test(tests, zeroed_blocks);
    tcase_add_test(tests, reallocation);
    tcase_add_test(tests, reallocation_aborted);
    tests = test_case(suite, "frees", 30);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, abort_gives_back);
    tcase_add_test(tests, small_frees_wait);
    tcase_add_test(tests, large_frees_wait);
    tcase_add_test(tests, own_small_blocks_come_back);
    tcase_add_test(tests, alloc_free_alloc);
    tcase_add_test(tests, frees_of_others_blocks);
    tests = test_case(suite, "growing", 30);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, growing_alone);
    tcase_add_loop_test(tests, growing_by_turns, 0, 2);
    tcase_add_test(tests, growing_with_the_heap);
    tcase_add_test(tests, growth_aborted);
    tcase_add_test(tests, growing_after_a_mapping);
    tcase_add_loop_test(tests, largest_is_true, 0, 4);
    tests = test_case(suite, "whole", 30);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, own_spans);
    tcase_add_test(tests, all_comes_back);
    tcase_add_test(tests, too_large);
    tests = test_case(suite, "root", 20);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, root_is_made_zeroed);
    tcase_add_test(tests, root_grows);
    tcase_add_test(tests, root_grows_in_place_zeroed);
    tcase_add_test(tests, root_cannot_move_under_transactions);
    tcase_add_test(tests, root_made_inside_a_transaction);
    tests = test_case(suite, "random", 60);
    tcase_add_test(tests, smallest_heap);
    tcase_add_test(tests, random_in_a_roomy_heap);
    tcase_add_test(tests, random_in_a_full_heap);
    tcase_add_test(tests, random_in_a_sparse_heap);
    tcase_add_test(tests, random_in_the_line_class);
    tcase_add_test(tests, random_with_many_open);
    tcase_add_test(tests, death_gives_back);
    tcase_add_test(tests, large_heap_is_mapped_lazily);
    return suite;
}

int main(void)
{
    return test_run(suite());
}

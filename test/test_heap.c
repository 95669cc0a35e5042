/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The heap from inside: size classes, spans that are used up and refilled, what
 * was stored by an earlier mapping, threads that free each other's blocks, and
 * stored metadata that is damaged.  What programs see is in test_public_heap.c.
 */
#include "support.h"

#include <pthread.h>

#include "heap/spans.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static vista_segment *segment;
static const char *path;

static void make(size_t size)
{
    path = test_path("heap");
    segment = vista_map(path, size, VISTA_CREATE, NULL);
    SOME(segment);
}

static void reopen(void)
{
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
}

static void finish(void)
{
    OK(vista_unmap(segment));
    test_sound(path);
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

    return at >= base && at <= base + vista_size(segment) &&
           size <= base + vista_size(segment) - at;
}

/* Allocates until there is no room, at most `most`; every block is marked, so that
 * one given out twice is seen by expect_marks. */
static size_t fill(vista_tx *tx, size_t size, uint64_t **blocks, size_t most)
{
    size_t count = 0;

    while (count < most && (blocks[count] = vista_malloc(tx, size)) != NULL) {
        ck_assert_msg(inside(blocks[count], size), "block %zu of %zu bytes is at %p", count, size,
                      (void *)blocks[count]);
        blocks[count][0] = count;
        count++;
    }
    return count;
}

static void expect_marks(uint64_t **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (blocks[i] != NULL && blocks[i][0] != i)
            ck_abort_msg("block %zu at %p was given out again", i, (void *)blocks[i]);
}

/* All of the heap, in which there is no root, as one block. */
static void expect_all_back(void)
{
    vista_tx *tx = begin();

    SOME(vista_malloc(tx, vista_size(segment)));
    OK(vista_abort_transaction(tx));
}

/* ---- Size classes ------------------------------------------------------ */

START_TEST(classes_fit)
{
    for (size_t size = 1; size <= VI_SMALL_MAX; size++) {
        const unsigned class = vi_class_of(size);

        ck_assert_uint_lt(class, VI_CLASSES);
        ck_assert_uint_ge(vi_classes[class].size, size);
        ck_assert_uint_le(vi_classes[class].size, size + size / 8 + 15);
        ck_assert(class == 0 || vi_classes[class - 1].size < size);
    }
    ck_assert_uint_eq(vi_class_of(0), 0);
}
END_TEST

START_TEST(reciprocals_divide)
{
    for (unsigned class = 0; class < VI_CLASSES; class ++) {
        const struct vi_class *c = &vi_classes[class];

        ck_assert_uint_eq(c->size % 16, 0);
        ck_assert_uint_le(c->units, VI_SMALL_UNITS);
        for (uint64_t offset = 0; offset < c->units * VI_UNIT; offset++)
            if (offset * c->reciprocal >> 32 != offset / c->size)
                ck_abort_msg("%llu / %u", (unsigned long long)offset, c->size);
    }
}
END_TEST

/* ---- Spans ------------------------------------------------------------- */

/* A transaction that has used several spans up and freed blocks of its own. */
START_TEST(used_up_spans_stay_so)
{
    static const size_t sizes[] = {16, 64, 1000, 1200, 8000};
    static uint64_t *blocks[6000];

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make(8 * MIB);
        vista_tx *tx = begin();
        size_t count = fill(tx, sizes[i], blocks, 500);

        for (size_t freed = 0; freed < 3; freed++) {
            OK(vista_free(tx, blocks[freed * 200]));
            blocks[freed * 200] = NULL;
        }
        while (count < 800 || (sizes[i] < 100 && count < 5500)) {
            blocks[count] = vista_malloc(tx, sizes[i]);
            SOME(blocks[count]);
            ck_assert(inside(blocks[count], sizes[i]));
            blocks[count][0] = count;
            count++;
        }
        expect_marks(blocks, count);
        if (i % 2 == 0)
            OK(vista_end_transaction(tx, 0));
        else
            OK(vista_abort_transaction(tx));
        ck_assert_uint_eq(test_live_blocks(path), i % 2 == 0 ? count - 3 : 0);
        finish();
    }
}
END_TEST

/* Only the start of a block is one, wherever the heap is asked. */
START_TEST(no_pointer_but_the_start)
{
    static const size_t sizes[] = {16, 48, 112, 1040, 8192, 20000};
    unsigned char *blocks[6];
    vista_tx *tx;

    make(MIB);
    tx = begin();
    for (size_t i = 0; i < 6; i++) {
        blocks[i] = vista_malloc(tx, sizes[i]);
        SOME(blocks[i]);
    }
    OK(vista_end_transaction(tx, 0));
    for (int again = 0; again < 2; again++) {
        tx = begin();
        for (size_t i = 0; i < 6; i++) {
            for (size_t at = 1; at < sizes[i]; at += at < 64 ? 1 : 16) {
                FAILS(vista_free(tx, blocks[i] + at), EINVAL, "");
                ck_assert_uint_eq(vista_usable_size(segment, blocks[i] + at), 0);
            }
            ck_assert_uint_ge(vista_usable_size(segment, blocks[i]), sizes[i]);
        }
        FAILS(vista_free(tx, &tx), EINVAL, "");
        FAILS(vista_free(tx, (char *)vista_base(segment) - 16), EINVAL, "");
        FAILS(vista_free(tx, (char *)vista_base(segment) + vista_size(segment)), EINVAL, "");
        FAILS(vista_free(tx, (void *)UINTPTR_MAX), EINVAL, "");
        OK(vista_end_transaction(tx, 0));
        ck_assert_uint_eq(test_live_blocks(path), 6);
        reopen();
    }
    finish();
}
END_TEST

/* ---- What an earlier mapping stored ------------------------------------ */

/* Blocks are freed in spans that were not looked at, from the last one on, so that
 * spans end beyond what was; in one transaction and in many. */
static void freed_after_remapping(size_t size, size_t in_each)
{
    static uint64_t *blocks[70000];
    vista_tx *tx;
    size_t count, left;

    make(4 * MIB);
    tx = begin();
    count = fill(tx, size, blocks, 70000);
    OK(vista_end_transaction(tx, 0));
    reopen();
    for (left = count; left > 0;) {
        tx = begin();
        for (size_t i = 0; i < in_each && left > 0; i++)
            OK(vista_free(tx, blocks[--left]));
        OK(vista_end_transaction(tx, 0));
    }
    ck_assert_uint_eq(test_live_blocks(path), 0);
    tx = begin();
    count = fill(tx, 3000, blocks, 70000);
    expect_marks(blocks, count);
    ck_assert_uint_le(count * 3000, vista_size(segment));
    OK(vista_abort_transaction(tx));
    expect_all_back();
    finish();
}

START_TEST(spans_end_before_they_are_looked_at)
{
    freed_after_remapping(1000, 70000);
    freed_after_remapping(64, 70000);
    freed_after_remapping(1000, 13);
    freed_after_remapping(12000, 70000);
    freed_after_remapping(12000, 7);
}
END_TEST

/* Beyond the look, allocations and frees alternate with an abort between. */
START_TEST(mixed_after_remapping)
{
    static uint64_t *blocks[5000], *more[5000];
    struct test_random random = test_random_new(1);

    make(8 * MIB);
    vista_tx *tx = begin();
    const size_t count = fill(tx, 1500, blocks, 5000);
    OK(vista_end_transaction(tx, 0));
    for (int round = 0; round < 8; round++) {
        reopen();
        tx = begin();
        for (size_t i = 0; i < count; i++)
            if (blocks[i] != NULL && test_below(&random, 8) == 0)
                OK(vista_free(tx, blocks[i]));
        OK(vista_abort_transaction(tx));
        tx = begin();
        for (size_t i = 0; i < count; i++)
            if (blocks[i] != NULL && test_below(&random, 8) == 0) {
                OK(vista_free(tx, blocks[i]));
                blocks[i] = NULL;
            }
        OK(vista_end_transaction(tx, 0));
        expect_marks(blocks, count);
        tx = begin();
        const size_t fresh = fill(tx, 100 + 900 * (size_t)round, more, 5000);

        expect_marks(more, fresh);
        expect_marks(blocks, count);
        OK(vista_abort_transaction(tx));
    }
    tx = begin();
    for (size_t i = 0; i < count; i++)
        if (blocks[i] != NULL)
            OK(vista_free(tx, blocks[i]));
    OK(vista_end_transaction(tx, 0));
    expect_all_back();
    finish();
}
END_TEST

/* ---- Threads ----------------------------------------------------------- */

#define POOL 4000

struct handed {
    unsigned char *at;
    size_t size;
    unsigned char fill;
};

static struct {
    pthread_mutex_t lock;
    struct handed blocks[POOL];
    size_t count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t take(struct test_random *random, struct handed *out, size_t most)
{
    size_t count = 0;

    pthread_mutex_lock(&pool.lock);
    while (count < most && pool.count > test_below(random, POOL * 3 / 4)) {
        const size_t which = test_below(random, pool.count);

        out[count++] = pool.blocks[which];
        pool.blocks[which] = pool.blocks[--pool.count];
    }
    pthread_mutex_unlock(&pool.lock);
    return count;
}

static void give(const struct handed *blocks, size_t count)
{
    pthread_mutex_lock(&pool.lock);
    ck_assert_uint_le(pool.count + count, POOL);
    memcpy(pool.blocks + pool.count, blocks, count * sizeof *blocks);
    pool.count += count;
    pthread_mutex_unlock(&pool.lock);
}

static void free_handed(vista_tx *tx, const struct handed *block)
{
    for (size_t i = 0; i < block->size; i++)
        if (block->at[i] != block->fill)
            ck_abort_msg("block %p of %zu bytes: byte %zu is another's", (void *)block->at,
                         block->size, i);
    OK(vista_free(tx, block->at));
    FAILS(vista_free(tx, block->at), EINVAL, "free");
}

static size_t allocate_some(vista_tx *tx, struct test_random *random, struct handed *out)
{
    size_t count = 0;

    for (uint64_t i = test_below(random, 12); i > 0; i--) {
        const size_t limit = test_below(random, 8) != 0 ? 600 : 20000;
        struct handed block = {.size = 1 + test_below(random, limit),
                               .fill = (unsigned char)test_next(random)};

        block.at = vista_malloc(tx, block.size);
        if (block.at == NULL)
            ck_assert_int_eq(errno, ENOMEM);
        else if (test_below(random, 6) == 0)
            OK(vista_free(tx, block.at));
        else
            out[count++] = block;
        if (count > 0 && out[count - 1].at == block.at)
            memset(block.at, block.fill, block.size);
    }
    return count;
}

static void *hand_over(void *stream)
{
    struct test_random random = test_random_new((uintptr_t)stream);
    struct handed taken[12], made[12];

    for (unsigned round = test_times(5000); round > 0; round--) {
        vista_tx *tx = begin();
        const size_t old = take(&random, taken, test_below(&random, 12));

        for (size_t i = 0; i < old; i++)
            free_handed(tx, &taken[i]);
        const size_t fresh = allocate_some(tx, &random, made);

        if (test_below(&random, 4) == 0) {
            OK(vista_abort_transaction(tx));
            give(taken, old);
        } else {
            OK(vista_end_transaction(tx, 0));
            give(made, fresh);
        }
    }
    return NULL;
}

static void two_threads(size_t size)
{
    make(size);
    pool.count = 0;
    for (uintptr_t run = 0; run < 3; run++) {
        pthread_t other;

        ck_assert_int_eq(pthread_create(&other, NULL, hand_over, (void *)(2 * run + 10)), 0);
        hand_over((void *)(2 * run + 11));
        ck_assert_int_eq(pthread_join(other, NULL), 0);
        ck_assert_uint_eq(test_live_blocks(path), pool.count);
        reopen();
    }
    vista_tx *tx = begin();
    for (size_t i = 0; i < pool.count; i++)
        free_handed(tx, &pool.blocks[i]);
    OK(vista_end_transaction(tx, 0));
    ck_assert_uint_eq(test_live_blocks(path), 0);
    expect_all_back();
    finish();
}

START_TEST(threads_with_room)
{
    two_threads(16 * MIB);
}
END_TEST

START_TEST(threads_without_room)
{
    two_threads(600 * KIB);
}
END_TEST

/* All that one thread allocates another frees, in both classes of order. */
#define PASSED 3000
static unsigned char *passed[PASSED];
static size_t passed_size;

static void *allocate_all(void *argument)
{
    for (size_t i = 0; i < PASSED;) {
        vista_tx *tx = begin();

        for (size_t end = i + 10; i < end; i++) {
            passed[i] = vista_malloc(tx, passed_size);
            SOME(passed[i]);
            memset(passed[i], (int)i, passed_size);
        }
        OK(vista_end_transaction(tx, 0));
    }
    return argument;
}

static void *free_all(void *argument)
{
    for (size_t i = 0; i < PASSED;) {
        vista_tx *tx = begin();

        for (size_t end = i + 10; i < end; i++) {
            ck_assert_uint_eq(passed[i][passed_size - 1], i & 0xff);
            OK(vista_free(tx, passed[i]));
            FAILS(vista_free(tx, passed[i]), EINVAL, "being freed");
        }
        OK(vista_end_transaction(tx, 0));
    }
    return argument;
}

START_TEST(one_thread_allocates_another_frees)
{
    static const size_t sizes[] = {16, 64, 500, 2000};

    make(8 * MIB);
    for (int round = 0; round < 5; round++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            pthread_t other;

            passed_size = sizes[i];
            allocate_all(NULL);
            ck_assert_int_eq(pthread_create(&other, NULL, free_all, NULL), 0);
            ck_assert_int_eq(pthread_join(other, NULL), 0);
            ck_assert_uint_eq(test_live_blocks(path), 0);
            vista_tx *tx = begin();
            for (size_t j = 0; j < PASSED; j += 100) /* freed by another: freed all the same */
                FAILS(vista_free(tx, passed[j]), EINVAL, "");
            OK(vista_end_transaction(tx, 0));
        }
    expect_all_back();
    finish();
}
END_TEST

/* More blocks than a slot keeps are allocated and freed in one transaction: no other
 * may have them until it ends, however short of room it is. */
START_TEST(cancelled_blocks_wait)
{
    static uint64_t *blocks[70000];
    vista_tx *tx, *other;
    size_t count, rest;

    for (int commit = 0; commit < 2; commit++) {
        make(256 * KIB);
        tx = begin();
        other = begin();
        count = fill(tx, 64, blocks, 70000);
        for (size_t i = 0; i < count; i++)
            OK(vista_free(tx, blocks[i]));
        for (size_t i = 0; i < count; i++)
            FAILS(vista_free(tx, blocks[i]), EINVAL, "free");
        rest = fill(other, 64, blocks, 70000);
        ck_assert_uint_eq(rest, 0);
        SOME(vista_malloc(tx, 64)); /* but it may */
        rest = fill(tx, 5000, blocks, 70000);
        ck_assert_uint_eq(rest, 0);
        rest = fill(other, 64, blocks, 70000);
        ck_assert_uint_eq(rest, 0);
        OK(commit ? vista_end_transaction(tx, 0) : vista_abort_transaction(tx));
        rest = fill(other, 64, blocks, 70000);
        ck_assert_uint_ge(rest + 8, count); /* but the few that its slot keeps */
        expect_marks(blocks, rest);
        OK(vista_abort_transaction(other));
        ck_assert_uint_eq(test_live_blocks(path), commit);
        finish();
    }
}
END_TEST

/* ---- Damage ------------------------------------------------------------ */

/* Whatever is stored, calls fail or give out memory of the data: no crash, no endless
 * loop (the case's time limit), no block outside. */
static void use_damaged(struct test_random *random, unsigned char **blocks, size_t count)
{
    segment = vista_map(path, 0, 0, NULL);
    if (segment == NULL) {
        ck_assert_int_eq(errno, EBADMSG);
        return;
    }
    for (int round = 0; round < 30; round++) {
        vista_tx *tx = begin();

        for (int i = 0; i < 20; i++) {
            unsigned char **block = &blocks[test_below(random, count)];
            const size_t size = test_below(random, test_below(random, 3) != 0 ? 400 : 20000);

            if (*block == NULL) {
                *block = vista_malloc(tx, size);
                ck_assert(*block == NULL || inside(*block, size));
                if (*block != NULL)
                    memset(*block, round, size);
            } else if (vista_free(tx, *block) == 0) {
                *block = NULL;
            }
        }
        if (test_below(random, 4) == 0)
            OK(vista_abort_transaction(tx));
        else
            OK(vista_end_transaction(tx, 0));
    }
    OK(vista_unmap(segment));
}

/* A heap with all sorts of blocks, unmapped. */
static void make_mixed(struct test_random *random, unsigned char **blocks, size_t count)
{
    vista_tx *tx;

    make(MIB);
    tx = begin();
    for (size_t i = 0; i < count; i++)
        blocks[i] = vista_malloc(tx, test_below(random, i % 8 != 0 ? 500 : 12000));
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
}

static uint64_t random_descriptor(struct test_random *random, uint64_t rest)
{
    switch (test_below(random, 4)) {
    case 0:
        return test_next(random);
    case 1:
        return 0;
    case 2:
        return VI_SPAN(VI_SPAN_SMALL, 1 + test_below(random, 4), test_below(random, VI_CLASSES));
    default:
        return VI_SPAN(VI_SPAN_LARGE, 1 + test_below(random, rest), 0);
    }
}

START_TEST(damaged_descriptors)
{
    struct test_random random = test_random_new(100 + (uint64_t)_i);
    unsigned char *blocks[150];

    make_mixed(&random, blocks, 150);
    const struct vi_superblock s = test_superblock(path, test_superblock_current(path));

    for (int i = 0; i < 3; i++) {
        const uint64_t unit = test_below(&random, s.size / VI_UNIT);
        const uint64_t descriptor = random_descriptor(&random, s.size / VI_UNIT - unit);

        test_poke(path, s.heap_offset + VI_PAGE + 8 * unit, &descriptor, 8);
    }
    use_damaged(&random, blocks, 150);
}
END_TEST

START_TEST(damaged_marks)
{
    struct test_random random = test_random_new(500 + (uint64_t)_i);
    unsigned char marks[2 * VI_MARKS_PER_UNIT];
    unsigned char *blocks[150];

    make_mixed(&random, blocks, 150);
    const struct vi_superblock s = test_superblock(path, test_superblock_current(path));
    const uint64_t all = s.heap_offset + VI_PAGE + s.max_size / VI_UNIT * 8;

    for (size_t i = 0; i < sizeof marks; i++)
        marks[i] = (unsigned char)(i % 64 < 32 ? 1 : test_next(&random));
    for (int i = 0; i < 20; i++)
        test_poke(path, all + VI_MARKS_PER_UNIT * test_below(&random, s.size / VI_UNIT - 2), marks,
                  sizeof marks);
    use_damaged(&random, blocks, 150);
}
END_TEST

/* Less is said to have been used than was: what lies behind is not believed. */
START_TEST(damaged_end)
{
    struct test_random random = test_random_new(700 + (uint64_t)_i);
    const uint64_t end = _i == 0 ? 0 : _i == 1 ? ~0ull : test_below(&random, 200);
    unsigned char *blocks[150];

    make_mixed(&random, blocks, 150);
    const struct vi_superblock s = test_superblock(path, test_superblock_current(path));

    test_poke(path, s.heap_offset + offsetof(struct vi_heap_header, end), &end, sizeof end);
    use_damaged(&random, blocks, 150);
}
END_TEST

/* A large block's length reaches into the next one, and both are freed. */
START_TEST(damaged_length_overlaps)
{
    const uint64_t longer = VI_SPAN(VI_SPAN_LARGE, 6, 0);
    unsigned char *blocks[3];
    static unsigned char given[MIB / VI_UNIT];
    vista_tx *tx;

    make(MIB);
    unsigned char *base = vista_base(segment);
    tx = begin();
    for (int i = 0; i < 3; i++) {
        blocks[i] = vista_malloc(tx, 16 * KIB);
        SOME(blocks[i]);
    }
    OK(vista_end_transaction(tx, 0));
    OK(vista_unmap(segment));
    const struct vi_superblock s = test_superblock(path, test_superblock_current(path));

    test_poke(path, s.heap_offset + VI_PAGE + 8 * ((uint64_t)(blocks[0] - base) / VI_UNIT), &longer,
              8);
    segment = vista_map(path, 0, 0, NULL);
    if (segment == NULL) {
        ck_assert_int_eq(errno, EBADMSG);
        return;
    }
    tx = begin();
    vista_malloc(tx, 50); /* whether it gets a block or not, it has looked */
    vista_free(tx, blocks[1]);
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    vista_free(tx, blocks[0]);
    OK(vista_end_transaction(tx, 0));
    tx = begin();
    for (unsigned char *block; (block = vista_malloc(tx, 12 * KIB)) != NULL;) {
        ck_assert(inside(block, 12 * KIB));
        for (size_t i = 0; i < 3; i++)
            ck_assert_msg(given[(size_t)(block - base) / VI_UNIT + i]++ == 0,
                          "page %zu was given out twice", (size_t)(block - base) / VI_UNIT + i);
    }
    OK(vista_abort_transaction(tx));
    OK(vista_unmap(segment));
}
END_TEST

START_TEST(damaged_root)
{
    static const struct vi_root roots[] = {{(uint64_t)1 << 60, 100},
                                           {~0ull, ~0ull},
                                           {MIB - 16, 4096},
                                           {MIB, 8},
                                           {8, 100},
                                           {64 * KIB, 1},
                                           {0, MIB + 1},
                                           {512, (uint64_t)1 << 40}};
    const struct vi_root root = roots[_i / 2];
    void *found;

    make(MIB);
    SOME(vista_root(segment, 100));
    OK(vista_unmap(segment));
    const struct vi_superblock s = test_superblock(path, test_superblock_current(path));

    test_poke(path, s.heap_offset, &root, sizeof root);
    segment = vista_map(path, 0, 0, NULL);
    if (segment == NULL) {
        ck_assert_int_eq(errno, EBADMSG);
        return;
    }
    found = vista_root(segment, _i % 2 == 0 ? 0 : 5000);
    ck_assert_msg(found == NULL && errno == EBADMSG,
                  "root {0x%llx, %llu} was believed: %p, errno %d", (unsigned long long)root.offset,
                  (unsigned long long)root.size, found, errno);
    OK(vista_unmap(segment));
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("heap");
    TCase *tests = test_case(suite, "classes", 20);

    tcase_add_test(tests, classes_fit);
    tcase_add_test(tests, reciprocals_divide);
    tests = test_case(suite, "spans", 30);
    tcase_add_test(tests, used_up_spans_stay_so);
    tcase_add_test(tests, no_pointer_but_the_start);
    tests = test_case(suite, "remapped", 30);
    tcase_add_test(tests, spans_end_before_they_are_looked_at);
    tcase_add_test(tests, mixed_after_remapping);
    tests = test_case(suite, "threads", 60);
    tcase_add_test(tests, threads_with_room);
    tcase_add_test(tests, threads_without_room);
    tcase_add_test(tests, one_thread_allocates_another_frees);
    tcase_add_test(tests, cancelled_blocks_wait);
    tests = test_case(suite, "damage", 10);
    tcase_add_loop_test(tests, damaged_descriptors, 0, 200);
    tcase_add_loop_test(tests, damaged_marks, 0, 30);
    tcase_add_loop_test(tests, damaged_end, 0, 30);
    tcase_add_test(tests, damaged_length_overlaps);
    tcase_add_loop_test(tests, damaged_root, 0, 16);
    return suite;
}

int main(void)
{
    return test_run(suite());
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Looking through the heap: vista_heap_walk and the totals of vista_info against a
 * model, under open transactions, beside other threads, in damaged files; and how much
 * of what it takes from its pages the heap has given out after long mixed work.
 */
#include "support.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/segment.h"
#include "heap/spans.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define BLOCKS 2000

static vista_segment *segment;
static const char *path;

static void make(size_t size, unsigned flags)
{
    path = test_path("walk");
    segment = vista_map(path, size, VISTA_CREATE | flags, NULL);
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

/* ---- Against a model --------------------------------------------------- */

struct model {
    unsigned char *at[BLOCKS]; /* committed blocks; NULL: none */
    size_t seen[BLOCKS];
    unsigned char *last; /* visited */
    uint64_t count, bytes;
};
static struct model model;

static int visit(void *argument, void *address, size_t size)
{
    struct model *m = argument;

    ck_assert_ptr_eq(m, &model);
    ck_assert_msg(m->last == NULL || (unsigned char *)address > m->last, "not in order");
    m->last = address;
    m->count++;
    m->bytes += size;
    for (size_t i = 0; i < BLOCKS; i++)
        if (m->at[i] == address)
            m->seen[i]++;
    return 0;
}

static uint64_t expect_model(void)
{
    uint64_t blocks = 0;

    memset(model.seen, 0, sizeof model.seen);
    model.last = NULL;
    model.count = model.bytes = 0;
    OK(vista_heap_walk(segment, visit, &model));
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks += model.at[i] != NULL;
        if (model.at[i] != NULL && model.seen[i] != 1)
            ck_abort_msg("block %zu at %p was visited %zu times", i, (void *)model.at[i],
                         model.seen[i]);
    }
    ck_assert_uint_eq(model.count, blocks);
    return blocks;
}

static size_t some_size(struct test_random *random)
{
    switch (test_below(random, 8)) {
    case 0:
        return test_below(random, 100 * KIB);
    case 1:
        return test_below(random, 8 * KIB);
    default:
        return test_below(random, 400);
    }
}

static void change_some(vista_tx *tx, struct test_random *random)
{
    for (int i = 0; i < 40; i++) {
        unsigned char **block = &model.at[test_below(random, BLOCKS)];

        if (*block == NULL) {
            *block = vista_malloc(tx, some_size(random));
            SOME(*block);
        } else {
            OK(vista_free(tx, *block));
            *block = NULL;
        }
    }
}

START_TEST(walk_finds_what_is_committed)
{
    static unsigned char *before[BLOCKS];
    struct test_random random = test_random_new(1);

    make(64 * MIB, _i ? VISTA_SPARSE : 0);
    for (unsigned round = 0; round < test_times(200); round++) {
        vista_tx *tx = begin();

        memcpy(before, model.at, sizeof before);
        change_some(tx, &random);
        if (round % 10 == 0) {
            static unsigned char *after[BLOCKS];

            memcpy(after, model.at, sizeof after);
            memcpy(model.at, before, sizeof before);
            expect_model(); /* nothing of an open transaction counts */
            memcpy(model.at, after, sizeof after);
        }
        if (test_below(&random, 3) == 0) {
            OK(vista_abort_transaction(tx));
            memcpy(model.at, before, sizeof before);
        } else {
            OK(vista_end_transaction(tx, 0));
        }
        expect_model();
        if (round % 20 == 0) {
            OK(vista_unmap(segment));
            segment = vista_map(path, 0, round % 40 ? VISTA_READ_ONLY : 0, NULL);
            SOME(segment);
            ck_assert_uint_eq(expect_model(), test_live_blocks(path));
            OK(vista_unmap(segment));
            segment = vista_map(path, 0, 0, NULL);
            SOME(segment);
        }
    }
    finish();
}
END_TEST

static int stop(void *argument, void *address, size_t size)
{
    int *left = argument;

    (void)address;
    (void)size;
    ck_assert_int_gt(*left, 0);
    return --*left == 0;
}

START_TEST(walk_stops)
{
    vista_tx *tx;
    int left = 3;

    make(MIB, 0);
    tx = begin();
    for (int i = 0; i < 10; i++)
        SOME(vista_malloc(tx, 100));
    OK(vista_end_transaction(tx, 0));
    FAILS(vista_heap_walk(segment, stop, &left), ECANCELED, "stopped");
    ck_assert_int_eq(left, 0);
    FAILS(vista_heap_walk(segment, NULL, NULL), EINVAL, "");
    FAILS(vista_heap_walk(NULL, stop, &left), EINVAL, "");
    finish();
    make(MIB, VISTA_NO_HEAP);
    FAILS(vista_heap_walk(segment, stop, &left), ENOTSUP, "no heap");
    finish();
}
END_TEST

/* What it visits it may free. */
static int free_it(void *argument, void *address, size_t size)
{
    vista_tx *tx = begin();

    (void)size;
    ++*(size_t *)argument;
    OK(vista_free(tx, address));
    OK(vista_end_transaction(tx, 0));
    return 0;
}

START_TEST(visit_may_free)
{
    size_t freed = 0;
    vista_tx *tx;

    make(8 * MIB, 0);
    tx = begin();
    for (size_t i = 0; i < BLOCKS; i++)
        SOME(vista_malloc(tx, i % 100 == 0 ? 20 * KIB : 3 * i % 700));
    OK(vista_end_transaction(tx, 0));
    OK(vista_heap_walk(segment, free_it, &freed));
    ck_assert_uint_eq(freed, BLOCKS);
    ck_assert_uint_eq(test_live_blocks(path), 0);
    finish();
}
END_TEST

/* ---- Beside other threads ---------------------------------------------- */

static bool over; /* atomic */

static void *come_and_go(void *stream)
{
    struct test_random random = test_random_new((uintptr_t)stream);
    void *held[50] = {NULL};

    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        vista_tx *tx = begin();
        void **block = &held[test_below(&random, 50)];

        OK(vista_free(tx, *block));
        *block = vista_malloc(tx, some_size(&random));
        SOME(*block);
        OK(vista_end_transaction(tx, 0));
    }
    return NULL;
}

START_TEST(walk_beside_threads)
{
    struct test_random random = test_random_new(3);
    pthread_t threads[2];
    vista_tx *tx;

    make(64 * MIB, 0);
    tx = begin();
    for (size_t i = 0; i < BLOCKS; i++)
        SOME(model.at[i] = vista_malloc(tx, some_size(&random)));
    OK(vista_end_transaction(tx, 0));
    for (uintptr_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, (void *)(i + 10)), 0);
    for (unsigned i = 0; i < test_times(100); i++) {
        memset(model.seen, 0, sizeof model.seen);
        model.last = NULL;
        OK(vista_heap_walk(segment, visit, &model));
        for (size_t j = 0; j < BLOCKS; j++)
            ck_assert_uint_eq(model.seen[j], 1);
    }
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    finish();
}
END_TEST

/* ---- Totals ------------------------------------------------------------ */

static struct vista_info totals(void)
{
    struct vista_info info;

    OK(vista_info(segment, &info));
    return info;
}

START_TEST(totals_agree)
{
    struct test_random random = test_random_new(4);
    struct vista_info info;
    vista_tx *tx;

    make(16 * MIB, 0);
    info = totals();
    ck_assert_uint_eq(info.heap_blocks + info.heap_used, 0);
    ck_assert_uint_eq(info.heap_free, 16 * MIB);
    ck_assert_uint_eq(info.heap_largest, 16 * MIB);
    for (unsigned round = 0; round < test_times(50); round++) {
        tx = begin();
        change_some(tx, &random);
        info = totals();
        ck_assert_uint_eq(info.heap_used, model.bytes); /* as before it */
        if (round % 4 == 0)
            OK(vista_free(tx, vista_malloc(tx, 100)));
        OK(vista_end_transaction(tx, 0));
        expect_model();
        info = totals();
        ck_assert_uint_eq(info.heap_blocks, model.count);
        ck_assert_uint_eq(info.heap_used, model.bytes);
        ck_assert_uint_le(info.heap_used + info.heap_free, info.size);
        ck_assert_uint_ge(info.heap_used + info.heap_free, info.size - info.size / 64);
        tx = begin(); /* it can be had, and no more */
        SOME(vista_malloc(tx, info.heap_largest));
        OK(vista_abort_transaction(tx));
        tx = begin();
        NULLS(vista_malloc(tx, info.heap_largest + 1), ENOMEM, "");
        OK(vista_abort_transaction(tx));
    }
    OK(vista_unmap(segment));
    segment = vista_map(path, 0, VISTA_READ_ONLY, NULL);
    SOME(segment);
    ck_assert_uint_eq(totals().heap_used, info.heap_used);
    ck_assert_uint_eq(totals().heap_largest, info.heap_largest);
    OK(vista_unmap(segment));
    make(MIB, VISTA_NO_HEAP);
    info = totals();
    ck_assert_uint_eq(info.heap_blocks + info.heap_used + info.heap_free + info.heap_largest, 0);
    finish();
}
END_TEST

START_TEST(damaged_heap)
{
    const uint64_t bad = VI_SPAN(VI_SPAN_SMALL, 77, 3), end = MIB / VI_UNIT + 4;
    struct vista_info info;
    int left = 1000;

    make(MIB, 0);
    SOME(vista_root(segment, 100));
    OK(vista_unmap(segment));
    const struct vi_superblock s = test_superblock(path, test_superblock_current(path));

    test_poke(path, s.heap_offset + VI_PAGE + 8 * 100, &bad, sizeof bad);
    segment = vista_map(path, 0, 0, NULL);
    SOME(segment);
    info = totals();
    ck_assert_uint_eq(info.heap_blocks + info.heap_used + info.heap_free + info.heap_largest, 0);
    FAILS(vista_heap_walk(segment, stop, &left), EBADMSG, "unit 100");
    ck_assert_int_eq(left, 999); /* the root, in front of it */
    OK(vista_unmap(segment));
    test_poke(path, s.heap_offset + offsetof(struct vi_heap_header, end), &end, sizeof end);
    segment = vista_map(path, 0, 0, NULL); /* more was used than there is */
    SOME(segment);
    ck_assert_uint_eq(totals().heap_free, 0);
    FAILS(vista_heap_walk(segment, stop, &left), EBADMSG, "unit 0");
    OK(vista_unmap(segment));
}
END_TEST

/* ---- Fragmentation ------------------------------------------------------ */

/* Bytes of pages that are not free. */
static uint64_t taken(void)
{
    const struct vi_heap *heap = ((struct vi_segment *)segment)->heap;
    uint64_t units = 0;

    for (uint64_t unit = 0; unit < heap->units; unit++)
        units += VI_SPAN_UNITS(vi_descriptor(heap, unit));
    return units * VI_UNIT;
}

/* Sizes: even logarithms from 16 B to 64 KiB; up to 1 KiB; up to 128 B; mostly small. */
static size_t size_like(struct test_random *random, int kind)
{
    const unsigned power = 4 + (unsigned)test_below(random, 12);

    switch (kind) {
    case 0:
        return ((size_t)1 << power) + test_below(random, (uint64_t)1 << power);
    case 1:
        return 1 + test_below(random, KIB);
    case 2:
        return 1 + test_below(random, 128);
    default:
        return 1 + test_below(random, test_below(random, 10) < 8   ? 300
                                      : test_below(random, 10) < 9 ? 8 * KIB
                                                                   : 200 * KIB);
    }
}

START_TEST(little_is_lost)
{
    static const size_t counts[] = {4000, 60000, 100000, 20000};
    struct test_random random = test_random_new(5);
    const size_t count = counts[_i];
    struct {
        void *at;
        size_t size;
    } *blocks = calloc(count, sizeof *blocks);
    uint64_t live = 0;
    double ratio;

    make(256 * MIB, 0);
    for (size_t i = 0; i < test_times(1000000) + 4 * count; i++) {
        __typeof__(blocks) block = &blocks[test_below(&random, count)];
        vista_tx *tx = vista_begin_transaction(segment, 0);

        if (vista_free(tx, block->at) != 0)
            ck_abort_msg("%s", vista_errormsg());
        live -= block->size;
        block->size = size_like(&random, _i);
        block->at = vista_malloc(tx, block->size);
        if (block->at == NULL || vista_end_transaction(tx, 0) != 0)
            ck_abort_msg("%s", vista_errormsg());
        live += block->size;
    }
    ratio = (double)live / (double)taken();
    printf("fragmentation %d: %.1f MB asked for in %.1f MB of pages, %.3f\n", _i,
           (double)live / 1e6, (double)taken() / 1e6, ratio);
    ck_assert_double_ge(ratio, 0.8);
    free(blocks);
    finish();
}
END_TEST

static Suite *suite(void)
{
    Suite *suite = suite_create("walk");
    TCase *tests = test_case(suite, "walk", 60);

    tcase_add_loop_test(tests, walk_finds_what_is_committed, 0, 2);
    tcase_add_test(tests, walk_stops);
    tcase_add_test(tests, visit_may_free);
    tcase_add_test(tests, walk_beside_threads);
    tests = test_case(suite, "totals", 60);
    tcase_add_test(tests, totals_agree);
    tcase_add_test(tests, damaged_heap);
    tests = test_case(suite, "fragmentation", 120);
    tcase_add_loop_test(tests, little_is_lost, 0, 4);
    return suite;
}

int main(void)
{
    return test_run(suite());
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments that list their regions, and the heap of rds in such a one: against a model, aborted, killed,
 * damaged.
 */
#include <rvm/rds.h>
#include <rvm/rvm_segment.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "rvm_support.h"

#define HEAP_AT ((char *)0x7e9000000000) /* where the thread sanitizer has no use for it */
#define HEAP_SIZE (64 * PAGE)
#define STATIC_SIZE (2 * PAGE)

/* The call, whose last argument is &err, gives this code. */
#define SAYS(call, code) \
    do { \
        int err = 12345; \
        (void)(call); \
        ck_assert_msg(err == (code), "%s says %d, errno %d; expected %d", #call, err, errno, \
                      (code)); \
    } while (0)

static const rvm_offset_t no_end;

static void make_heap(void)
{
    WORKS(start(0));
    unlink(data_path);
    SAYS(rds_zap_heap(data_path, no_end, HEAP_AT, STATIC_SIZE, HEAP_SIZE, 10, 32, &err), SUCCESS);
}

/* ---- Segments ---------------------------------------------------------------- */

START_TEST(a_segment)
{
    rvm_region_def_t parts[2] = {{RVM_MK_OFFSET(0, 4 * PAGE), 2 * PAGE, HEAP_AT},
                                 {RVM_MK_OFFSET(0, PAGE), PAGE, HEAP_AT + 8 * PAGE}};
    rvm_region_def_t *got;
    rvm_length_t count;
    struct stat st;
    rvm_tid_t tid;

    GIVES(rvm_create_segment(data_path, no_end, NULL, 2, parts), RVM_EINIT);
    WORKS(start(0));
    GIVES(rvm_load_segment(data_path, no_end, NULL, &count, &got), RVM_ESEGMENT_HDR);
    GIVES(rvm_load_segment(NULL, no_end, NULL, &count, &got), RVM_EREGION_DEF);
    unlink(data_path);
    GIVES(rvm_load_segment(data_path, no_end, NULL, &count, &got), RVM_EIO);
    GIVES(rvm_create_segment(data_path, no_end, NULL, 0, parts), RVM_ERANGE);
    GIVES(rvm_create_segment(data_path, no_end, NULL, 169, parts), RVM_ERANGE);
    parts[0].length++;
    GIVES(rvm_create_segment(data_path, no_end, NULL, 2, parts), RVM_ERANGE);
    parts[0].length--;
    WORKS(rvm_create_segment(data_path, no_end, NULL, 2, parts));
    ck_assert_int_eq(stat(data_path, &st), 0);
    ck_assert_int_eq(st.st_size, 6 * PAGE);
    WORKS(rvm_load_segment(data_path, no_end, NULL, &count, &got));
    ck_assert_uint_eq(count, 2);
    ck_assert_mem_eq(got, parts, sizeof parts);
    commit(HEAP_AT + 8 * PAGE, "second", 6, no_flush);
    GIVES(rvm_load_segment(data_path, no_end, NULL, &count, &got), RVM_EOVERLAP);
    rvm_init_tid(&tid);
    WORKS(rvm_begin_transaction(&tid, restore));
    WORKS(rvm_set_range(&tid, HEAP_AT + 8 * PAGE, 1));
    GIVES(rvm_release_segment(count, &got), RVM_EUNCOMMIT);
    ck_assert_ptr_null(got[0].vmaddr); /* that one is unmapped */
    ck_assert_ptr_eq(got[1].vmaddr, HEAP_AT + 8 * PAGE);
    GIVES(rvm_release_segment(count, &got), RVM_EUNCOMMIT);
    WORKS(rvm_abort_transaction(&tid));
    WORKS(rvm_release_segment(count, &got));
    ck_assert_ptr_null(got);
    GIVES(rvm_release_segment(count, &got), RVM_EREGION_DEF);
    ck_assert_int_eq(madvise(HEAP_AT, PAGE, MADV_NORMAL), -1); /* the memory is gone */
    WORKS(rvm_load_segment(data_path, no_end, NULL, &count, &got));
    ck_assert_mem_eq(HEAP_AT + 8 * PAGE, "second", 6);
    WORKS(rvm_release_segment(count, &got));
}
END_TEST

/* One region fits and the other not: none is mapped. */
START_TEST(a_segment_that_cannot_be_loaded)
{
    rvm_region_def_t parts[2] = {{RVM_MK_OFFSET(0, PAGE), PAGE, HEAP_AT},
                                 {RVM_MK_OFFSET(0, PAGE), PAGE, HEAP_AT + PAGE}};
    rvm_region_def_t *got;
    rvm_length_t count;

    WORKS(start(0));
    WORKS(rvm_create_segment(data_path, no_end, NULL, 2, parts));
    GIVES(rvm_load_segment(data_path, no_end, NULL, &count, &got), RVM_EOVERLAP);
    ck_assert_int_eq(madvise(HEAP_AT, PAGE, MADV_NORMAL), -1);
    WORKS(rvm_create_segment(data_path, no_end, NULL, 1, parts));
    WORKS(rvm_load_segment(data_path, no_end, NULL, &count, &got));
    WORKS(rvm_release_segment(count, &got));
}
END_TEST

/* ---- The heap ------------------------------------------------------------------- */

START_TEST(what_the_heap_refuses)
{
    intentList_t list = {0};
    char *block, *other;
    rds_stats_t stats;
    char *at = NULL;

    SAYS(rds_malloc(1, NULL, &err), EHEAP_INIT);
    SAYS(rds_stop_heap(&err), EHEAP_INIT);
    SAYS(rds_unload_heap(&err), EHEAP_INIT);
    ck_assert_int_eq(rds_get_stats(&stats), EHEAP_INIT);
    SAYS(rds_init_heap(HEAP_AT, HEAP_SIZE, 12, 10, NULL, &err), EBAD_ARGS);
    SAYS(rds_init_heap(HEAP_AT, HEAP_SIZE, 32, 0, NULL, &err), EBAD_ARGS);
    SAYS(rds_init_heap(HEAP_AT, 64, 32, 10, NULL, &err), EBAD_ARGS);
    make_heap();
    SAYS(rds_start_heap(HEAP_AT + PAGE, &err), EHEAP_VERSION_SKEW);
    SAYS(rds_start_heap(HEAP_AT, &err), SUCCESS);
    SAYS(rds_start_heap(HEAP_AT, &err), EHEAP_INIT);
    SAYS(rds_load_heap(data_path, no_end, &at, &err), EHEAP_INIT);
    SAYS(block = rds_malloc(HEAP_SIZE, NULL, &err), ENO_ROOM);
    SAYS(block = rds_malloc(~0ul, NULL, &err), ENO_ROOM);
    SAYS(block = rds_malloc(100, NULL, &err), SUCCESS);
    SAYS(other = rds_malloc(100, NULL, &err), SUCCESS);
    SAYS(rds_free(block + 8, NULL, &err), EBAD_ARGS);
    SAYS(rds_free(HEAP_AT - 32, NULL, &err), EBAD_ARGS);
    SAYS(rds_free(block, NULL, &err), SUCCESS);
    SAYS(rds_free(block, NULL, &err), EFREED_TWICE);
    commit(other + 112, "behind", 6, no_flush); /* its end, too */
    SAYS(rds_free(other, NULL, &err), ECORRUPT);
    ck_assert_int_eq(rds_print_heap(), -1);
    ck_assert_int_eq(rds_fake_free(other, &list), SUCCESS);
    ck_assert_int_eq(rds_do_free(&list, flush), ECORRUPT);
    free(list.table);
    ck_assert_int_eq(rds_stop_heap(NULL), -1); /* also when it is stopped */
    SAYS(rds_malloc(1, NULL, &err), EHEAP_INIT);
}
END_TEST

START_TEST(a_damaged_list)
{
    char *block, *other;

    make_heap();
    SAYS(rds_start_heap(HEAP_AT, &err), SUCCESS);
    SAYS(block = rds_malloc(100, NULL, &err), SUCCESS);
    SAYS(other = rds_malloc(100, NULL, &err), SUCCESS);
    SAYS(rds_free(block, NULL, &err), SUCCESS);
    commit(block, &other, sizeof other, no_flush); /* a link of what is free */
    SAYS(rds_malloc(100, NULL, &err), EBAD_LIST);
}
END_TEST

START_TEST(segments_that_have_no_heap)
{
    rvm_region_def_t part = {RVM_MK_OFFSET(0, PAGE), PAGE, HEAP_AT};
    char *at = NULL;

    WORKS(start(0));
    SAYS(rds_load_heap(data_path, no_end, &at, &err), EBAD_SEGMENT_HDR);
    WORKS(rvm_create_segment(data_path, no_end, NULL, 1, &part));
    SAYS(rds_load_heap(data_path, no_end, &at, &err), EBAD_SEGMENT_HDR);
    SAYS(rds_zap_heap(data_path, no_end, HEAP_AT, 100, PAGE, 10, 32, &err), RVM_ERANGE);
}
END_TEST

START_TEST(transactions_of_the_program)
{
    rds_stats_t before, after;
    intentList_t list = {0};
    char *block, *kept;
    rvm_tid_t tid;

    make_heap();
    SAYS(rds_start_heap(HEAP_AT, &err), SUCCESS);
    SAYS(kept = rds_malloc(500, NULL, &err), SUCCESS);
    ck_assert_int_eq(rds_get_stats(&before), 0);
    rvm_init_tid(&tid);
    WORKS(rvm_begin_transaction(&tid, restore));
    SAYS(block = rds_malloc(700, &tid, &err), SUCCESS);
    SAYS(rds_free(kept, &tid, &err), SUCCESS);
    SAYS(rds_malloc(HEAP_SIZE, &tid, &err), ENO_ROOM);
    WORKS(rvm_abort_transaction(&tid));
    ck_assert_int_eq(rds_get_stats(&after), 0);
    ck_assert_uint_eq(after.mallocbytes, before.mallocbytes);
    ck_assert_int_eq(rds_print_heap(), 0);
    ck_assert_int_eq(rds_fake_free(kept, &list), SUCCESS);
    ck_assert_int_eq(rds_do_free(&list, no_flush), SUCCESS);
    ck_assert_uint_eq(list.count, 0);
    ck_assert_int_eq(rds_get_stats(&after), 0);
    ck_assert_uint_eq(after.mallocbytes, 0);
    ck_assert_uint_eq(after.freebytes, before.freebytes + before.mallocbytes);
    SAYS(block = rds_malloc(HEAP_SIZE - PAGE, NULL, &err), SUCCESS); /* all was joined again */
    ck_assert_int_eq(rds_maxblock(PAGE), 0);
    SAYS(rds_free(block, NULL, &err), SUCCESS);
    ck_assert_int_eq(rds_maxblock(PAGE), 1);
    SAYS(rds_prealloc(40, 20, NULL, &err), SUCCESS);
    SAYS(block = rds_malloc(40, NULL, &err), SUCCESS);
    ck_assert_int_eq(rds_get_stats(&after), 0);
    ck_assert_uint_eq(after.hits, 1);
    ck_assert_uint_eq(after.prealloc, 1);
    ck_assert_int_eq(rds_print_stats(), 0);
}
END_TEST

START_TEST(tracing)
{
    FILE *file = fopen(test_path("trace"), "w+");
    char line[100];

    make_heap();
    SAYS(rds_start_heap(HEAP_AT, &err), SUCCESS);
    rds_trace_on(file);
    SAYS(rds_free(NULL, NULL, &err), EBAD_ARGS);
    rds_trace_off();
    SAYS(rds_free(NULL, NULL, &err), EBAD_ARGS);
    rewind(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    ck_assert_str_eq(line, "rds_free: (nil), code -6\n");
    ck_assert_ptr_null(fgets(line, sizeof line, file));
    fclose(file);
}
END_TEST

/* ---- Against a model ---------------------------------------------------------------- */

#define BLOCKS 64

/* What the static region has: blocks of the program, each filled with its number. */
struct model {
    uint64_t steps;
    struct {
        unsigned char *at;
        uint64_t size;
    } block[BLOCKS];
};

/* One step, in one transaction. */
static void step(struct model *model, struct test_random *random)
{
    const unsigned i = (unsigned)test_below(random, BLOCKS);
    const uint64_t size = 1 + test_below(random, test_below(random, 4) == 0 ? 9000 : 200);
    const bool abort = test_below(random, 8) == 0;
    unsigned char *at = model->block[i].at;
    rvm_tid_t tid;
    int err;

    rvm_init_tid(&tid);
    MUST(rvm_begin_transaction(&tid, restore));
    MUST(rvm_set_range(&tid, &model->block[i], sizeof model->block[i]));
    MUST(rvm_set_range(&tid, &model->steps, sizeof model->steps));
    model->steps++;
    if (at != NULL) {
        REQUIRE(rds_free((char *)at, &tid, &err) == 0);
        model->block[i].at = NULL;
    } else if ((at = (unsigned char *)rds_malloc(size, &tid, &err)) != NULL) {
        model->block[i].at = at;
        model->block[i].size = size;
        MUST(rvm_set_range(&tid, at, size));
        memset(at, (int)i, size);
    } else {
        REQUIRE(err == ENO_ROOM);
    }
    if (abort)
        MUST(rvm_abort_transaction(&tid));
    else
        MUST(rvm_end_transaction(&tid, no_flush));
}

static void check_model(const struct model *model)
{
    uint64_t bytes = 0;
    rds_stats_t stats;

    for (unsigned i = 0; i < BLOCKS; i++) {
        if (model->block[i].at == NULL)
            continue;
        for (uint64_t j = 0; j < model->block[i].size; j++)
            REQUIRE(model->block[i].at[j] == i);
        bytes += model->block[i].size;
    }
    REQUIRE(rds_get_stats(&stats) == 0);
    REQUIRE(stats.mallocbytes >= bytes);
    REQUIRE(bytes != 0 || stats.mallocbytes == 0);
}

static struct model *load_model(void)
{
    char *at = NULL;
    int err;

    MUST(start(RVM_COALESCE_RANGES));
    REQUIRE(rds_load_heap(data_path, no_end, &at, &err) == 0);
    return (struct model *)at;
}

static void create(void *unused)
{
    int err;

    (void)unused;
    MUST(start(0));
    unlink(data_path);
    REQUIRE(rds_zap_heap(data_path, no_end, HEAP_AT, STATIC_SIZE, HEAP_SIZE, 10, 32, &err) == 0);
    MUST(rvm_terminate());
}

static void run_until_killed(void *told)
{
    uint64_t *steps = told;
    struct model *model = load_model();
    struct test_random random = test_random_new(model->steps + 7);

    check_model(model);
    REQUIRE(model->steps == *steps || model->steps == *steps + 1);
    for (;;) {
        step(model, &random);
        __atomic_store_n(steps, model->steps, __ATOMIC_RELEASE);
    }
}

static void run_to_the_end(void *unused)
{
    struct model *model = load_model();
    struct test_random random = test_random_new(1);
    rds_stats_t stats;
    int err;

    (void)unused;
    for (int i = 0; i < 3000; i++)
        step(model, &random);
    check_model(model);
    REQUIRE(freopen("/dev/null", "w", stdout) != NULL && rds_print_heap() == 0);
    for (unsigned i = 0; i < BLOCKS; i++)
        REQUIRE(model->block[i].at == NULL ||
                rds_free((char *)model->block[i].at, NULL, &err) == 0);
    REQUIRE(rds_get_stats(&stats) == 0 && stats.mallocbytes == 0);
    REQUIRE(rds_malloc(HEAP_SIZE - PAGE, NULL, &err) != NULL); /* all was joined */
    REQUIRE(rds_unload_heap(&err) == 0);
    MUST(rvm_terminate());
}

START_TEST(a_model)
{
    ck_assert_int_eq(test_in_child(create, NULL), 0);
    ck_assert_int_eq(test_in_child(run_to_the_end, NULL), 0);
}
END_TEST

START_TEST(a_model_that_is_killed)
{
    struct test_random random = test_random_new(1);
    uint64_t *told = test_share(sizeof *told);

    ck_assert_int_eq(test_in_child(create, NULL), 0);
    for (unsigned i = 0; i < test_times(30); i++) {
        const uint64_t before = *told;
        const pid_t child = test_fork(run_until_killed, told);

        for (int waits = 0; __atomic_load_n(told, __ATOMIC_ACQUIRE) == before && waits < 50000;
             waits++)
            test_sleep_us(100); /* it may have failed */
        test_sleep_us(test_below(&random, 5000));
        kill(child, SIGKILL);
        ck_assert_int_eq(test_wait(child), 128 + SIGKILL);
    }
    ck_assert_uint_gt(*told, test_times(30));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rds");
    TCase *calls = test_case(suite, "calls", 5);
    TCase *model = test_case(suite, "model", 20);

    tcase_add_checked_fixture(calls, set_up, NULL);
    tcase_add_test(calls, a_segment);
    tcase_add_test(calls, a_segment_that_cannot_be_loaded);
    tcase_add_test(calls, what_the_heap_refuses);
    tcase_add_test(calls, a_damaged_list);
    tcase_add_test(calls, segments_that_have_no_heap);
    tcase_add_test(calls, transactions_of_the_program);
    tcase_add_test(calls, tracing);
    tcase_add_checked_fixture(model, set_up, NULL);
    tcase_add_test(model, a_model);
    tcase_add_test(model, a_model_that_is_killed);
    return test_run(suite);
}

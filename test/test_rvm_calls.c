/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Each call of RVM, what it refuses and by which code, options, queries, statistics, threads, and the
 * faults of another implementation that this one must not have.  A test is a process, which has one RVM.
 */
#include <fcntl.h>
#include <pthread.h>
#include <rvm/rvm_statistics.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "rvm_support.h"

/* ---- Starting -------------------------------------------------------------- */

START_TEST(starting)
{
    rvm_region_t region;
    rvm_options_t options;
    rvm_tid_t tid;

    rvm_init_tid(&tid);
    rvm_init_options(&options);
    GIVES(rvm_flush(), RVM_EINIT);
    GIVES(rvm_begin_transaction(&tid, restore), RVM_EINIT);
    GIVES(rvm_set_range(&tid, &tid, 1), RVM_EINIT);
    GIVES(rvm_end_transaction(&tid, flush), RVM_EINIT);
    GIVES(rvm_terminate(), RVM_EINIT);
    GIVES(map_part(&region, 0, 0), RVM_EINIT);
    GIVES(rvm_initialize("RVM Interface Version 1.2", NULL), RVM_EVERSION_SKEW);
    GIVES(rvm_initialize(NULL, NULL), RVM_EVERSION_SKEW);
    options.log_dev = log_path;
    GIVES(RVM_INIT(&options), RVM_EIO); /* there is no log */
    ck_assert_int_eq(errno, ENOENT);
    WORKS(RVM_INIT(NULL));
    GIVES(rvm_flush(), RVM_ELOG);
    GIVES(rvm_truncate(), RVM_ELOG);
    GIVES(map_part(&region, 0, 0), RVM_ELOG);
    GIVES(rvm_begin_transaction(&tid, restore), RVM_ELOG);
    GIVES(rvm_query(&options, NULL), RVM_ELOG);
    GIVES(rvm_set_options(&options), RVM_EIO);
    WORKS(rvm_create_log(&options, &(rvm_offset_t){0, 100000}, 0600));
    WORKS(rvm_set_options(&options));
    WORKS(rvm_set_options(&options)); /* the same log */
    options.log_dev = data_path;
    GIVES(rvm_set_options(&options), RVM_ELOG); /* another one */
    WORKS(rvm_terminate());
    GIVES(rvm_terminate(), RVM_EINIT);
}
END_TEST

START_TEST(options_that_cannot_be)
{
    rvm_options_t *options = rvm_malloc_options(), *copy;

    ck_assert_int_eq(options->truncate, 50);
    ck_assert_uint_eq(options->create_log_mode, 0600);
    WORKS(start(0));
    options->truncate = 101;
    GIVES(rvm_set_options(options), RVM_EOPTIONS);
    options->truncate = 0;
    WORKS(rvm_set_options(options));
    options->flags = 4;
    GIVES(rvm_set_options(options), RVM_EOPTIONS);
    options->flags = RVM_ALL_OPTIMIZATIONS | RVM_MAP_PRIVATE;
    options->pager = log_path;
    GIVES(rvm_set_options(options), RVM_EPAGER);
    options->pager = NULL;
    ck_assert_int_eq(rvm_map_private, 0);
    WORKS(rvm_set_options(options));
    ck_assert_int_ne(rvm_map_private, 0);
    copy = rvm_copy_options(options);
    rvm_free_options(options);
    WORKS(rvm_query(copy, NULL));
    ck_assert_uint_eq(copy->flags, RVM_ALL_OPTIMIZATIONS | RVM_MAP_PRIVATE);
    ck_assert_str_eq(copy->log_dev, log_path);
    copy->struct_id = rvm_tid_id;
    GIVES(rvm_set_options(copy), RVM_EOPTIONS);
    GIVES(rvm_query(copy, NULL), RVM_EOPTIONS);
    GIVES(rvm_set_options(NULL), RVM_EOPTIONS);
    copy->struct_id = rvm_options_id;
    rvm_free_options(copy);
}
END_TEST

/* ---- The log's file ---------------------------------------------------------- */

static rvm_return_t open_log(void)
{
    rvm_options_t options;

    rvm_init_options(&options);
    options.log_dev = log_path;
    return RVM_INIT(&options);
}

START_TEST(logs_that_are_none)
{
    const char codas[] = "....RVM Log Version  1.4";
    char name[PATH_MAX + 10];
    rvm_options_t options;

    make_segment(log_path, 3 * PAGE);
    GIVES(open_log(), RVM_ELOG);
    test_poke(log_path, 0, codas, sizeof codas);
    GIVES(open_log(), RVM_ELOG_VERSION_SKEW);
    make_segment(log_path, 0);
    GIVES(open_log(), RVM_ELOG);
    unlink(log_path);
    WORKS(RVM_INIT(NULL));
    rvm_init_options(&options);
    GIVES(rvm_create_log(&options, &(rvm_offset_t){0, 1}, 0600), RVM_EOPTIONS);
    options.log_dev = log_path;
    GIVES(rvm_create_log(&options, NULL, 0600), RVM_EOPTIONS);
    WORKS(rvm_create_log(&options, &(rvm_offset_t){0, 1}, 0600));
    GIVES(rvm_create_log(&options, &(rvm_offset_t){0, 1}, 0600), RVM_EIO);
    ck_assert_int_eq(errno, EEXIST);
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    options.log_dev = name;
    GIVES(rvm_set_options(&options), RVM_ENAME_TOO_LONG);
    ck_assert_int_eq(chmod(log_path, 0620), 0);
    GIVES(open_log(), RVM_SUCCESS); /* initialized is initialized */
    options.log_dev = log_path;
    GIVES(rvm_set_options(&options), RVM_ELOG); /* others may write it */
    ck_assert_int_eq(chmod(log_path, 0600), 0);
    WORKS(rvm_set_options(&options));
}
END_TEST

/* It has begun a transaction and has a child, which says when it runs and waits to be told to end. */
static void die_with_a_child(void *pipes)
{
    const int *const said = pipes, *const told = said + 2;
    rvm_tid_t tid;
    char *at;

    MUST(start(0));
    at = map_all();
    commit(at, "committed", 9, flush);
    rvm_init_tid(&tid);
    MUST(rvm_begin_transaction(&tid, no_restore));
    MUST(rvm_modify_bytes(&tid, at, "open", 4));
    if (fork() != 0) {
        pause();
        return;
    }
    strcat(log_path, ".child");
    MUST(start(0));
    REQUIRE(rvm_set_range(&tid, at, 1) == RVM_ETID); /* the parent's */
    REQUIRE(rvm_end_transaction(&tid, flush) == RVM_ETID);
    close(told[1]);
    REQUIRE(write(said[1], "", 1) == 1);
    REQUIRE(read(told[0], &tid, 1) == 0);
    _exit(0);
}

/* A child that outlives its parent keeps nothing of its log. */
START_TEST(a_log_is_not_a_childs)
{
    int pipes[4];
    pid_t parent;
    char byte;

    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(pipe(pipes + 2), 0);
    parent = test_fork(die_with_a_child, pipes);
    close(pipes[1]);
    ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
    kill(parent, SIGKILL);
    ck_assert_int_eq(test_wait(parent), 128 + SIGKILL);
    WORKS(start(0));
    ck_assert_mem_eq(map_all(), "committed", 9);
    WORKS(rvm_terminate());
}
END_TEST

static void open_it_too(void *unused)
{
    (void)unused;
    REQUIRE(rvm_flush() == RVM_EINIT); /* a child has no RVM */
    REQUIRE(open_log() == RVM_EIO && errno == EBUSY);
}

START_TEST(a_log_is_one_processs)
{
    WORKS(start(0));
    ck_assert_int_eq(test_in_child(open_it_too, NULL), 0);
    WORKS(rvm_flush());
    WORKS(rvm_terminate());
}
END_TEST

/* ---- Regions --------------------------------------------------------------------- */

START_TEST(mapping)
{
    rvm_region_t one, two;
    char *memory;

    WORKS(start(0));
    WORKS(map_part(&one, PAGE + 100, 10)); /* rounded to a page */
    ck_assert_uint_eq(one.offset.low, PAGE);
    ck_assert_uint_eq(one.length, PAGE);
    ck_assert_int_eq(one.vmaddr[0], 1);
    GIVES(map_part(&two, 0, 0), RVM_EOVERLAP);
    GIVES(map_part(&two, PAGE, 1), RVM_EOVERLAP);
    GIVES(map_part(&two, SIZE, PAGE), RVM_EOFFSET);
    WORKS(map_part(&two, 2 * PAGE, SIZE)); /* cut at the end */
    ck_assert_uint_eq(two.length, SIZE - 2 * PAGE);
    WORKS(rvm_unmap(&two));
    GIVES(rvm_unmap(&two), RVM_ENOT_MAPPED);
    two.length = 100 * PAGE;
    two.vmaddr = one.vmaddr;
    GIVES(rvm_map(&two, NULL), RVM_EVM_OVERLAP);
    two.vmaddr = one.vmaddr + 8;
    GIVES(rvm_map(&two, NULL), RVM_ERANGE);
    memory = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    two.vmaddr = memory;
    two.length = PAGE;
    GIVES(rvm_map(&two, NULL), RVM_ERANGE); /* not for writing */
    mprotect(memory, 4 * PAGE, PROT_READ | PROT_WRITE);
    two.dev_length = RVM_MK_OFFSET(0, 4 * PAGE + 10);
    two.length = 0;
    WORKS(rvm_map(&two, NULL)); /* the program's own memory; the end is not a page's */
    ck_assert_uint_eq(two.length, 2 * PAGE + 10);
    ck_assert_int_eq(memory[2 * PAGE + 9], 10);
    ck_assert_int_eq(memory[2 * PAGE + 10], 0);
    WORKS(rvm_unmap(&two));
    two.no_copy = rvm_true;
    memory[0] = 99;
    WORKS(rvm_map(&two, NULL));
    ck_assert_int_eq(memory[0], 99);
    one.length = 8;
    WORKS(rvm_unmap(&one)); /* in whole pages */
    two.vmaddr += PAGE;
    two.length -= PAGE;
    GIVES(rvm_unmap(&two), RVM_ERANGE); /* a part */
}
END_TEST

START_TEST(mapping_what_cannot_be)
{
    rvm_region_t region;

    WORKS(start(0));
    rvm_init_region(&region);
    GIVES(rvm_map(&region, NULL), RVM_EREGION_DEF);
    GIVES(rvm_map(NULL, NULL), RVM_EREGION);
    region.data_dev = (char *)"/dev/null";
    GIVES(rvm_map(&region, NULL), RVM_EIO);
    region.data_dev = (char *)"/nowhere/at/all";
    GIVES(rvm_map(&region, NULL), RVM_EIO);
    region.data_dev = data_path;
    region.offset = RVM_MK_OFFSET(1, 0);
    GIVES(rvm_map(&region, NULL), RVM_EOFFSET);
    make_segment(data_path, 0);
    GIVES(map_part(&region, 0, 0), RVM_EOFFSET); /* an empty file */
    region.struct_id = rvm_tid_id;
    GIVES(rvm_map(&region, NULL), RVM_EREGION);
    GIVES(rvm_unmap(&region), RVM_EREGION);
    rvm_init_region(&region);
    GIVES(rvm_unmap(&region), RVM_ENOT_MAPPED);
}
END_TEST

/* Recovery writes to its user's own files only; so no commit may be to another's. */
START_TEST(another_users_segment)
{
    rvm_region_t region;

    if (geteuid() != 0)
        return;
    WORKS(start(0));
    ck_assert_int_eq(chown(data_path, 1, 1), 0);
    GIVES(map_part(&region, 0, 0), RVM_EIO);
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(chown(data_path, 0, 0), 0);
    WORKS(map_part(&region, 0, 0));
}
END_TEST

/* Elsewhere what was committed shows only when the log has been truncated. */
START_TEST(mapped_again_it_has_what_was_committed)
{
    rvm_region_t region;

    WORKS(start(_i == 0 ? 0 : RVM_MAP_PRIVATE));
    WORKS(map_part(&region, 0, PAGE));
    commit(region.vmaddr, "committed", 9, no_flush);
    WORKS(rvm_unmap(&region));
    memset(region.vmaddr, 0, PAGE); /* the program's memory now */
    WORKS(map_part(&region, 0, 2 * PAGE));
    ck_assert_mem_eq(region.vmaddr, "committed", 9);
    commit(region.vmaddr + PAGE, "more", 4, no_flush);
    ck_assert_mem_eq(region.vmaddr + PAGE, "more\5", 5);
    WORKS(rvm_terminate());
    ck_assert_mem_eq(region.vmaddr, "committed", 9);
}
END_TEST

START_TEST(pages_of_others)
{
    char *at = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *mapped;

    WORKS(start(0));
    mapped = map_all();
    ck_assert_int_eq(rvm_register_page(at, 2 * PAGE), rvm_true);
    ck_assert_int_eq(rvm_register_page(at + PAGE, 2 * PAGE), rvm_false);
    ck_assert_int_eq(rvm_register_page(mapped, PAGE), rvm_false);
    ck_assert_int_eq(rvm_unregister_page(at, PAGE), rvm_false);
    ck_assert_int_eq(rvm_unregister_page(at, 2 * PAGE), rvm_true);
    ck_assert_int_eq(rvm_register_page(at + PAGE, 2 * PAGE), rvm_true);
    ck_assert_int_eq(rvm_unregister_page(at + PAGE, 2 * PAGE), rvm_true);
}
END_TEST

/* ---- Transactions ------------------------------------------------------------------- */

START_TEST(what_transactions_refuse)
{
    rvm_region_t region;
    rvm_tid_t tid, copy;
    char *at;

    WORKS(start(0));
    WORKS(map_part(&region, 0, 2 * PAGE));
    at = region.vmaddr;
    rvm_init_tid(&tid);
    GIVES(rvm_set_range(&tid, at, 1), RVM_ETID);
    GIVES(rvm_abort_transaction(&tid), RVM_ETID);
    GIVES(rvm_begin_transaction(NULL, restore), RVM_ETID);
    GIVES(rvm_begin_transaction(&tid, flush), RVM_EMODE);
    WORKS(rvm_begin_transaction(&tid, restore));
    copy = tid;
    GIVES(rvm_begin_transaction(&tid, restore), RVM_ETID);
    GIVES(rvm_set_range(&tid, at - 1, 1), RVM_ENOT_MAPPED);
    GIVES(rvm_set_range(&tid, at + 2 * PAGE - 1, 2), RVM_ENOT_MAPPED);
    GIVES(rvm_modify_bytes(&tid, at, NULL, 2), RVM_ESRC);
    WORKS(rvm_set_range(&tid, at + 2 * PAGE, 0));
    WORKS(rvm_modify_bytes(&tid, at + 1, at, 10)); /* they overlap */
    ck_assert_mem_eq(at, "\1\1\2\3\4\5\6\7\10\11\12\14", 12);
    GIVES(rvm_end_transaction(&tid, restore), RVM_EMODE);
    GIVES(rvm_unmap(&region), RVM_EUNCOMMIT);
    GIVES(rvm_terminate(), RVM_EUNCOMMIT);
    WORKS(rvm_abort_transaction(&tid));
    ck_assert_int_eq(at[1], 2);
    GIVES(rvm_set_range(&copy, at, 1), RVM_ETID); /* an old name */
    WORKS(rvm_begin_transaction(&tid, restore));
    GIVES(rvm_set_range(&copy, at, 1), RVM_ETID); /* which the new one has not */
    tid.struct_id = rvm_region_id;
    GIVES(rvm_set_range(&tid, at, 1), RVM_ETID);
    tid.struct_id = rvm_tid_id;
    WORKS(rvm_end_transaction(&tid, no_flush));
    WORKS(rvm_unmap(&region));
}
END_TEST

/* Old values are those of rvm_set_range; of ranges that overlap, those of the first. */
START_TEST(aborting)
{
    rvm_tid_t tid;
    char *at;

    WORKS(start(_i == 0 ? 0 : RVM_COALESCE_RANGES));
    at = map_all();
    rvm_init_tid(&tid);
    WORKS(rvm_begin_transaction(&tid, restore));
    at[0] = 50; /* before it is declared */
    WORKS(rvm_set_range(&tid, at, 100));
    memset(at, 60, 100);
    WORKS(rvm_set_range(&tid, at + 10, 20));
    WORKS(rvm_set_range(&tid, at + 50, 200));
    memset(at, 70, 250);
    WORKS(rvm_abort_transaction(&tid));
    ck_assert_int_eq(at[0], 50);
    for (int i = 1; i < 250; i++)
        ck_assert_int_eq((unsigned char)at[i], i + 1);
    WORKS(rvm_begin_transaction(&tid, no_restore));
    WORKS(rvm_set_range(&tid, at, 100));
    memset(at, 80, 100);
    WORKS(rvm_abort_transaction(&tid));
    ck_assert_int_eq(at[99], 80); /* memory stays as it is */
    WORKS(rvm_terminate());
    expect_file(0, "", 0);
}
END_TEST

START_TEST(too_large_a_transaction)
{
    const size_t size = 4 << 20;
    rvm_region_t region;
    rvm_tid_t tid;

    make_segment(data_path, size);
    WORKS(start(0));
    WORKS(map_part(&region, 0, 0));
    rvm_init_tid(&tid);
    WORKS(rvm_begin_transaction(&tid, restore));
    WORKS(rvm_set_range(&tid, region.vmaddr, size));
    memset(region.vmaddr, 0, size);
    GIVES(rvm_end_transaction(&tid, flush), RVM_ETOO_BIG);
    WORKS(rvm_abort_transaction(&tid)); /* it was open still */
    ck_assert_int_eq(region.vmaddr[5], 6);
    WORKS(rvm_begin_transaction(&tid, restore));
    WORKS(rvm_set_range(&tid, region.vmaddr, (256 << 10) - 56)); /* what the log was made for */
    memset(region.vmaddr, 7, (256 << 10) - 56);
    WORKS(rvm_end_transaction(&tid, flush));
    WORKS(rvm_terminate());
}
END_TEST

/* A range that was committed by no_flush, then changed and not committed, is durable as it was
 * when it was committed. */
START_TEST(commit_time_values)
{
    rvm_tid_t tid;
    char *at;

    WORKS(start(0));
    at = map_all();
    commit(at, "committed", 9, no_flush);
    rvm_init_tid(&tid);
    WORKS(rvm_begin_transaction(&tid, restore));
    WORKS(rvm_modify_bytes(&tid, at, "not at all", 10));
    WORKS(rvm_flush());
    WORKS(rvm_truncate());
    expect_file(0, "committed", 9);
    WORKS(rvm_abort_transaction(&tid));
    WORKS(rvm_terminate());
    expect_file(0, "committed", 9);
}
END_TEST

/* ---- Looking -------------------------------------------------------------------------- */

START_TEST(queries_and_statistics)
{
    rvm_statistics_t *s = rvm_malloc_statistics();
    rvm_options_t options;
    rvm_region_t one, two;
    rvm_tid_t tid[3];
    char line[100];
    FILE *file;

    WORKS(start(0));
    WORKS(map_part(&one, 0, PAGE));
    WORKS(map_part(&two, PAGE, PAGE));
    rvm_init_options(&options);
    WORKS(rvm_query(&options, NULL));
    ck_assert_int_eq(options.log_empty, rvm_true);
    ck_assert_uint_eq(options.n_uncommit, 0);
    for (int i = 0; i < 3; i++) {
        rvm_init_tid(&tid[i]);
        WORKS(rvm_begin_transaction(&tid[i], restore));
        WORKS(rvm_modify_bytes(&tid[i], (i == 0 ? &one : &two)->vmaddr, &i, sizeof i));
    }
    WORKS(rvm_query(&options, NULL));
    ck_assert_uint_eq(options.n_uncommit, 3);
    WORKS(rvm_query(&options, &one));
    ck_assert_uint_eq(options.n_uncommit, 1);
    ck_assert_int_eq(memcmp(&options.tid_array[0].uname, &tid[0].uname, sizeof tid[0].uname), 0);
    WORKS(rvm_end_transaction(&options.tid_array[0], no_flush)); /* that is a name of it, too */
    GIVES(rvm_end_transaction(&tid[0], no_flush), RVM_ETID);
    WORKS(rvm_query(&options, &one));
    ck_assert_uint_eq(options.n_uncommit, 0);
    ck_assert_int_eq(options.log_empty, rvm_false);
    GIVES(rvm_query(&options, &(rvm_region_t){.struct_id = rvm_region_id, .length = 1}),
          RVM_ENOT_MAPPED);
    GIVES(rvm_query(&options, &(rvm_region_t){0}), RVM_EREGION);
    WORKS(rvm_abort_transaction(&tid[1]));
    GIVES(rvm_statistics("Version 0", s), RVM_ESTAT_VERSION_SKEW);
    GIVES(RVM_STATISTICS(NULL), RVM_ESTATISTICS);
    WORKS(RVM_STATISTICS(s));
    ck_assert_uint_eq(s->n_uncommit, 1);
    ck_assert_uint_eq(s->n_unflush, 1);
    WORKS(rvm_end_transaction(&tid[2], flush));
    WORKS(rvm_flush());
    WORKS(rvm_truncate());
    WORKS(RVM_STATISTICS(s));
    ck_assert_uint_eq(s->n_abort, 1);
    ck_assert_uint_eq(s->n_flush_commit, 1);
    ck_assert_uint_eq(s->n_no_flush_commit, 1);
    ck_assert_uint_eq(s->n_unflush, 0);
    ck_assert_uint_eq(s->n_rvm_flush, 1);
    ck_assert_uint_eq(s->n_truncation, 1);
    ck_assert_uint_eq(s->n_range, 3);
    ck_assert_uint_eq(s->log_written.low, 2 * (40 + 16 + 8));
    ck_assert_uint_eq(s->log_used.low, 0);
    file = fopen(test_path("printed"), "w+");
    WORKS(rvm_print_statistics(s, file));
    rewind(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    ck_assert_str_eq(line,
                     "transactions: 1 aborted, 1 committed by flush, 1 by no_flush, 0 open, 0 "
                     "not yet durable\n");
    fclose(file);
    rvm_free_statistics(s);
    free(options.tid_array);
}
END_TEST

START_TEST(names_and_structures)
{
    rvm_tid_t tid, *copy;

    ck_assert_str_eq(rvm_return(RVM_SUCCESS), "RVM_SUCCESS");
    ck_assert_str_eq(rvm_return(RVM_EINIT), "RVM_EINIT");
    ck_assert_str_eq(rvm_return(RVM_EOVERLAP), "RVM_EOVERLAP");
    ck_assert_str_eq(rvm_return(RVM_EVM_OVERLAP), "RVM_EVM_OVERLAP");
    ck_assert_str_eq(rvm_return((rvm_return_t)227), "invalid return code");
    ck_assert_str_eq(rvm_return((rvm_return_t)1), "invalid return code");
    ck_assert_str_eq(rvm_mode(no_flush), "no_flush");
    ck_assert_str_eq(rvm_mode((rvm_mode_t)139), "invalid mode");
    ck_assert_str_eq(rvm_type(rvm_statistics_id), "rvm_statistics_t");
    ck_assert_str_eq(rvm_type((rvm_struct_id_t)44), "invalid structure type");
    rvm_init_tid(&tid);
    ck_assert_int_eq(tid.from_heap, rvm_false);
    copy = rvm_copy_tid(&tid);
    ck_assert_int_eq(copy->from_heap, rvm_true);
    rvm_free_tid(copy);
    rvm_free_tid(&tid);
    ck_assert_int_eq(tid.struct_id, 0);
    ck_assert_ptr_null(rvm_copy_tid(&tid));
    rvm_free_tid(&tid);
    rvm_free_tid(NULL);
}
END_TEST

START_TEST(offsets)
{
    rvm_offset_t a = RVM_MK_OFFSET(1, ~0ul), b = RVM_MK_OFFSET(0, 2), sum;

    sum = RVM_ADD_OFFSETS(a, b);
    ck_assert(sum.high == 2 && sum.low == 1);
    sum = RVM_SUB_OFFSETS(sum, b);
    ck_assert(RVM_OFFSET_EQL(sum, a));
    sum = RVM_ADD_LENGTH_TO_OFFSET(a, 1);
    ck_assert(sum.high == 2 && sum.low == 0);
    sum = RVM_SUB_LENGTH_FROM_OFFSET(sum, 1);
    ck_assert(RVM_OFFSET_EQL(sum, a) && RVM_OFFSET_LSS(b, a) && RVM_OFFSET_GTR(a, b));
    ck_assert(RVM_OFFSET_LEQ(a, a) && RVM_OFFSET_GEQ(a, a) && !RVM_OFFSET_LEQ(a, b));
    ck_assert_uint_eq(RVM_OFFSET_HIGH_BITS_TO_LENGTH(a), 1);
    b = RVM_MK_OFFSET(0, PAGE + 1);
    ck_assert_uint_eq(RVM_RND_OFFSET_UP_TO_PAGE(b).low, 2 * PAGE);
    ck_assert_uint_eq(RVM_RND_OFFSET_DN_TO_PAGE(b).low, PAGE);
    ck_assert_uint_eq(RVM_RND_LENGTH_UP_TO_PAGE(1), PAGE);
    ck_assert_uint_eq(RVM_RND_LENGTH_DN_TO_PAGE(PAGE + 1), PAGE);
    ck_assert_uint_eq(RVM_PAGE_SIZE, PAGE);
    ck_assert_uint_eq(RVM_PAGE_MASK, ~(rvm_length_t)(PAGE - 1));
    RVM_ZERO_OFFSET(b);
    ck_assert(RVM_OFFSET_EQL_ZERO(b));
}
END_TEST

/* ---- Truncation and threads ------------------------------------------------------------- */

static void set_truncation(long percent)
{
    rvm_options_t options;

    rvm_init_options(&options);
    options.truncate = percent;
    WORKS(rvm_set_options(&options));
}

static rvm_length_t used(void)
{
    rvm_statistics_t s;

    rvm_init_statistics(&s);
    WORKS(RVM_STATISTICS(&s));
    return s.log_used.low;
}

/* By a thread when it is that full, or, at 0, only when it is full. */
START_TEST(truncation_by_itself)
{
    static char bytes[PAGE];
    rvm_length_t most = 0, size;
    rvm_statistics_t s;
    char *at;

    WORKS(start(0));
    rvm_init_statistics(&s);
    WORKS(RVM_STATISTICS(&s));
    size = s.log_size.low;
    set_truncation(_i);
    at = map_all();
    for (int i = 0; i < 1000; i++) {
        memset(bytes, i, sizeof bytes);
        commit(at + i % 16 * PAGE, bytes, sizeof bytes, no_flush);
        most = used() > most ? used() : most;
    }
    if (_i == 0)
        ck_assert_uint_gt(most, size * 9 / 10);
    for (int waits = 0; _i != 0 && used() > size / 100 * (rvm_length_t)_i; waits++) {
        ck_assert_int_lt(waits, 10000);
        test_sleep_us(1000);
    }
    WORKS(rvm_terminate());
    at = malloc(SIZE);
    for (int i = 984; i < 1000; i++)
        memset(at + i % 16 * PAGE, i, PAGE);
    expect_file(0, at, SIZE);
    free(at);
}
END_TEST

#define THREADS 4
#define EACH 100

static void *count(void *arg)
{
    uint64_t *counter = arg;
    rvm_tid_t tid;

    rvm_init_tid(&tid);
    for (int i = 0; i < EACH; i++) {
        if (rvm_begin_transaction(&tid, restore) != RVM_SUCCESS ||
            rvm_set_range(&tid, counter, sizeof *counter) != RVM_SUCCESS)
            return arg;
        ++*counter;
        if (i % 10 == 9 && rvm_abort_transaction(&tid) != RVM_SUCCESS)
            return arg;
        if (i % 10 != 9 && rvm_end_transaction(&tid, i % 3 ? no_flush : flush) != RVM_SUCCESS)
            return arg;
    }
    return NULL;
}

/* Each its own counter and transactions; one truncates, asks and maps meanwhile. */
START_TEST(threads)
{
    uint64_t *counter, zero[THREADS] = {0};
    rvm_region_t region, other;
    pthread_t thread[THREADS];
    rvm_options_t options;
    void *failed;

    WORKS(start(0));
    WORKS(map_part(&region, 0, PAGE));
    commit(region.vmaddr, zero, sizeof zero, flush);
    counter = (uint64_t *)region.vmaddr;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count, counter + i), 0);
    rvm_init_options(&options);
    for (int i = 0; i < 20; i++) {
        WORKS(rvm_truncate());
        WORKS(map_part(&other, PAGE, 2 * PAGE));
        WORKS(rvm_query(&options, NULL));
        ck_assert_uint_le(options.n_uncommit, THREADS);
        WORKS(rvm_unmap(&other));
        munmap(other.vmaddr, other.length);
    }
    free(options.tid_array);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
        ck_assert_uint_eq(counter[i], EACH * 9 / 10);
    }
    WORKS(rvm_terminate());
    for (int i = 0; i < THREADS; i++)
        zero[i] = EACH * 9 / 10;
    expect_file(0, zero, sizeof zero);
}
END_TEST

static rvm_return_t commit_durably(char *at)
{
    rvm_tid_t tid;
    rvm_return_t result;

    rvm_init_tid(&tid);
    result = rvm_begin_transaction(&tid, no_restore);
    if (result == RVM_SUCCESS)
        result = rvm_set_range(&tid, at, 8);
    return result == RVM_SUCCESS ? rvm_end_transaction(&tid, flush) : result;
}

/* Says how the calls have ended. */
static void *use_until_terminated(void *at)
{
    rvm_return_t result = RVM_SUCCESS;
    rvm_options_t options;
    rvm_statistics_t s;

    rvm_init_options(&options);
    rvm_init_statistics(&s);
    while (result == RVM_SUCCESS) {
        result = at != NULL ? commit_durably(at) : RVM_STATISTICS(&s);
        if (result == RVM_SUCCESS)
            result = at != NULL ? rvm_flush() : rvm_query(&options, NULL);
        if (result == RVM_SUCCESS && at == NULL)
            result = rvm_truncate();
    }
    free(options.tid_array);
    return (void *)(uintptr_t)result;
}

/* Calls that are at it when another thread terminates have the log until they return. */
START_TEST(terminating_what_is_in_use)
{
    pthread_t thread[THREADS];
    rvm_return_t result;
    void *ended;
    char *at;

    WORKS(start(0));
    at = map_all();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, use_until_terminated, i ? at : NULL), 0);
    test_sleep_us(1000);
    do
        result = rvm_terminate();
    while (result == RVM_EUNCOMMIT);
    WORKS(result);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], &ended);
        ck_assert_uint_eq((uintptr_t)ended, RVM_EINIT);
    }
}
END_TEST

#define OTHERS 2000

struct unmapped {
    char *at;
    bool is_over;
};

/* Ends each transaction that has got a range. */
static void *declare_until_unmapped(void *arg)
{
    struct unmapped *it = arg;
    rvm_tid_t tid;

    rvm_init_tid(&tid);
    while (rvm_begin_transaction(&tid, no_restore) == RVM_SUCCESS) {
        bool is_mapped;

        test_sleep_us(10);
        is_mapped = rvm_set_range(&tid, it->at, 8) == RVM_SUCCESS;
        test_sleep_us(10);
        /* Who has a range has the region, until it ends. */
        if (is_mapped && __atomic_load_n(&it->is_over, __ATOMIC_ACQUIRE))
            return arg;
        if (rvm_end_transaction(&tid, no_flush) != RVM_SUCCESS)
            return arg;
        if (!is_mapped && __atomic_load_n(&it->is_over, __ATOMIC_ACQUIRE))
            return NULL;
    }
    return arg;
}

/* No range is of a region that has been unmapped meanwhile.  Other transactions make the search for ranges
 * take its time. */
START_TEST(unmapping_what_is_in_use)
{
    static rvm_tid_t others[OTHERS];
    struct unmapped it = {NULL, false};
    rvm_region_t region, other;
    pthread_t thread;
    void *failed;

    WORKS(start(0));
    WORKS(map_part(&other, PAGE, PAGE)); /* so that the segment stays the log's */
    for (unsigned i = 0; i < OTHERS; i++) {
        rvm_init_tid(&others[i]);
        WORKS(rvm_begin_transaction(&others[i], no_restore));
    }
    for (unsigned i = 0; i < test_times(200); i++) {
        rvm_return_t result;

        WORKS(map_part(&region, 0, PAGE));
        it = (struct unmapped){region.vmaddr, false};
        ck_assert_int_eq(pthread_create(&thread, NULL, declare_until_unmapped, &it), 0);
        test_sleep_us(200);
        do
            result = rvm_unmap(&region);
        while (result == RVM_EUNCOMMIT);
        __atomic_store_n(&it.is_over, true, __ATOMIC_RELEASE);
        WORKS(result);
        pthread_join(thread, &failed);
        ck_assert_ptr_null(failed);
        munmap(region.vmaddr, region.length);
    }
    for (unsigned i = 0; i < OTHERS; i++)
        WORKS(rvm_abort_transaction(&others[i]));
    WORKS(rvm_terminate());
}
END_TEST

/* ---- What a log recovers ----------------------------------------------------------------- */

static void commit_and_end(void *unused)
{
    char *at;

    (void)unused;
    MUST(start(0));
    at = map_all();
    commit(at, "recovered", 9, flush);
    _exit(0);
}

#define MOST ((rlim_t)64 << 20) /* more than the log has */

/* The segment cannot be written, but the log can. */
static void terminate_without_truncation(void *unused)
{
    const struct rlimit limit = {MOST, MOST};
    rvm_region_t region;

    (void)unused;
    signal(SIGXFSZ, SIG_IGN);
    MUST(start(0));
    MUST(map_part(&region, MOST, PAGE));
    commit(region.vmaddr, "recovered", 9, no_flush);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (int i = 0; i < 2; i++) /* it stays mapped */
        REQUIRE(rvm_unmap(&region) == RVM_EIO && errno == EFBIG);
    REQUIRE(rvm_terminate() == RVM_EIO && errno == EFBIG);
    REQUIRE(rvm_terminate() == RVM_EINIT);
}

/* The end says that it has not truncated, and has flushed. */
START_TEST(truncation_that_fails_at_the_end)
{
    rvm_region_t region;

    ck_assert_int_eq(truncate(data_path, MOST + PAGE), 0);
    ck_assert_int_eq(test_in_child(terminate_without_truncation, NULL), 0);
    WORKS(start(0));
    WORKS(map_part(&region, MOST, PAGE));
    ck_assert_mem_eq(region.vmaddr, "recovered", 9);
    WORKS(rvm_terminate());
}
END_TEST

/* A segment that is not what it was is not written to. */
START_TEST(another_file_in_a_segments_place)
{
    const char *moved = test_path("moved");

    ck_assert_int_eq(test_in_child(commit_and_end, NULL), 0);
    ck_assert_int_eq(rename(data_path, moved), 0);
    GIVES(open_log(), RVM_EIO);
    make_segment(data_path, SIZE);
    GIVES(open_log(), RVM_EIO);
    expect_file(0, "", 0);
    unlink(data_path);
    ck_assert_int_eq(symlink(moved, data_path), 0);
    GIVES(open_log(), RVM_EIO);
    expect_file(0, "", 0);
    ck_assert_int_eq(rename(moved, data_path), 0);
    ck_assert_int_eq(truncate(data_path, PAGE), 0);
    GIVES(open_log(), RVM_EIO); /* shorter than it was */
    make_segment(data_path, SIZE);
    WORKS(open_log());
    expect_file(0, "recovered", 9);
}
END_TEST

/* On many file systems the next file that is made has the inode of the one deleted last. */
START_TEST(a_segment_made_again)
{
    strcpy(data_path, test_disk_path("data"));
    make_segment(data_path, SIZE);
    ck_assert_int_eq(test_in_child(commit_and_end, NULL), 0);
    ck_assert_int_eq(unlink(data_path), 0);
    test_sleep_us(20000); /* file systems' clocks are coarse */
    make_segment(data_path, SIZE);
    GIVES(open_log(), RVM_EIO);
    ck_assert_int_eq(errno, ESTALE);
    expect_file(0, "", 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rvm_calls");
    TCase *calls = test_case(suite, "calls", 5);

    tcase_add_checked_fixture(calls, set_up, NULL);
    tcase_add_test(calls, starting);
    tcase_add_test(calls, options_that_cannot_be);
    tcase_add_test(calls, logs_that_are_none);
    tcase_add_test(calls, a_log_is_one_processs);
    tcase_add_test(calls, a_log_is_not_a_childs);
    tcase_add_test(calls, mapping);
    tcase_add_test(calls, mapping_what_cannot_be);
    tcase_add_test(calls, another_users_segment);
    tcase_add_loop_test(calls, mapped_again_it_has_what_was_committed, 0, 2);
    tcase_add_test(calls, pages_of_others);
    tcase_add_test(calls, what_transactions_refuse);
    tcase_add_loop_test(calls, aborting, 0, 2);
    tcase_add_test(calls, too_large_a_transaction);
    tcase_add_test(calls, commit_time_values);
    tcase_add_test(calls, queries_and_statistics);
    tcase_add_test(calls, names_and_structures);
    tcase_add_test(calls, offsets);
    tcase_add_test(calls, truncation_that_fails_at_the_end);
    tcase_add_test(calls, another_file_in_a_segments_place);
    tcase_add_test(calls, a_segment_made_again);
    tcase_add_loop_test(calls, truncation_by_itself, 0, 1);
    tcase_add_loop_test(calls, truncation_by_itself, 20, 21);
    tcase_add_test(calls, threads);
    tcase_add_loop_test(calls, terminating_what_is_in_use, 0, 10);
    tcase_add_test(calls, unmapping_what_is_in_use);
    return test_run(suite);
}

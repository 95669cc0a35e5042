/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The disk command: what commits that a disk has cost, libvista's beside the floor and the peers that sync,
 * and the bars of the disk class, each with its figure.
 */
#include <stdlib.h>
#include <string.h>

#include "bank.h"
#include "bench.h"

struct line {
    const char *workload, *peer;
    enum durability class;
    unsigned threads;
    size_t range;
};

static const struct line commits[] = {
    {"synthetic", "vista-disk-lazy", CLASS_KILL, 1, 8},
    {"synthetic", "floor-ring", CLASS_KILL, 1, 8},
    {"synthetic", "rvm-lazy", CLASS_KILL, 1, 8},
    {"synthetic", "vista-disk", CLASS_SYNC, 1, 8},
    {"synthetic", "floor-sync", CLASS_SYNC, 1, 8},
    {"synthetic", "rvm", CLASS_SYNC, 1, 8},
    {"debit-credit", "vista", CLASS_KILL, 1, 0},
    {"debit-credit", "vista-disk-lazy", CLASS_KILL, 1, 0},
    {"debit-credit", "vista-disk-everysec", CLASS_KILL, 1, 0},
    {"debit-credit", "floor-ring", CLASS_KILL, 1, 0},
    {"debit-credit", "rvm-lazy", CLASS_KILL, 1, 0},
    {"debit-credit", "vista-disk", CLASS_SYNC, 1, 0},
    {"debit-credit", "floor-sync", CLASS_SYNC, 1, 0},
    {"debit-credit", "rvm", CLASS_SYNC, 1, 0},
    {"debit-credit", "lmdb", CLASS_SYNC, 1, 0},
    {"debit-credit", "sqlite", CLASS_SYNC, 1, 0},
    {"debit-credit", "libpmemobj", CLASS_SYNC, 1, 0},
    {"debit-credit", "vista-disk-8", CLASS_SYNC, 1, 0},
    {"debit-credit", "vista-disk-64", CLASS_SYNC, 1, 0},
    {"debit-credit", "vista-disk", CLASS_SYNC, 16, 0},
};

static const struct line measures[] = {
    {"latency-quiet", "vista-disk", CLASS_SYNC, 1, 0},
    {"latency-truncating", "vista-disk", CLASS_SYNC, 1, 0},
    {"latency-truncating", "floor-sync", CLASS_SYNC, 1, 0},
    {"latency-fresh", "vista-disk", CLASS_SYNC, 1, 0},
    {"latency-fresh", "floor-sync", CLASS_SYNC, 1, 0},
    {"recovery-disk", "vista-disk", CLASS_SYNC, 1, 0},
    {"recovery-disk", "floor-sync", CLASS_SYNC, 1, 0},
    {"map-sparse", "vista-disk", CLASS_SYNC, 1, 0},
    {"malloc-large", "vista-disk", CLASS_SYNC, 1, 0},
    {"footprint", "vista-disk", CLASS_SYNC, 1, 0},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- Bars ---------------------------------------------------------------- */

static const struct row *find(const struct table *table, const char *workload, const char *peer,
                              unsigned threads)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];

        if (strcmp(row->workload, workload) == 0 && strcmp(row->peer, peer) == 0 &&
            row->threads == threads && !row->failed)
            return row;
    }
    return NULL;
}

static void print_bar(int number, const char *what, double figure, const char *relation, double bar,
                      bool met)
{
    printf("%3d  %-78s %8.3g  %s %-6g %s\n", number, what, figure, relation, bar,
           met ? "met" : "NOT MET");
}

static void at_most(int number, const char *what, double figure, double bar)
{
    print_bar(number, what, figure, "<=", bar, figure <= bar);
}

static void at_least(int number, const char *what, double figure, double bar)
{
    print_bar(number, what, figure, ">=", bar, figure >= bar);
}

static void beside(int number, const char *what, double figure)
{
    printf("%3d  %-78s %8.3g\n", number, what, figure);
}

static void without(int number, const char *what, const char *why)
{
    printf("%3d  %-78s %8s  %s\n", number, what, "-", why);
}

struct pair {
    int number;
    const char *what;
    const char *workload, *peer, *other_workload, *other;
    size_t offset; /* in a row, of what is compared */
    double bar;
};

#define NS offsetof(struct row, ns)
#define CPU offsetof(struct row, cpu)
#define P50 offsetof(struct row, p50)
#define P99 offsetof(struct row, p99)
#define DC "debit-credit"

/* Of rows of the first table, then of the second. */
static const struct pair pairs[] = {
    {1, "NO_FLUSH, 8 B: the thread's CPU, in times of an undo log and a ring by hand", "synthetic",
     "vista-disk-lazy", "synthetic", "floor-ring", CPU, 1.3},
    {1, "NO_FLUSH, debit-credit: the same", DC, "vista-disk-lazy", DC, "floor-ring", CPU, 1.3},
    {2, "flushed, 8 B: in times of one pwritev2(RWF_DSYNC) of the same bytes", "synthetic",
     "vista-disk", "synthetic", "floor-sync", NS, 1.10},
    {2, "flushed, debit-credit: the same", DC, "vista-disk", DC, "floor-sync", NS, 1.10},
    {2, "flushed, debit-credit: in times of SQLite's (WAL, synchronous=FULL)", DC, "vista-disk", DC,
     "sqlite", NS, 0.75},
    {2, "flushed, debit-credit: in times of LMDB's", DC, "vista-disk", DC, "lmdb", NS, 0.5},
    {4, "median latency while truncating, in times of that without", "latency-truncating",
     "vista-disk", "latency-quiet", "vista-disk", P50, 1.3},
    {4, "99 % latency while truncating, in times of the floor's with the same writes",
     "latency-truncating", "vista-disk", "latency-truncating", "floor-sync", P99, 1.5},
    {4, "median latency, blocks never written before, in times of that without truncation",
     "latency-fresh", "vista-disk", "latency-quiet", "vista-disk", P50, 1.3},
    {4, "99 % latency, blocks never written before, in times of the floor's", "latency-fresh",
     "vista-disk", "latency-fresh", "floor-sync", P99, 1.5},
    {5, "recovery of 16 MiB of log, in times of: read it, write its pages, sync", "recovery-disk",
     "vista-disk", "recovery-disk", "floor-sync", NS, 1.5},
};

/* The librvm of the system, Coda's, or ours, which has no bar to keep here. */
#ifdef BENCH_INSTALLED
#define CODA(number, what, figure, bar) at_most(number, what " Coda's", figure, bar)
#else
#define CODA(number, what, figure, bar) \
    (beside(number, what " our RVM's", figure), \
     without(number, what " Coda's", "Coda's librvm is not installed"))
#endif

static void print_pairs(const struct table *table, int number)
{
    for (size_t i = 0; i < COUNT(pairs); i++) {
        const struct pair *p = &pairs[i];
        const struct row *row = find(table, p->workload, p->peer, 1),
                         *other = find(table, p->other_workload, p->other, 1);

        if (p->number != number)
            continue;
        if (row == NULL || other == NULL)
            without(number, p->what, "a peer is missing, or its run failed");
        else
            at_most(number, p->what, bench_ratio_at(row, other, p->offset), p->bar);
    }
}

static void print_rvm(const struct table *table, int number)
{
    const struct row *eight = find(table, "synthetic", "vista-disk-lazy", 1),
                     *other = find(table, "synthetic", "rvm-lazy", 1),
                     *flushed = find(table, DC, "vista-disk", 1), *rvm = find(table, DC, "rvm", 1),
                     *lazy = find(table, DC, "vista-disk-lazy", 1),
                     *rvm_lazy = find(table, DC, "rvm-lazy", 1);

    if (number == 1 && eight != NULL && other != NULL)
        CODA(1, "NO_FLUSH, 8 B: CPU in times of", bench_ratio_at(eight, other, CPU), 1.0 / 6);
    if (number == 1 && lazy != NULL && rvm_lazy != NULL)
        CODA(1, "NO_FLUSH, debit-credit: CPU in times of", bench_ratio_at(lazy, rvm_lazy, CPU),
             1.0 / 6);
    if (number == 2 && flushed != NULL && rvm != NULL)
        CODA(2, "flushed, debit-credit: in times of", bench_ratio(flushed, rvm), 1.05);
}

static void print_groups(const struct table *table)
{
    const struct row *one = find(table, DC, "vista-disk", 1),
                     *eight = find(table, DC, "vista-disk-8", 1),
                     *many = find(table, DC, "vista-disk-64", 1),
                     *threads = find(table, DC, "vista-disk", 16);

    if (one != NULL && eight != NULL)
        at_least(3, "batches of 8, the last flushed: commits a second, in times of batches of 1",
                 bench_ratio(one, eight), 6);
    if (one != NULL && many != NULL)
        at_least(3, "batches of 64: the same", bench_ratio(one, many), 35);
    if (threads != NULL)
        at_most(3, "16 threads: syncs a commit", threads->median.syncs, 0.15);
}

static void print_large(const struct table *table)
{
    const struct row *sparse = find(table, "map-sparse", "vista-disk", 1),
                     *large = find(table, "malloc-large", "vista-disk", 1),
                     *flat = find(table, "footprint", "vista-disk", 1);

    if (sparse != NULL)
        at_most(6, "16 GiB sparse, mapped: ms of CPU", sparse->median.ns / 1e6, 10);
    if (large != NULL)
        beside(6, "vista_malloc of 256 MiB, map, unmap: ms of CPU", large->median.ns / 1e6);
    if (flat != NULL) {
        at_most(6, "1 GiB flat, read, 1 % written: GiB of memory and page cache",
                flat->median.ns / 1073741824, 1.05);
        printf("     %s\n", flat->median.verdict);
    }
}

static void print_bars(const struct table *work, const struct table *measured)
{
    printf("\nthe bars of the disk class on %s: medians of %u turns, ratios within each turn\n",
           bench_file_system(work->config->path), work->config->runs);
    print_pairs(work, 1);
    print_rvm(work, 1);
    print_pairs(work, 2);
    print_rvm(work, 2);
    print_groups(work);
    print_pairs(measured, 4);
    print_pairs(measured, 5);
    without(5, "recovery of 16 MiB of log, in times of Coda's", "its log is another: not compared");
    print_large(measured);
    without(7, "the dissertation's table", "bench/run rvm");
    without(8, "states and seeded bugs of the redo log; lines of code",
            "test/run, test/disk_mutants, test/check_size");
}

static void add(struct table *table, const struct line *lines, size_t count)
{
    const struct config *config = table->config;

    for (size_t i = 0; i < count; i++) {
        const struct line *line = &lines[i];
        struct row row = {.workload = line->workload,
                          .peer = line->peer,
                          .class = line->class,
                          .threads = line->threads,
                          .range = line->range};

        row.size = config->size != 0 ? config->size : BANK_SIZE;
        if (row.size < (size_t)row.threads * BANK_ACCOUNTS * sizeof(struct bank_record))
            row.size = (size_t)row.threads * BANK_ACCOUNTS * sizeof(struct bank_record);
        if (bench_driver(line->workload, line->peer) == NULL)
            fprintf(stderr, "vista-bench: %s: %s is skipped: it is not built in\n", line->workload,
                    line->peer);
        else if (config->peers == NULL || bench_list_has(config->peers, line->peer))
            bench_add_row(table, &row);
    }
}

/* What commits cost on a real disk, and the disk class's bars. */
int bench_disk(struct config *config)
{
    struct table work = {config, NULL, 0}, measured = {config, NULL, 0};
    int status;

    config->path = config->path != NULL ? config->path : ".";
    config->seconds = config->seconds != 0 ? config->seconds : 0.5;
    config->runs = config->runs != 0 ? config->runs : 7;
    if (config->classes != NULL)
        bench_usage_error("disk: its rows have their classes");
    if (strcmp(bench_file_system(config->path), "tmpfs") == 0)
        fprintf(stderr, "vista-bench: %s is no disk: flushes cost nothing there\n", config->path);
    add(&work, commits, COUNT(commits));
    add(&measured, measures, COUNT(measures));
    if (work.count + measured.count == 0)
        bench_usage_error("disk: it has none of these peers");
    bench_turns(&work);
    bench_turns(&measured);
    status = bench_report(&work);
    for (unsigned i = 0; i < measured.count; i++)
        if (measured.rows[i].failed) {
            fprintf(stderr, "vista-bench: %s, %s: %s\n", measured.rows[i].workload,
                    measured.rows[i].peer, measured.rows[i].median.verdict);
            status = 1;
        }
    if (!config->json)
        print_bars(&work, &measured);
    free(work.rows);
    free(measured.rows);
    return status;
}

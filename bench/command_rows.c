/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The commands: which rows each one runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bank.h"
#include "bench.h"
#include "orders.h"

/* `copy`, of synthetic alone, goes with plain: see plain.c; `faults` with vista-auto. */
static const char *const peers[] = {"vista",         "vista-two",       "vista-auto",
                                    "floor",         "plain",           "libpmemobj",
                                    "lmdb",          "sqlite",          "copy",
                                    "faults",        "vista-disk",      "vista-disk-8",
                                    "vista-disk-64", "vista-disk-lazy", "vista-disk-everysec",
                                    "floor-sync",    "floor-ring",      "rvm",
                                    "rvm-8",         "rvm-64",          "rvm-lazy"};
#define PEERS (sizeof peers / sizeof peers[0])
#define HEAP_SIZE ((size_t)512 << 20) /* that a run allocates at most */
#define MAIN_PEERS "vista,floor,plain,libpmemobj"

bool bench_peer_known(const char *peer)
{
    for (size_t i = 0; i < PEERS; i++) {
        if (strcmp(peers[i], peer) == 0)
            return true;
    }
    return false;
}

void bench_add_row(struct table *table, const struct row *row)
{
    table->rows = realloc(table->rows, (table->count + 1) * sizeof *table->rows);
    if (table->rows == NULL)
        bench_fail("out of memory");
    table->rows[table->count++] = *row;
}

static size_t default_size(const char *workload)
{
    if (strncmp(workload, "heap", 4) == 0)
        return HEAP_SIZE;
    return strcmp(workload, "order-entry") == 0 ? OE_ITEM_BYTES + OE_WAREHOUSE_BYTES : BANK_SIZE;
}

/* A branch for each thread, a warehouse. */
static size_t least_size(const char *workload, unsigned threads)
{
    if (strcmp(workload, "debit-credit") == 0)
        return (size_t)threads * BANK_ACCOUNTS * sizeof(struct bank_record);
    return strcmp(workload, "order-entry") == 0 ? OE_ITEM_BYTES + OE_WAREHOUSE_BYTES : 1;
}

static bool has_row(const struct table *table, unsigned from, const char *peer)
{
    for (unsigned i = from; i < table->count; i++) {
        if (strcmp(table->rows[i].peer, peer) == 0)
            return true;
    }
    return false;
}

/* The rows of a workload: each class with each peer that has it; plain stores, which
 * have none, once.  Returns how many there are. */
static unsigned add_rows(struct table *table, const char *workload, struct row row)
{
    const struct config *config = table->config;
    const unsigned before = table->count;

    row.workload = workload;
    row.size = config->size != 0 ? config->size : default_size(workload);
    if (row.size < least_size(workload, config->threads))
        row.size = least_size(workload, config->threads);
    row.threads = config->threads;
    row.shared = config->shared;
    for (int class = CLASS_KILL; class < CLASSES; class ++) {
        if (!bench_list_has(config->classes, bench_class_name((enum durability) class)))
            continue;
        for (size_t i = 0; i < PEERS; i++) {
            const struct driver *driver = bench_driver(workload, peers[i]);
            const bool plain = driver != NULL && (driver->classes & 1u << CLASS_NONE) != 0;

            if (!bench_list_has(config->peers, peers[i]) || driver == NULL ||
                (driver->one_thread && row.threads > 1) ||
                (plain && has_row(table, before, peers[i])) ||
                (!plain && (driver->classes & 1u << class) == 0))
                continue;
            row.peer = peers[i];
            row.class = plain ? CLASS_NONE : (enum durability) class;
            bench_add_row(table, &row);
        }
    }
    return table->count - before;
}

/* The same where there must be some. */
static void want_rows(struct table *table, const char *workload, struct row row)
{
    if (add_rows(table, workload, row) == 0)
        bench_usage_error("%s: none of these peers has this class, or so many threads", workload);
}

/* Peers asked for by name that are not there. */
static void tell_skipped(const struct config *config, const char *workload)
{
    for (size_t i = 0; i < PEERS; i++) {
        const struct driver *driver = bench_driver(workload, peers[i]);

        if (!bench_list_has(config->peers, peers[i]))
            continue;
        if (driver == NULL)
            fprintf(stderr, "vista-bench: %s: %s is skipped: %s\n", workload, peers[i],
                    bench_peer_built(peers[i]) ? "it is not made for it" : "it is not built in");
        else if (driver->one_thread && config->threads > 1)
            fprintf(stderr, "vista-bench: %s: %s is skipped: it has one thread\n", workload,
                    peers[i]);
    }
}

/* Before anything runs: can the files be made? */
static void check_files(const struct config *config, bool directory)
{
    const char *path = config->path != NULL ? config->path : "/dev/shm";
    const char *slash = strrchr(path, '/');
    const size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    char parent[4096];
    FILE *csv;

    snprintf(parent, sizeof parent, "%.*s", (int)length, slash == NULL ? "." : path);
    if (access(directory ? path : parent, W_OK) != 0)
        bench_usage_error("%s: %s", directory ? path : parent, strerror(errno));
    if (config->csv == NULL)
        return;
    csv = fopen(config->csv, "ae");
    if (csv == NULL)
        bench_usage_error("%s: %s", config->csv, strerror(errno));
    fclose(csv);
}

static void check_path(const struct table *table)
{
    const struct config *config = table->config;
    struct stat status;
    const bool directory =
        config->path == NULL || (stat(config->path, &status) == 0 && S_ISDIR(status.st_mode));

    check_files(config, directory);
    if (!directory && table->count > 1)
        bench_usage_error("a file as --path wants one --peer and one --class");
    if (directory && (config->resume || (config->acks != NULL && table->count > 1)))
        bench_usage_error("--resume wants a file as --path, --acks one --peer and one --class");
}

static void set_defaults(struct config *config, double seconds, unsigned runs, const char *classes,
                         const char *list)
{
    config->seconds = config->seconds != 0 ? config->seconds : seconds;
    config->runs = config->runs != 0 ? config->runs : runs;
    config->classes = config->classes != NULL ? config->classes : classes;
    config->peers = config->peers != NULL ? config->peers : list;
}

static int run_and_report(struct table *table)
{
    check_path(table);
    bench_turns(table);
    return bench_report(table);
}

static int finish(struct table *table)
{
    const int status = run_and_report(table);

    free(table->rows);
    return status;
}

int bench_one(struct config *config)
{
    struct table table = {config, NULL, 0};

    if (config->verify != NULL)
        return bench_verify(config);
    set_defaults(config, 1, 5, "kill", MAIN_PEERS);
    tell_skipped(config, config->command);
    want_rows(&table, config->command, (struct row){0});
    return finish(&table);
}

int bench_main_table(struct config *config)
{
    struct table table = {config, NULL, 0};

    set_defaults(config, 0.5, 7, "kill,line", MAIN_PEERS);
    tell_skipped(config, "debit-credit");
    want_rows(&table, "debit-credit", (struct row){0});
    want_rows(&table, "order-entry", (struct row){0});
    return finish(&table);
}

int bench_synthetic(struct config *config)
{
    static const size_t sizes[] = {8, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576};
    struct table table = {config, NULL, 0};

    if (config->range > sizes[sizeof sizes / sizeof sizes[0] - 1])
        bench_usage_error("--range: 1 MB at most");
    set_defaults(config, 0.2, 5, "kill", MAIN_PEERS ",copy");
    tell_skipped(config, "synthetic");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (config->range == 0 || i == 0)
            want_rows(&table, "synthetic",
                      (struct row){.range = config->range != 0 ? config->range : sizes[i]});
    }
    return finish(&table);
}

int bench_heap(struct config *config)
{
    static const char *const workloads[] = {"heap-64", "heap-mixed", "heap-map"};
    struct table table = {config, NULL, 0};

    set_defaults(config, 0.3, 5, "kill", "vista,plain,libpmemobj");
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        tell_skipped(config, workloads[i]);
        add_rows(&table, workloads[i], (struct row){0});
    }
    if (table.count == 0)
        bench_usage_error("heap: none of these peers has this class");
    return finish(&table);
}

/* The same row on one thread, or that of plain stores on as many. */
static const struct row *scaling_row(const struct table *table, const struct row *row,
                                     unsigned threads, bool plain)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *other = &table->rows[i];

        if (other->threads == threads && other->shared == row->shared && !other->failed &&
            strcmp(other->workload, row->workload) == 0 &&
            (plain ? other->class == CLASS_NONE
                   : other->class == row->class && strcmp(other->peer, row->peer) == 0))
            return other;
    }
    return NULL;
}

/* How a peer's rate grows from one thread to the most, beside that of plain stores. */
static void print_scalings(const struct table *table, unsigned most)
{
    putchar('\n');
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        const struct row *one = scaling_row(table, row, 1, false);
        const struct row *plain = scaling_row(table, row, most, true);
        const struct row *plain_one = scaling_row(table, row, 1, true);
        if (row->threads != most || row->class == CLASS_NONE || row->failed || one == NULL ||
            plain == NULL || plain_one == NULL)
            continue;
        printf("%s, %s, %s, %s: %u threads do %.2f times the work of one; plain %.2f; "
               "ratio %.2f\n",
               row->workload, row->peer, bench_class_name(row->class), bench_sharing(row), most,
               most * bench_ratio(one, row), most * bench_ratio(plain_one, plain),
               bench_ratio_of_ratios(one, row, plain_one, plain));
    }
}

/* 1, 2, 4, ... threads and as many as there are processors, each with branches, or blocks,
 * of its own and then with all. */
int bench_threads(struct config *config)
{
    static const char *const workloads[] = {"debit-credit", "heap-small"};
    struct table table = {config, NULL, 0};
    const unsigned most = config->threads > 1 ? config->threads : bench_processors();
    int status;

    set_defaults(config, 0.5, 5, "kill", "vista,plain,libpmemobj");
    for (unsigned i = 0; i < 4; i++) {
        const char *workload = workloads[i / 2];

        config->shared = i % 2 != 0;
        if (!config->shared)
            tell_skipped(config, workload);
        for (unsigned threads = 1; threads <= most;
             threads = threads < most && threads * 2 > most ? most : threads * 2) {
            config->threads = threads;
            add_rows(&table, workload, (struct row){0});
        }
    }
    if (table.count == 0)
        bench_usage_error("threads: none of these peers has this class, or so many threads");
    status = run_and_report(&table);
    if (!config->json && most > 1)
        print_scalings(&table, most);
    free(table.rows);
    return status;
}

/* Debit-credit with its accounts in a segment of their own, beside all in one. */
int bench_segments(struct config *config)
{
    struct table table = {config, NULL, 0};
    int status;

    set_defaults(config, 0.5, 5, "kill,line", "vista,vista-two,plain");
    tell_skipped(config, "debit-credit");
    want_rows(&table, "debit-credit", (struct row){0});
    status = run_and_report(&table);
    for (unsigned i = 0; i < table.count && !config->json; i++) {
        const struct row *two = &table.rows[i];
        const struct row *one = bench_beside(&table, two, "vista");

        if (strcmp(two->peer, "vista-two") == 0 && !two->failed && one != NULL)
            printf("%s: a transaction over two segments takes %.2f times one over a single "
                   "segment\n",
                   bench_class_name(two->class), bench_ratio(two, one));
    }
    free(table.rows);
    return status;
}

/* The same peer and class at another size of the database. */
static const struct row *row_at(const struct table *table, const struct row *row, const char *peer,
                                size_t size)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *other = &table->rows[i];

        if (other->size == size && strcmp(other->peer, peer) == 0 && !other->failed &&
            (other->class == row->class || other->class == CLASS_NONE))
            return other;
    }
    return NULL;
}

/* What twice the database costs, beside what it costs plain stores. */
static void print_growths(const struct table *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        const struct row *after = row_at(table, row, row->peer, 2 * row->size);
        const struct row *plain = row_at(table, row, "plain", row->size);
        const struct row *plain_after = row_at(table, row, "plain", 2 * row->size);

        if (strcmp(row->peer, "vista") != 0 || row->failed || after == NULL || plain == NULL ||
            plain_after == NULL)
            continue;
        printf(
            "vista, %s, %.0f to %.0f MB: %.0f to %.0f ns, by %.0f; plain stores %.0f to %.0f, by "
            "%.0f\n",
            bench_class_name(row->class), (double)row->size / 1048576, (double)row->size / 524288,
            row->median.ns, after->median.ns, bench_difference(after, row), plain->median.ns,
            plain_after->median.ns, bench_difference(plain_after, plain));
    }
}

/* Debit-credit with databases from such as fit the caches to far past them. */
int bench_sizes(struct config *config)
{
    static const size_t megabytes[] = {10, 25, 50, 100, 200, 400, 800};
    struct table table = {config, NULL, 0};
    const size_t most = config->size != 0 ? config->size : (size_t)400 << 20;
    int status;

    set_defaults(config, 0.3, 5, "kill,line", MAIN_PEERS);
    tell_skipped(config, "debit-credit");
    for (size_t i = 0; i < sizeof megabytes / sizeof megabytes[0]; i++) {
        config->size = megabytes[i] << 20;
        if (i == 0 || config->size <= most)
            want_rows(&table, "debit-credit", (struct row){0});
    }
    status = run_and_report(&table);
    if (!config->json)
        print_growths(&table);
    free(table.rows);
    return status;
}

/* Against the size of the log, with a segment in proportion, beside copying as much
 * twice; and against the size of the heap, with 1 MB in the log. */
int bench_recovery(struct config *config)
{
    static const size_t logs[] = {4096, 65536, 1u << 20, 16u << 20, 256u << 20, 1u << 30};
    static const size_t heaps[] = {(size_t)64 << 20, (size_t)1 << 30, (size_t)4 << 30,
                                   (size_t)16 << 30};
    struct table table = {config, NULL, 0};

    set_defaults(config, 1, 5, "kill", "vista,plain");
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        config->size = logs[i] + logs[i] / 4 + (1u << 20);
        if (config->range == 0 || config->range == logs[i])
            want_rows(&table, "recovery", (struct row){.range = logs[i]});
    }
    for (size_t i = 0; i < sizeof heaps / sizeof heaps[0]; i++) {
        config->size = heaps[i];
        if (config->range == 0)
            add_rows(&table, "recovery-heap", (struct row){.range = 1u << 20});
    }
    if (table.count == 0)
        bench_usage_error("recovery: --range is one of 4K, 64K, 1M, 16M, 256M, 1G");
    return finish(&table);
}

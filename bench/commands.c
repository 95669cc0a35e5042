/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The commands: which rows each one runs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bank.h"
#include "bench.h"
#include "orders.h"

static const char *const peers[] = {"vista", "floor", "plain", "libpmemobj", "lmdb", "sqlite"};
#define PEERS (sizeof peers / sizeof peers[0])
#define MAIN_PEERS "vista,floor,plain,libpmemobj"

bool bench_peer_known(const char *peer)
{
    for (size_t i = 0; i < PEERS; i++) {
        if (strcmp(peers[i], peer) == 0)
            return true;
    }
    return false;
}

static void add_row(struct table *table, const struct row *row)
{
    table->rows = realloc(table->rows, (table->count + 1) * sizeof *table->rows);
    if (table->rows == NULL)
        bench_fail("out of memory");
    table->rows[table->count++] = *row;
}

static size_t default_size(const char *workload)
{
    return strcmp(workload, "order-entry") == 0 ? OE_ITEM_BYTES + OE_WAREHOUSE_BYTES : BANK_SIZE;
}

/* The rows of a workload: each class with each peer that has it; plain stores, which
 * have none, once. */
static void add_rows(struct table *table, const char *workload, struct row row)
{
    const struct config *config = table->config;
    const unsigned before = table->count;
    bool plain_done = false;

    row.workload = workload;
    row.size = config->size != 0 ? config->size : default_size(workload);
    row.threads = config->threads;
    row.shared = config->shared;
    for (int class = CLASS_KILL; class < CLASSES; class ++) {
        if (!bench_list_has(config->classes, bench_class_name((enum durability) class)))
            continue;
        for (size_t i = 0; i < PEERS; i++) {
            const struct driver *driver = bench_driver(workload, peers[i]);
            const bool plain = driver != NULL && (driver->classes & 1u << CLASS_NONE) != 0;

            if (!bench_list_has(config->peers, peers[i]) || driver == NULL ||
                (driver->one_thread && row.threads > 1) || (plain && plain_done) ||
                (!plain && (driver->classes & 1u << class) == 0))
                continue;
            plain_done |= plain;
            row.peer = peers[i];
            row.class = plain ? CLASS_NONE : (enum durability) class;
            add_row(table, &row);
        }
    }
    if (table->count == before)
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
            fprintf(stderr, "vista-bench: %s: %s is skipped: not built in\n", workload, peers[i]);
        else if (driver->one_thread && config->threads > 1)
            fprintf(stderr, "vista-bench: %s: %s is skipped: it has one thread\n", workload,
                    peers[i]);
    }
}

static void check_path(const struct table *table)
{
    const struct config *config = table->config;
    struct stat status;
    const bool directory =
        config->path == NULL || (stat(config->path, &status) == 0 && S_ISDIR(status.st_mode));

    if (!directory && table->count > 1)
        bench_usage_error("a file as --path wants one --peer and one --class");
    if (directory && (config->resume || (config->acks != NULL && table->count > 1)))
        bench_usage_error("--resume wants a file as --path, --acks one --peer and one --class");
}

static void set_defaults(struct config *config, double seconds, const char *classes,
                         const char *list)
{
    config->seconds = config->seconds != 0 ? config->seconds : seconds;
    config->runs = config->runs != 0 ? config->runs : 5;
    config->classes = config->classes != NULL ? config->classes : classes;
    config->peers = config->peers != NULL ? config->peers : list;
}

static int finish(struct table *table)
{
    int status;

    check_path(table);
    bench_turns(table);
    status = bench_report(table);
    free(table->rows);
    return status;
}

int bench_one(struct config *config)
{
    struct table table = {config, NULL, 0};

    if (config->verify != NULL)
        return bench_verify(config);
    set_defaults(config, 1, "kill", MAIN_PEERS);
    tell_skipped(config, config->command);
    add_rows(&table, config->command, (struct row){0});
    return finish(&table);
}

int bench_main_table(struct config *config)
{
    struct table table = {config, NULL, 0};

    set_defaults(config, 0.5, "kill,line", MAIN_PEERS);
    tell_skipped(config, "debit-credit");
    add_rows(&table, "debit-credit", (struct row){0});
    add_rows(&table, "order-entry", (struct row){0});
    return finish(&table);
}

int bench_synthetic(struct config *config)
{
    static const size_t sizes[] = {8, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576};
    struct table table = {config, NULL, 0};

    set_defaults(config, 0.2, "kill", MAIN_PEERS);
    tell_skipped(config, "synthetic");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (config->range == 0 || i == 0)
            add_rows(&table, "synthetic",
                     (struct row){.range = config->range != 0 ? config->range : sizes[i]});
    }
    return finish(&table);
}

int bench_heap(struct config *config)
{
    static const char *const workloads[] = {"heap-64", "heap-mixed", "heap-map"};
    struct table table = {config, NULL, 0};

    set_defaults(config, 0.3, "kill", "vista,plain,libpmemobj");
    tell_skipped(config, "heap-64");
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++)
        add_rows(&table, workloads[i], (struct row){0});
    return finish(&table);
}

/* 1, 2, 4, ... threads and as many as there are processors, each with branches of its
 * own and then with all. */
int bench_threads(struct config *config)
{
    struct table table = {config, NULL, 0};
    const unsigned most = config->threads > 1 ? config->threads : bench_processors();

    set_defaults(config, 0.5, "kill", "vista,plain,libpmemobj");
    tell_skipped(config, "debit-credit");
    for (int shared = 0; shared <= 1; shared++) {
        for (unsigned threads = 1; threads <= most;
             threads = threads < most && threads * 2 > most ? most : threads * 2) {
            config->threads = threads;
            config->shared = shared != 0;
            add_rows(&table, "debit-credit", (struct row){0});
        }
    }
    return finish(&table);
}

/* Against the size of the log, and against the size of the heap. */
int bench_recovery(struct config *config)
{
    static const size_t logs[] = {4096, 65536, 1u << 20, 16u << 20, 256u << 20, 1u << 30};
    static const size_t heaps[] = {(size_t)64 << 20, (size_t)1 << 30, (size_t)4 << 30};
    struct table table = {config, NULL, 0};

    set_defaults(config, 1, "kill", "vista");
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        config->size = logs[i] + logs[i] / 4 + (1u << 20);
        add_rows(&table, "recovery", (struct row){.range = logs[i]});
    }
    for (size_t i = 0; i < sizeof heaps / sizeof heaps[0]; i++) {
        config->size = heaps[i];
        add_rows(&table, "recovery", (struct row){0});
    }
    return finish(&table);
}

/* Each part with a CSV file of its own, for bench/plot. */
int bench_all(struct config *config)
{
    static const struct {
        const char *name;
        int (*run)(struct config *config);
        const char *command, *peers, *classes;
        size_t size;
        double seconds;
    } parts[] = {
        {"main", bench_main_table, "main", NULL, NULL, 0, 0.5},
        {"peers", bench_one, "debit-credit", "vista,floor,plain,libpmemobj,lmdb,sqlite", "kill", 0,
         0.5},
        {"synthetic", bench_synthetic, "synthetic", NULL, "kill,line", 0, 0.2},
        {"size-10M", bench_one, "debit-credit", MAIN_PEERS, "kill,line", 10u << 20, 0.3},
        {"size-100M", bench_one, "debit-credit", MAIN_PEERS, "kill,line", 100u << 20, 0.3},
        {"size-400M", bench_one, "debit-credit", MAIN_PEERS, "kill,line", 400u << 20, 0.3},
        {"heap", bench_heap, "heap", NULL, "kill,line", 0, 0.3},
        {"threads", bench_threads, "threads", NULL, NULL, 0, 0.5},
        {"recovery", bench_recovery, "recovery", NULL, NULL, 0, 1},
    };
    const char *out = config->out != NULL ? config->out : "bench/results";
    char csv[4096];
    int status = 0;

    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        bench_fail("%s: %s", out, strerror(errno));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        struct config part = *config;

        snprintf(csv, sizeof csv, "%s/%s.csv", out, parts[i].name);
        part.command = parts[i].command;
        part.csv = csv;
        part.peers = config->peers != NULL ? config->peers : parts[i].peers;
        part.classes = config->classes != NULL ? config->classes : parts[i].classes;
        part.size = config->size != 0 ? config->size : parts[i].size;
        part.seconds = config->seconds != 0 ? config->seconds : parts[i].seconds;
        printf("\n==== %s\n", parts[i].name);
        status |= parts[i].run(&part);
    }
    return status;
}

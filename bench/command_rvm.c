/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rvm command: the dissertation's comparison, of today.  Vista, kill-safe in memory; RVM whose files are in
 * memory, which the dissertation calls RVM-Rio; RVM on a disk.  Of RVM's commits each is flushed, the last of 8 or of
 * 64, or none.  Synthetic transactions by their size (figure 3.4), debit-credit (3.5), order-entry (3.6).
 */
#include <stdlib.h>
#include <string.h>

#include "bank.h"
#include "bench.h"
#include "orders.h"

#define MEMORY "/dev/shm"

static const size_t ranges[] = {8, 64, 512, 4096, 32768, 262144};
static const char *const rvms[] = {"rvm-lazy", "rvm", "rvm-8", "rvm-64"};

#ifdef BENCH_INSTALLED
#define RVM_NAME "the installed RVM"
#else
#define RVM_NAME "our RVM"
#endif

static void add(struct table *table, const char *workload, const char *peer, size_t range,
                const char *path)
{
    const struct driver *driver = bench_driver(workload, peer);
    struct row row = {
        .workload = workload, .peer = peer, .threads = 1, .range = range, .path = path};

    if (driver == NULL || !bench_list_has(table->config->peers, peer))
        return;
    row.class = (driver->classes & 1u << CLASS_KILL) != 0   ? CLASS_KILL
                : (driver->classes & 1u << CLASS_SYNC) != 0 ? CLASS_SYNC
                                                            : CLASS_NONE;
    row.size = table->config->size != 0               ? table->config->size
               : strcmp(workload, "order-entry") == 0 ? OE_ITEM_BYTES + OE_WAREHOUSE_BYTES
                                                      : BANK_SIZE;
    bench_add_row(table, &row);
}

static void add_workload(struct table *table, const char *workload, size_t range, const char *disk)
{
    add(table, workload, "vista", range, MEMORY);
    if (range != 0)
        add(table, workload, "plain", range, MEMORY);
    for (size_t i = 0; i < sizeof rvms / sizeof rvms[0]; i++) {
        if (range != 0 && i > 1)
            break;
        add(table, workload, rvms[i], range, MEMORY);
        add(table, workload, rvms[i], range, disk);
    }
}

/* ---- The table ------------------------------------------------------------- */

static const char *name_of(const struct row *row)
{
    static const struct {
        const char *peer, *name;
    } names[] = {{"vista", "vista, kill-safe"}, {"plain", "stores alone"},
                 {"rvm-lazy", "RVM, no_flush"}, {"rvm", "RVM, groups of 1"},
                 {"rvm-8", "RVM, groups of 8"}, {"rvm-64", "RVM, groups of 64"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i].peer, row->peer) == 0)
            return names[i].name;
    return row->peer;
}

static const struct row *vista_of(const struct table *table, const struct row *row)
{
    const struct row *vista = bench_beside(table, row, "vista");

    for (unsigned i = 0; vista == NULL && i < table->count; i++) {
        const struct row *other = &table->rows[i];

        if (strcmp(other->peer, "vista") == 0 && strcmp(other->workload, row->workload) == 0 &&
            other->range == row->range && !other->failed)
            vista = other;
    }
    return vista;
}

static void print_row(const struct table *table, const struct row *row)
{
    const struct row *vista = vista_of(table, row);

    printf("%-13s %7zu  %-18s %-6s", row->workload, row->range, name_of(row),
           bench_file_system(row->path));
    if (row->failed) {
        printf(" FAILED %s\n", row->median.verdict);
        return;
    }
    printf(" %12.0f %10.0f %12.0f %8.3f", row->median.ns, row->median.cpu, row->median.rate,
           row->median.syncs);
    if (vista != NULL)
        printf(" %9.3g\n", bench_ratio(row, vista));
    else
        printf(" %9s\n", "-");
}

static int print_table(const struct table *table)
{
    int status = 0;

    bench_print_machine(table);
    printf("RVM is " RVM_NAME ".\n\n%-13s %7s  %-18s %-6s %12s %10s %12s %8s %9s\n", "workload",
           "range,B", "engine", "files", "ns", "CPU ns", "a second", "syncs", "vista's");
    for (unsigned i = 0; i < table->count; i++) {
        print_row(table, &table->rows[i]);
        status |= table->rows[i].failed;
    }
    return status;
}

static const struct row *find(const struct table *table, const char *peer)
{
    for (unsigned i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].workload, "debit-credit") == 0 && !table->rows[i].failed &&
            strcmp(table->rows[i].peer, peer) == 0 && strcmp(table->rows[i].path, MEMORY) == 0)
            return &table->rows[i];
    return NULL;
}

/* The dissertation's bars, of Coda's librvm in memory. */
static void print_bars(const struct table *table)
{
    const struct row *vista = find(table, "vista"), *lazy = find(table, "rvm-lazy"),
                     *flushed = find(table, "rvm");

    putchar('\n');
    if (vista != NULL && lazy != NULL)
        printf("debit-credit in memory: " RVM_NAME " without flushes takes %.3g times vista's "
               "(of Coda's, the bar is 35)\n",
               bench_ratio(lazy, vista));
    if (vista != NULL && flushed != NULL)
        printf("debit-credit in memory: " RVM_NAME " with each commit flushed takes %.3g times "
               "vista's (of Coda's, the bar is 90)\n",
               bench_ratio(flushed, vista));
#ifndef BENCH_INSTALLED
    printf("Coda's librvm is compared by vista-bench-installed, which is made where the linker "
           "finds one\n");
#endif
}

int bench_rvm(struct config *config)
{
    struct table table = {config, NULL, 0};
    const char *disk = config->path != NULL ? config->path : ".";
    char csv[4096];
    int status;

    config->seconds = config->seconds != 0 ? config->seconds : 0.2;
    config->runs = config->runs != 0 ? config->runs : 7;
    config->peers = config->peers != NULL ? config->peers : "vista,plain,rvm,rvm-8,rvm-64,rvm-lazy";
    if (config->classes != NULL)
        bench_usage_error("rvm: its rows have their classes");
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (config->range == 0 || config->range == ranges[i])
            add_workload(&table, "synthetic", ranges[i], disk);
    add_workload(&table, "debit-credit", 0, disk);
    add_workload(&table, "order-entry", 0, disk);
    if (table.count == 0)
        bench_usage_error("rvm: it has none of these peers");
    bench_turns(&table);
    status = print_table(&table);
    print_bars(&table);
    if (config->out != NULL && config->csv == NULL) {
        snprintf(csv, sizeof csv, "%s/rvm.csv", config->out);
        config->csv = csv;
    }
    if (config->csv != NULL && !bench_write_csv(&table))
        status = 1;
    free(table.rows);
    return status;
}

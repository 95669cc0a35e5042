/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The rows as a table, as JSON objects, as CSV.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "bench.h"

/* The row to compare with: of the same workload, and of the same class or none. */
const struct row *bench_beside(const struct table *table, const struct row *row, const char *peer)
{
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *other = &table->rows[i];

        if (strcmp(other->peer, peer) == 0 && strcmp(other->workload, row->workload) == 0 &&
            other->threads == row->threads && other->size == row->size &&
            other->range == row->range && other->shared == row->shared && !other->failed &&
            (other->class == row->class || other->class == CLASS_NONE))
            return other;
    }
    return NULL;
}

static void print_ratio(const struct table *table, const struct row *row, const char *peer)
{
    const struct row *other = bench_beside(table, row, peer);

    if (other == NULL)
        printf(" %7s", "-");
    else
        printf(" %7.3g", bench_ratio(row, other));
}

/* Of vista's rows: of the time that a database takes for the same. */
static void print_of_databases(const struct table *table, const struct row *row)
{
    static const char *const databases[] = {"sqlite", "lmdb"};

    for (size_t i = 0; i < 2 && strncmp(row->peer, "vista", 5) == 0; i++) {
        const struct row *other = bench_beside(table, row, databases[i]);

        if (other != NULL && !other->failed)
            printf("  %.3g of %s", bench_ratio(row, other), databases[i]);
    }
}

static bool is_synthetic(const struct row *row)
{
    return strcmp(row->workload, "synthetic") == 0;
}

/* What the transaction adds to its stores, and how many copies of the range that is. */
static void print_overhead(const struct table *table, const struct row *row)
{
    const struct row *plain = bench_beside(table, row, "plain"),
                     *copy = bench_beside(table, row, "copy");
    const double overhead = plain == NULL ? 0 : bench_difference(row, plain);

    if (plain == NULL || row->class == CLASS_NONE)
        printf(" %9s %7s", "-", "-");
    else if (copy == NULL)
        printf(" %9.1f %7s", overhead, "-");
    else
        printf(" %9.1f %7.3g", overhead, bench_difference_in(row, plain, copy));
}

static const char *file_system(const struct config *config, const struct row *row)
{
    const char *path = row != NULL && row->path != NULL ? row->path : config->path;

    return bench_file_system(path != NULL ? path : "/dev/shm");
}

void bench_print_machine(const struct table *table)
{
    const struct config *config = table->config;

    printf("%s, %u processors; %s; %s\n", bench_processor(), bench_processors(), bench_kernel(),
           bench_compiler());
    printf("%s in %s; seed %llu; medians of %u runs of %g s in turns, each a process;\n"
           "ratios and differences are taken within each turn\n",
           file_system(config, NULL), config->path != NULL ? config->path : "/dev/shm",
           (unsigned long long)config->seed, config->runs, config->seconds);
}

/* Recovery has one figure a run, and milliseconds suit it. */
static bool is_recovery(const struct row *row)
{
    return strncmp(row->workload, "recovery", 8) == 0;
}

static void print_recovery(const struct row *row)
{
    const bool plain = row->class == CLASS_NONE;
    const int digits = row->median.ns < 10e6 ? 3 : 0;

    printf("%-14s %-5s %9.0f %13.3f %9.*f  ", row->workload,
           plain ? "-" : bench_class_name(row->class), (double)row->size / 1048576,
           (double)row->range / 1048576, digits, row->median.ns / 1e6);
    printf("%.*f-%.*f %s\n", digits, row->ns_low / 1e6, digits, row->ns_high / 1e6,
           row->failed ? row->median.verdict
           : plain     ? "  copying as much twice"
                       : "");
}

static void print_recovery_heading(void)
{
    printf("\ntime to map a segment after a kill in the middle of a transaction\n"
           "%-14s %-5s %9s %13s %9s  %s\n",
           "", "class", "segment, MB", "changed, MB", "ms", "least-most");
}

const char *bench_sharing(const struct row *row)
{
    if (strncmp(row->workload, "heap", 4) == 0)
        return row->shared ? "handed on" : "own blocks";
    return row->shared ? "shared branches" : "own branches";
}

static void print_heading(const struct row *row)
{
    printf("\n%s", row->workload);
    if (strncmp(row->workload, "heap", 4) != 0)
        printf(", %.0f MB", (double)row->size / 1048576);
    if (row->range != 0)
        printf(", ranges of %zu B", row->range);
    printf(", %u thread%s%s%s\n", row->threads, row->threads == 1 ? ", pinned" : "s",
           row->shared ? ", " : "", row->shared ? bench_sharing(row) : "");
    printf("%-11s %-5s %10s %17s %11s  %-23s %9s %9s %9s%s\n", "", "", "ns per", "", "transact.",
           "  time relative to", "", "latency, ns", "", is_synthetic(row) ? "  overhead" : "");
    printf("%-11s %-5s %10s %17s %11s %7s %7s %7s %9s %9s %9s%s\n", "peer", "class", "transact.",
           "least-most", "a second", "plain", "floor", "pmemobj", "50 %", "99 %", "99.9 %",
           is_synthetic(row) ? "        ns  copies" : "");
}

static void print_row(const struct table *table, const struct row *row)
{
    const struct result *m = &row->median;
    char spread[40];

    printf("%-11s %-5s ", row->peer, row->class == CLASS_NONE ? "-" : bench_class_name(row->class));
    if (row->failed) {
        printf("%10s  %s\n", "FAILED", m->verdict);
        return;
    }
    snprintf(spread, sizeof spread, "%.*f-%.*f", row->ns_low < 1000, row->ns_low,
             row->ns_low < 1000, row->ns_high);
    printf("%10.*f %17s %11.0f", row->ns_low < 1000, m->ns, spread, m->rate);
    print_ratio(table, row, "plain");
    print_ratio(table, row, "floor");
    print_ratio(table, row, "libpmemobj");
    if (m->p999 > 0)
        printf(" %9.0f %9.0f %9.0f", m->p50, m->p99, m->p999);
    else /* the store was full before */
        printf(" %9s %9s %9s", "-", "-", "-");
    if (is_synthetic(row))
        print_overhead(table, row);
    print_of_databases(table, row);
    putchar('\n');
}

static bool same_heading(const struct row *a, const struct row *b)
{
    return strcmp(a->workload, b->workload) == 0 && a->size == b->size && a->range == b->range &&
           a->threads == b->threads && a->shared == b->shared;
}

static void print_table(const struct table *table)
{
    bool failed = false;

    bench_print_machine(table);
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];

        failed |= row->failed;
        if (is_recovery(row)) {
            if (i == 0)
                print_recovery_heading();
            print_recovery(row);
            continue;
        }
        if (i == 0 || !same_heading(&table->rows[i - 1], row))
            print_heading(row);
        print_row(table, row);
    }
    printf(
        "\nclass: kill = survives the process, nothing flushed; line = cache lines written back;\n"
        "eadr = fences alone; sync = a file synced; - = no transactions.\n"
        "Invariants after each run: %s\n",
        failed ? "NOT all held" : "all held");
}

static void print_json(const struct table *table, const struct row *row)
{
    const struct result *m = &row->median;

    printf("{\"workload\":\"%s\",\"peer\":\"%s\",\"class\":\"%s\",\"threads\":%u,\"shared\":%s,"
           "\"size\":%zu,\"range\":%zu,\"failed\":%s,",
           row->workload, row->peer, bench_class_name(row->class), row->threads,
           row->shared ? "true" : "false", row->size, row->range, row->failed ? "true" : "false");
    if (!row->failed) {
        printf("\"ns\":%.2f,\"ns_low\":%.2f,\"ns_high\":%.2f,\"per_second\":%.0f,"
               "\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,",
               m->ns, row->ns_low, row->ns_high, m->rate, m->p50, m->p99, m->p999);
    }
    printf("\"check\":\"%s\",\"seconds\":%g,\"runs\":%u,\"seed\":%llu,\"file_system\":\"%s\","
           "\"processor\":\"%s\",\"kernel\":\"%s\",\"compiler\":\"%s\"}\n",
           m->verdict, table->config->seconds, table->config->runs,
           (unsigned long long)table->config->seed, file_system(table->config, row),
           bench_processor(), bench_kernel(), bench_compiler());
}

FILE *bench_open_data(const struct config *config, const char *name)
{
    char path[PATH_MAX];
    FILE *data;

    if (config->out == NULL)
        return NULL;
    snprintf(path, sizeof path, "%s/%s", config->out, name);
    data = fopen(path, "we");
    if (data == NULL)
        bench_fail("%s: %s", path, strerror(errno));
    fprintf(data, "# %s; %s; medians of %u runs\n", bench_processor(), bench_kernel(),
            config->runs);
    return data;
}

bool bench_write_csv(const struct table *table)
{
    const struct config *config = table->config;
    FILE *out = fopen(config->csv, "we");
    bool failed;

    if (out == NULL) {
        fprintf(stderr, "vista-bench: %s: %s\n", config->csv, strerror(errno));
        return false;
    }
    fputs("workload,peer,class,threads,shared,size,range,ns,ns_low,ns_high,per_second,p50,p99,"
          "p999,runs,seconds,seed,file_system,processor,kernel,compiler\n",
          out);
    for (unsigned i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        const struct result *m = &row->median;

        if (row->failed)
            continue;
        fprintf(out,
                "%s,%s,%s,%u,%d,%zu,%zu,%.2f,%.2f,%.2f,%.0f,%.1f,%.1f,%.1f,%u,%g,%llu,%s,"
                "\"%s, %u processors\",\"%s\",\"%s\"\n",
                row->workload, row->peer, bench_class_name(row->class), row->threads, row->shared,
                row->size, row->range, m->ns, row->ns_low, row->ns_high, m->rate, m->p50, m->p99,
                m->p999, config->runs, config->seconds, (unsigned long long)config->seed,
                file_system(config, row), bench_processor(), bench_processors(), bench_kernel(),
                bench_compiler());
    }
    failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        fprintf(stderr, "vista-bench: %s: could not be written\n", config->csv);
        return false;
    }
    return true;
}

/* The exit status. */
int bench_report(const struct table *table)
{
    int status = 0;

    if (!table->config->json)
        print_table(table);
    for (unsigned i = 0; i < table->count; i++) {
        if (table->config->json)
            print_json(table, &table->rows[i]);
        if (table->rows[i].failed)
            status = 1;
    }
    if (table->config->csv != NULL && !bench_write_csv(table))
        status = 1;
    return status;
}

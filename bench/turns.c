/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Runs the rows of a table in turns (A B C A B C ...), each run a process of its
 * own, and takes each row's medians.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int signal)
{
    (void)signal;
    interrupted = 1;
}

/* Where the row's file goes; true if it is to be removed afterwards. */
static bool file_path(const struct config *config, const struct row *row, char *path, size_t size)
{
    const char *base = row->path != NULL      ? row->path
                       : config->path != NULL ? config->path
                                              : "/dev/shm";
    struct stat status;

    if (stat(base, &status) == 0 && S_ISDIR(status.st_mode)) {
        snprintf(path, size, "%s/vista-bench-%d", base, (int)getpid());
        return true;
    }
    snprintf(path, size, "%s", base);
    return false;
}

/* libpmem looks at these when it is loaded, and libvista at the first. */
static void set_environment(const struct row *row)
{
    unsetenv("VISTA_CLASS");
    unsetenv("PMEM_IS_PMEM_FORCE");
    unsetenv("PMEM_NO_FLUSH");
    if (strcmp(row->peer, "libpmemobj") != 0 || row->class == CLASS_SYNC)
        return;
    setenv("PMEM_IS_PMEM_FORCE", "1", 1);
    if (row->class != CLASS_LINE)
        setenv("PMEM_NO_FLUSH", "1", 1);
}

static void execute(const struct config *config, const struct row *row, unsigned run,
                    const char *path, int out)
{
    char text[8][48];
    const char *arguments[32] = {"vista-bench", row->workload, "--worker"};
    unsigned n = 3;

    snprintf(text[0], sizeof text[0], "%.6f", config->seconds);
    snprintf(text[1], sizeof text[1], "%u", row->threads);
    snprintf(text[2], sizeof text[2], "%llu", (unsigned long long)config->seed + run);
    snprintf(text[3], sizeof text[3], "%zu", row->size);
    snprintf(text[4], sizeof text[4], "%zu", row->range);
    const char *pairs[] = {"--peer", row->peer, "--seconds", text[0], "--threads", text[1],
                           "--seed", text[2],   "--size",    text[3], "--path",    path};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        arguments[n++] = pairs[i];
    if (row->class != CLASS_NONE) {
        arguments[n++] = "--class";
        arguments[n++] = bench_class_name(row->class);
    }
    if (row->range != 0) {
        arguments[n++] = "--range";
        arguments[n++] = text[4];
    }
    if (config->acks != NULL) {
        arguments[n++] = "--acks";
        arguments[n++] = config->acks;
    }
    if (row->shared)
        arguments[n++] = "--shared";
    if (config->resume)
        arguments[n++] = "--resume";
    arguments[n] = NULL;
    set_environment(row);
    dup2(out, STDOUT_FILENO);
    execv("/proc/self/exe", (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static bool parse(const char *line, struct result *result)
{
    unsigned long long transactions;
    int checked, at = 0;

    if (sscanf(line, "%llu %lf %lf %lf %lf %lf %lf %lf %lf %d %n", &transactions, &result->ns,
               &result->rate, &result->p50, &result->p99, &result->p999, &result->cpu,
               &result->cpu_all, &result->syncs, &checked, &at) != 10)
        return false;
    result->transactions = transactions;
    result->checked = checked != 0;
    snprintf(result->verdict, sizeof result->verdict, "%.*s", (int)strcspn(line + at, "\n"),
             line + at);
    return true;
}

/* The file and what SQLite, vista-two and RVM keep beside it. */
static void remove_files(const char *path)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", "-apart", "-log"};
    char name[PATH_MAX + 16];

    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

/* One run of a row; false if it failed. */
static bool run_once(const struct config *config, const struct row *row, unsigned run,
                     struct result *result)
{
    char path[PATH_MAX], line[1024] = "";
    const bool temporary = file_path(config, row, path, sizeof path);
    int pipes[2], status = 0;
    pid_t child;
    FILE *in;

    fflush(NULL);
    if (pipe(pipes) != 0 || (child = fork()) < 0)
        bench_fail("cannot start a process: %s", strerror(errno));
    if (child == 0) {
        close(pipes[0]);
        execute(config, row, run, path, pipes[1]);
    }
    close(pipes[1]);
    in = fdopen(pipes[0], "r");
    if (in == NULL || fgets(line, sizeof line, in) == NULL)
        line[0] = '\0';
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (in != NULL)
        fclose(in);
    if (temporary)
        remove_files(path);
    if (!parse(line, result))
        snprintf(result->verdict, sizeof result->verdict, "the run ended with status %#x", status);
    return status == 0 && result->checked;
}

double bench_median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, bench_compare_double);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Returns the median of what `value` is in each turn `i`. */
#define RETURN_MEDIAN(runs, value) \
    double values[MAX_RUNS]; \
    for (unsigned i = 0; i < (runs); i++) \
        values[i] = (value); \
    return bench_median(values, runs)

double bench_ratio(const struct row *row, const struct row *other)
{
    RETURN_MEDIAN(row->runs, row->ns[i] / other->ns[i]);
}

double bench_ratio_at(const struct row *row, const struct row *other, size_t offset)
{
    const double *mine = (const double *)(const void *)((const char *)row + offset);
    const double *its = (const double *)(const void *)((const char *)other + offset);

    RETURN_MEDIAN(row->runs, mine[i] / its[i]);
}

double bench_difference(const struct row *row, const struct row *other)
{
    RETURN_MEDIAN(row->runs, row->ns[i] - other->ns[i]);
}

double bench_difference_in(const struct row *row, const struct row *other, const struct row *unit)
{
    RETURN_MEDIAN(row->runs, (row->ns[i] - other->ns[i]) / unit->ns[i]);
}

double bench_ratio_of_ratios(const struct row *one, const struct row *most,
                             const struct row *other_one, const struct row *other_most)
{
    RETURN_MEDIAN(one->runs, one->ns[i] / most->ns[i] / (other_one->ns[i] / other_most->ns[i]));
}

static double median_of(const struct result *results, unsigned count, size_t field)
{
    double values[MAX_RUNS];

    for (unsigned i = 0; i < count; i++)
        memcpy(&values[i], (const char *)&results[i] + field, sizeof values[i]);
    return bench_median(values, count);
}

static void summarise(struct row *row, const struct result *results, unsigned count)
{
    struct result *m = &row->median;

    row->runs = count;
    row->ns_low = row->ns_high = results[0].ns;
    for (unsigned i = 0; i < count; i++) {
        row->ns[i] = results[i].ns;
        row->cpu[i] = results[i].cpu;
        row->p50[i] = results[i].p50;
        row->p99[i] = results[i].p99;
        row->ns_low = row->ns[i] < row->ns_low ? row->ns[i] : row->ns_low;
        row->ns_high = row->ns[i] > row->ns_high ? row->ns[i] : row->ns_high;
    }
    m->ns = median_of(results, count, offsetof(struct result, ns));
    m->rate = median_of(results, count, offsetof(struct result, rate));
    m->p50 = median_of(results, count, offsetof(struct result, p50));
    m->p99 = median_of(results, count, offsetof(struct result, p99));
    m->p999 = median_of(results, count, offsetof(struct result, p999));
    m->cpu = median_of(results, count, offsetof(struct result, cpu));
    m->cpu_all = median_of(results, count, offsetof(struct result, cpu_all));
    m->syncs = median_of(results, count, offsetof(struct result, syncs));
    m->transactions = results[count - 1].transactions;
    m->checked = results[count - 1].checked;
    memcpy(m->verdict, results[count - 1].verdict, sizeof m->verdict);
}

#define LINE_EVERY 10.0 /* seconds, where lines stay: in a file, or through a pipe */

/* The line that tells what runs and how long the rest may take.  On a terminal it is
 * written over; elsewhere one comes now and then, so that whoever waits knows. */
static void progress(const struct row *row, unsigned done, unsigned total, uint64_t begin)
{
    static double last_line; /* when, in seconds from the first run on */
    const bool terminal = isatty(STDERR_FILENO);
    const double elapsed = (double)(bench_now() - begin) / 1e9;

    if (!terminal && done > 0 && elapsed - last_line < LINE_EVERY)
        return;
    last_line = elapsed;
    fprintf(stderr, "%s%3u/%u  %s, %s, %s", terminal ? "\r\033[K" : "", done + 1, total,
            row->workload, row->peer, bench_class_name(row->class));
    if (row->range != 0)
        fprintf(stderr, ", %zu B", row->range);
    if (done > 0)
        fprintf(stderr, "; %.0f s left", elapsed / done * (total - done));
    if (!terminal)
        fputc('\n', stderr);
}

void bench_turns(struct table *table)
{
    const struct config *config = table->config;
    const struct sigaction action = {.sa_handler = interrupt};
    const uint64_t begin = bench_now();
    struct result *results = calloc((size_t)table->count * config->runs, sizeof *results);

    if (results == NULL)
        bench_fail("out of memory");
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    for (unsigned run = 0; run < config->runs; run++) {
        for (unsigned i = 0; i < table->count; i++) {
            struct row *row = &table->rows[i];
            struct result *result = &results[i * config->runs + run];

            if (row->failed)
                continue;
            progress(row, run * table->count + i, config->runs * table->count, begin);
            row->failed = !run_once(config, row, run, result);
            if (row->failed)
                row->median = *result;
            if (interrupted) {
                fputs("\nvista-bench: interrupted\n", stderr);
                exit(1);
            }
        }
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    for (unsigned i = 0; i < table->count; i++) {
        if (!table->rows[i].failed)
            summarise(&table->rows[i], &results[i * config->runs], config->runs);
    }
    free(results);
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The dissertation's comparison, of today: what a transaction costs on vista, and on RVM in memory ("RVM-Rio") and
 * on a disk, flushed each, by groups of 8 and of 64, or not at all.  Of RVM it uses the interface alone; built with
 * BENCH_INSTALLED it measures the librvm that the linker found in the system, and not vista.
 *
 * usage: bench_rvm [DISK-FOLDER [TURNS [SECONDS]]]
 *
 * Each figure is the median of the turns; each run is a process of its own, and the rows take turns.
 */
#include <err.h>
#include <fcntl.h>
#include <rvm/rvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef BENCH_INSTALLED
#include "vista.h"
#endif

#define DATA ((size_t)50 << 20)
#define LOG_BYTES ((size_t)8 << 20)
#define TURNS_MOST 99
#define RANGES 4
#define BATCH 64 /* transactions between looks at the clock */

/* Debit-credit: an account, a teller, a branch, and a line of history. */
#define ACCOUNTS 400000u
#define RECORD 100u
#define HISTORY (DATA - (size_t)(4u << 20))

enum engine { VISTA, RVM };

struct row {
    const char *workload, *name;
    enum engine engine;
    int ranges;     /* of a transaction: 1 of 8 bytes, or debit-credit's */
    unsigned group; /* each so many transactions one is flushed; 0: none is */
    int on_disk;
    double wall[TURNS_MOST], cpu[TURNS_MOST]; /* ns a transaction */
};

#define ROWS(workload, ranges) \
    {workload, "vista, kill-safe", VISTA, ranges, 0, 0, {0}, {0}}, \
        {workload, "RVM in memory, no_flush", RVM, ranges, 0, 0, {0}, {0}}, \
        {workload, "RVM in memory, groups of 1", RVM, ranges, 1, 0, {0}, {0}}, \
        {workload, "RVM in memory, groups of 8", RVM, ranges, 8, 0, {0}, {0}}, \
        {workload, "RVM in memory, groups of 64", RVM, ranges, 64, 0, {0}, {0}}, \
        {workload, "RVM on disk, no_flush", RVM, ranges, 0, 1, {0}, {0}}, \
        {workload, "RVM on disk, groups of 1", RVM, ranges, 1, 1, {0}, {0}}, \
        {workload, "RVM on disk, groups of 8", RVM, ranges, 8, 1, {0}, {0}}, \
    { \
        workload, "RVM on disk, groups of 64", RVM, ranges, 64, 1, {0}, \
        { \
            0 \
        } \
    }

static struct row rows[] = {ROWS("synthetic", 1), ROWS("debit-credit", RANGES)};

static double now(clockid_t clock)
{
    struct timespec at;

    clock_gettime(clock, &at);
    return (double)at.tv_sec * 1e9 + (double)at.tv_nsec;
}

/* ---- Transactions ------------------------------------------------------------ */

struct range {
    size_t at, length;
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* What the next transaction changes. */
static void choose(struct range range[RANGES], int ranges, uint64_t *state, uint64_t count)
{
    const size_t account = next_random(state) % ACCOUNTS;

    if (ranges == 1) {
        range[0] = (struct range){next_random(state) % (DATA / 8) * 8, 8};
        return;
    }
    range[0] = (struct range){(account + 1100) * RECORD, 8};
    range[1] = (struct range){(account % 1000 + 100) * RECORD, 8};
    range[2] = (struct range){account % 100 * RECORD, 8};
    range[3] = (struct range){HISTORY + count % 40000 * RECORD, 50};
}

static void run_rvm(const struct row *row, char *data, uint64_t *state, uint64_t count)
{
    rvm_tid_t tid;

    rvm_init_tid(&tid);
    for (int i = 0; i < BATCH; i++, count++) {
        const int flushes = row->group != 0 && count % row->group == row->group - 1;
        struct range range[RANGES];
        rvm_return_t result = rvm_begin_transaction(&tid, restore);

        choose(range, row->ranges, state, count);
        for (int j = 0; j < row->ranges && result == RVM_SUCCESS; j++) {
            result = rvm_set_range(&tid, data + range[j].at, range[j].length);
            if (result == RVM_SUCCESS)
                memset(data + range[j].at, (int)count, range[j].length);
        }
        if (result == RVM_SUCCESS)
            result = rvm_end_transaction(&tid, flushes ? flush : no_flush);
        if (result != RVM_SUCCESS)
            errx(1, "%s: %s", row->name, rvm_return(result));
    }
}

static char *open_rvm(const char *folder)
{
    rvm_offset_t length = RVM_MK_OFFSET(0, LOG_BYTES);
    rvm_options_t *options = rvm_malloc_options();
    rvm_region_t *region = rvm_malloc_region();
    static char log[200], segment[200];
    rvm_return_t result;
    int fd;

    snprintf(log, sizeof log, "%s/log", folder);
    snprintf(segment, sizeof segment, "%s/segment", folder);
    fd = open(segment, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || posix_fallocate(fd, 0, (off_t)DATA) != 0 || fsync(fd) != 0)
        err(1, "%s", segment);
    close(fd);
    options->log_dev = log;
    region->data_dev = segment;
    result = rvm_initialize(RVM_VERSION, NULL);
    if (result == RVM_SUCCESS)
        result = rvm_create_log(options, &length, 0600);
    if (result == RVM_SUCCESS)
        result = rvm_set_options(options);
    if (result == RVM_SUCCESS)
        result = rvm_map(region, NULL);
    if (result != RVM_SUCCESS)
        errx(1, "%s: %s", folder, rvm_return(result));
    return region->vmaddr;
}

#ifdef BENCH_INSTALLED
static void measure_vista(const struct row *row, const char *folder, double seconds, double ns[2])
{
    (void)row, (void)folder, (void)seconds, (void)ns;
}
#else
static void run_vista(vista_segment *segment, const struct row *row, char *data, uint64_t *state,
                      uint64_t count)
{
    for (int i = 0; i < BATCH; i++, count++) {
        struct range range[RANGES];
        vista_tx *tx = vista_begin_transaction(segment, 0);

        choose(range, row->ranges, state, count);
        for (int j = 0; tx != NULL && j < row->ranges; j++) {
            if (vista_set_range(tx, data + range[j].at, range[j].length) != 0)
                errx(1, "%s", vista_errormsg());
            memset(data + range[j].at, (int)count, range[j].length);
        }
        if (tx == NULL || vista_end_transaction(tx, 0) != 0)
            errx(1, "%s", vista_errormsg());
    }
}

static void measure_vista(const struct row *row, const char *folder, double seconds, double ns[2])
{
    char path[200];
    vista_segment *segment;
    uint64_t state = 1, count = 0;
    double begin, cpu;
    char *data;

    snprintf(path, sizeof path, "%s/vista", folder);
    segment = vista_map(path, DATA + (2u << 20), VISTA_CREATE, NULL);
    data = segment != NULL ? vista_root(segment, DATA) : NULL;
    if (data == NULL)
        errx(1, "%s", vista_errormsg());
    memset(data, 0, DATA); /* its pages are there, as RVM's are */
    begin = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (; now(CLOCK_MONOTONIC) - begin < seconds * 1e9; count += BATCH)
        run_vista(segment, row, data, &state, count);
    ns[0] = (now(CLOCK_MONOTONIC) - begin) / (double)count;
    ns[1] = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)count;
}
#endif

/* ---- Turns --------------------------------------------------------------------- */

static void measure_rvm(const struct row *row, const char *folder, double seconds, double ns[2])
{
    char *data = open_rvm(folder);
    uint64_t state = 1, count = 0;
    double begin, cpu;

    for (size_t i = 0; i < DATA; i += 4096) /* its pages are the process's own */
        ((volatile char *)data)[i] = data[i];
    begin = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (; now(CLOCK_MONOTONIC) - begin < seconds * 1e9; count += BATCH)
        run_rvm(row, data, &state, count);
    ns[0] = (now(CLOCK_MONOTONIC) - begin) / (double)count;
    ns[1] = (now(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)count;
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"log", "segment", "vista"};
    char path[200];

    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void take_turn(struct row *row, const char *on, double seconds, int turn, double shared[2])
{
    char folder[150];
    pid_t child;
    int status;

    snprintf(folder, sizeof folder, "%s/bench_rvm.XXXXXX", on);
    if (mkdtemp(folder) == NULL)
        err(1, "%s", folder);
    child = fork();
    if (child == 0) {
        (row->engine == VISTA ? measure_vista : measure_rvm)(row, folder, seconds, shared);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        err(1, "fork");
    remove_folder(folder);
    if (status != 0)
        exit(1);
    row->wall[turn] = shared[0];
    row->cpu[turn] = shared[1];
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;

    return a < b ? -1 : a > b;
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[count / 2];
}

int main(int argc, char **argv)
{
    const char *disk = argc > 1 ? argv[1] : "/var/tmp";
    const int turns = argc > 2 ? atoi(argv[2]) : 7;
    const double seconds = argc > 3 ? atof(argv[3]) : 0.2;
    double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (turns < 1 || turns > TURNS_MOST || seconds <= 0 || shared == MAP_FAILED)
        errx(2, "usage: bench_rvm [DISK-FOLDER [TURNS [SECONDS]]]");
    for (int turn = 0; turn < turns; turn++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
#ifdef BENCH_INSTALLED
            if (rows[i].engine == VISTA)
                continue;
#endif
            take_turn(&rows[i], rows[i].on_disk ? disk : "/dev/shm", seconds, turn, shared);
        }
    printf("%-14s %-28s %12s %12s\n", "workload", "engine", "ns", "CPU ns");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].cpu[0] > 0)
            printf("%-14s %-28s %12.0f %12.0f\n", rows[i].workload, rows[i].name,
                   median(rows[i].wall, turns), median(rows[i].cpu, turns));
    return 0;
}

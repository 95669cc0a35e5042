/* SPDX-License-Identifier: BSD-3-Clause
 *
 * bench_calls: what one way of calling costs in times of another, kill-safe, in one process.
 *
 *     length     one range of a length that the compiler does not know, to one that it knows
 *     segments   transactions on two, three and four segments in turns, to one segment
 *     pages      4,096 pages in one vista_set_ranges, to a memcpy of as much
 *     members    4,096 ranges of 64 bytes over 255 members of a group of 256, to home alone
 *
 * Each figure is the median of rounds, in which the two take turns; so is each ratio.  With a
 * number as its argument: so many rounds instead of 31.  Exit status 1: a call failed.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vista.h"

#define MAX_ROUNDS 101
#define SIZE ((size_t)50 << 20) /* as vista-bench's database: most of it is in no cache */
#define PAGE ((size_t)4096)
#define MANY 4096 /* ranges in one call */
#define MEMBERS 256
#define TRANSACTIONS 20000u
#define TURNS 12 /* 2, 3 and 4 segments have as many each */

static unsigned rounds = 31;
static char folder[] = "/dev/shm/vista-calls-XXXXXX";

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench_calls: %s: %s\n", what, vista_errormsg());
    exit(1); /* the files go, too */
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time); /* nothing here waits */
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static unsigned files;

static void path_of(unsigned number, char path[64])
{
    snprintf(path, 64, "%s/%u", folder, number);
}

static void remove_files(void)
{
    char path[64];

    while (files > 0) {
        path_of(--files, path);
        unlink(path);
    }
    rmdir(folder);
}

/* With log space for all that a transaction here logs kept, so that it need not be had again. */
static vista_segment *map(size_t size, vista_segment *log)
{
    const struct vista_map_options options = {
        .log = log, .max_size = size, .log_kept = 2 * MANY * PAGE};
    char path[64];
    vista_segment *segment;

    path_of(files++, path);
    segment = vista_map(path, size, VISTA_CREATE | VISTA_NO_HEAP | VISTA_KILL_SAFE, &options);
    if (segment == NULL)
        fail("vista_map");
    memset(vista_base(segment), 1, size);
    return segment;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(const double *values)
{
    double sorted[MAX_ROUNDS];

    memcpy(sorted, values, rounds * sizeof *sorted);
    qsort(sorted, rounds, sizeof *sorted, compare);
    return sorted[rounds / 2];
}

/* One of two that are compared: ns of one run with this argument. */
typedef double run_fn(size_t argument);

static void report(const char *what, run_fn *run, size_t argument, run_fn *base, size_t of_base,
                   double bar)
{
    double ns[MAX_ROUNDS], base_ns[MAX_ROUNDS], ratio[MAX_ROUNDS];

    run(argument);
    base(of_base);
    for (unsigned i = 0; i < rounds; i++) {
        base_ns[i] = base(of_base);
        ns[i] = run(argument);
        ratio[i] = ns[i] / base_ns[i];
    }
    printf("%-34s %12.1f %12.1f %8.3f %8.2f\n", what, median(ns), median(base_ns), median(ratio),
           bar);
}

/* ---- Lengths and segments ---------------------------------------------- */

static struct {
    vista_segment *segment;
    char *data;
} in[4];

static inline uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* Which segment has the next transaction, in turns of TURNS. */
static unsigned turn[TURNS];

/* Transactions of one range at random places of SIZE bytes, which `segments` of them share.  What
 * is stored has a length of its own, so that a length that only the stores know costs the same in
 * what is compared; and one segment is found as several are. */
static inline __attribute__((always_inline)) double transactions(size_t segments, size_t length,
                                                                 size_t stored)
{
    static uint64_t random = 88172645463325252u; /* goes on: the places are cold */
    const uint64_t span = (SIZE / segments - PAGE) / 8;
    const double from = now();
    unsigned next = 0;

    for (size_t i = 0; i < TRANSACTIONS; i++) {
        const unsigned which = turn[next];
        char *const place = in[which].data + ((next_random(&random) >> 32) * span >> 32) * 8;
        vista_tx *const tx = vista_begin_transaction(in[which].segment, 0);

        if (tx == NULL || vista_set_range(tx, place, length) != 0)
            fail("vista_set_range");
        memset(place, (int)i, stored);
        if (vista_end_transaction(tx, 0) != 0)
            fail("vista_end_transaction");
        next = next + 1 < TURNS ? next + 1 : 0;
    }
    return (now() - from) / TRANSACTIONS;
}

/* The compiler does not know what it is called with. */
static double unknown_length(size_t length)
{
    volatile size_t unknown = length;

    return transactions(1, unknown, unknown);
}

static double known_length(size_t length)
{
    volatile size_t unknown = length;

    switch (length) {
    case 1:
        return transactions(1, 1, unknown);
    case 8:
        return transactions(1, 8, unknown);
    case 24:
        return transactions(1, 24, unknown);
    case 64:
        return transactions(1, 64, unknown);
    case 100:
        return transactions(1, 100, unknown);
    default:
        return transactions(1, 256, unknown);
    }
}

static double on_segments(size_t segments)
{
    double ns;

    for (unsigned i = 0; i < TURNS; i++)
        turn[i] = i % segments;
    ns = transactions(segments, 8, 8);
    memset(turn, 0, sizeof turn);
    return ns;
}

static void lengths_and_segments(void)
{
    static const size_t lengths[] = {1, 8, 24, 64, 100, 256};
    char what[48];

    for (int i = 0; i < 4; i++) {
        in[i].segment = map(SIZE, NULL);
        in[i].data = vista_base(in[i].segment);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        snprintf(what, sizeof what, "length %zu at run time, known", lengths[i]);
        report(what, unknown_length, lengths[i], known_length, lengths[i], 1.3);
    }
    for (size_t count = 2; count <= 4; count++) {
        snprintf(what, sizeof what, "%zu segments in turns, one", count);
        report(what, on_segments, count, on_segments, 1, 1.15);
    }
    for (int i = 0; i < 4; i++)
        vista_unmap(in[i].segment);
}

/* ---- Many ranges in one call -------------------------------------------- */

static vista_segment *home;
static struct iovec pages[MANY], short_in_one[MANY], short_in_many[MANY];
static char *copies;

static double declare(vista_segment *segment, const struct iovec *ranges)
{
    vista_tx *const tx = vista_begin_transaction(segment, 0);
    const double from = now();
    double took;

    if (tx == NULL || vista_set_ranges(tx, ranges, MANY) != 0)
        fail("vista_set_ranges");
    took = now() - from;
    if (vista_end_transaction(tx, 0) != 0)
        fail("vista_end_transaction");
    return took;
}

static double declare_pages(size_t unused)
{
    (void)unused;
    return declare(home, pages);
}

static double copy_pages(size_t unused)
{
    const double from = now();

    (void)unused;
    for (size_t i = 0; i < MANY; i++)
        memcpy(copies + i * PAGE, pages[i].iov_base, PAGE);
    return now() - from;
}

static double declare_short(size_t members)
{
    return declare(home, members > 1 ? short_in_many : short_in_one);
}

static void many_ranges(void)
{
    char *data;

    home = map(MANY * PAGE + (1u << 20), NULL);
    data = vista_base(home);
    copies = malloc(MANY * PAGE);
    if (copies == NULL)
        fail("malloc");
    memset(copies, 1, MANY * PAGE);
    for (size_t i = 0; i < MANY; i++) {
        pages[i] = (struct iovec){data + i * PAGE, PAGE};
        short_in_one[i] = (struct iovec){data + i * 256, 64};
    }
    report("4,096 pages in a call, memcpy", declare_pages, 0, copy_pages, 0, 1.4);
    for (size_t member = 0; member < MEMBERS - 1; member++) {
        char *const own = vista_base(map(1u << 16, home));

        for (size_t i = member; i < MANY; i += MEMBERS - 1)
            short_in_many[i] = (struct iovec){own + i / (MEMBERS - 1) * 256, 64};
    }
    report("4,096 x 64 B in 255 members, one", declare_short, MEMBERS, declare_short, 1, 8);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 10);
    if (rounds == 0 || rounds > MAX_ROUNDS || mkdtemp(folder) == NULL) {
        fprintf(stderr, "usage: bench_calls [ROUNDS, up to %d]\n", MAX_ROUNDS);
        return 2;
    }
    atexit(remove_files);
    printf("%-34s %12s %12s %8s %8s\n", "what, and to what; kill-safe", "ns", "ns", "ratio",
           "at most");
    lengths_and_segments();
    many_ranges();
    return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The process of one run: load, warm up, measure, sample latencies, check; and
 * the check alone, of a file that a killed run left.  What it found goes to its
 * parent in one line on standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define BATCH 256u          /* transactions between two looks at the clock */
#define BATCH_SYNC 4u       /* where each waits for a disk */
#define MAX_SAMPLES 200000u /* of latency: 200 lie above the 99.9th percentile */

void bench_fail(const char *format, ...)
{
    va_list arguments;

    fputs("vista-bench: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t clock_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_now(void)
{
    return clock_of(CLOCK_MONOTONIC);
}

/* Page faults would be measured otherwise, and more of them in the faster peers. */
void bench_prefault(void *address, size_t length)
{
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    if (madvise(address, length, MADV_POPULATE_WRITE) != 0) {
        for (size_t i = 0; i < length; i += 4096) {
            volatile char *byte = (char *)address + i;

            *byte = *byte;
        }
    }
}

/* Thread i to the i-th last processor that this process may use: the first ones
 * serve more interrupts.  Which these are is asked once: thread 0 comes first, and
 * those that it starts begin where it is pinned. */
void bench_pin(unsigned lane)
{
    static cpu_set_t allowed;
    cpu_set_t one;
    unsigned skip = lane;

    if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    skip %= (unsigned)CPU_COUNT(&allowed);
    for (int cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
        if (CPU_ISSET(cpu, &allowed) && skip-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            pthread_setaffinity_np(pthread_self(), sizeof one, &one);
            return;
        }
    }
}

/* ---- Measuring --------------------------------------------------------- */

struct runner {
    const struct driver *driver;
    struct session *session;
    unsigned lane;
    uint64_t length; /* ns */
    pthread_barrier_t *start;
    uint64_t count, elapsed;
    uint64_t cpu; /* ns of the thread's own */
};

static void *measure(void *argument)
{
    struct runner *runner = argument;
    const unsigned batch = runner->session->class == CLASS_SYNC ? BATCH_SYNC : BATCH;
    unsigned done = 1;
    uint64_t begin, now, cpu;

    if (runner->start != NULL) {
        bench_pin(runner->lane);
        pthread_barrier_wait(runner->start);
    }
    cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
    begin = now = bench_now();
    while (now - begin < runner->length && done != 0) {
        done = runner->driver->batch(runner->session, runner->lane, batch);
        runner->count += done;
        now = bench_now();
    }
    runner->elapsed = now - begin;
    runner->cpu = clock_of(CLOCK_THREAD_CPUTIME_ID) - cpu;
    return NULL;
}

/* Runs for `seconds` on the session's threads; transactions a second in all. */
static double run(const struct driver *driver, struct session *session, double seconds,
                  struct result *result)
{
    struct runner runners[256] = {{0}};
    double count;
    pthread_t threads[256];
    pthread_barrier_t start;
    double rate = 0;
    const uint64_t syncs = bench_syncs(), cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);

    pthread_barrier_init(&start, NULL, session->threads);
    for (unsigned i = 0; i < session->threads; i++) {
        runners[i] = (struct runner){
            driver, session, i, (uint64_t)(seconds * 1e9), session->threads > 1 ? &start : NULL,
            0,      0,       0};
        if (i > 0 && pthread_create(&threads[i], NULL, measure, &runners[i]) != 0)
            bench_fail("a thread could not be started");
    }
    measure(&runners[0]);
    for (unsigned i = 1; i < session->threads; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    result->transactions = 0;
    for (unsigned i = 0; i < session->threads; i++) {
        result->transactions += runners[i].count;
        rate += (double)runners[i].count * 1e9 / (double)runners[i].elapsed;
    }
    count = (double)result->transactions;
    result->cpu = (double)runners[0].cpu / (double)runners[0].count;
    result->cpu_all = (double)(clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / count;
    result->syncs = (double)(bench_syncs() - syncs) / count;
    return rate;
}

static inline uint64_t ticks(void)
{
#ifdef __x86_64__
    unsigned low, high, cpu;

    __asm__ __volatile__("rdtscp\n\tlfence" : "=a"(low), "=d"(high), "=c"(cpu) : : "memory");
    return (uint64_t)high << 32 | low;
#else
    return bench_now();
#endif
}

int bench_compare_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* A pass of its own, each transaction between two readings of the processor's
 * clock, of which the cheapest pair seen is taken off. */
static void sample(const struct driver *driver, struct session *session, double seconds,
                   struct result *result)
{
    double *samples = calloc(MAX_SAMPLES, sizeof *samples);
    const uint64_t begin = bench_now(), first = ticks();
    const uint64_t length = (uint64_t)(seconds * 1e9);
    const unsigned look = session->class == CLASS_SYNC ? BATCH_SYNC : 16;
    uint64_t overhead = UINT64_MAX, now = begin;
    double scale;
    size_t count = 0;

    if (samples == NULL)
        bench_fail("out of memory");
    for (int i = 0; i < 1000; i++) {
        const uint64_t a = ticks(), b = ticks();

        overhead = b - a < overhead ? b - a : overhead;
    }
    while (count < MAX_SAMPLES && now - begin < length) {
        for (unsigned i = 0; i < look && count < MAX_SAMPLES; i++) {
            const uint64_t a = ticks();

            if (driver->batch(session, 0, 1) == 0) {
                now = begin + length;
                break;
            }
            samples[count] = (double)(ticks() - a);
            samples[count] -= samples[count] < (double)overhead ? 0 : (double)overhead;
            count++;
        }
        now = now == begin + length ? now : bench_now();
    }
    scale = (double)(bench_now() - begin) / (double)(ticks() - first);
    qsort(samples, count, sizeof *samples, bench_compare_double);
    result->p50 = samples[count / 2] * scale;
    result->p99 = samples[count * 99 / 100] * scale;
    result->p999 = samples[(size_t)((double)count * 0.999)] * scale;
    free(samples);
}

/* ---- Sessions ---------------------------------------------------------- */

#define ACKS_SIZE (256 * LANE_COUNTS * sizeof(uint64_t))

/* The counts of what was acknowledged, one on each line of a file, where a test
 * finds them when this process is no more. */
static uint64_t *map_acks(const struct config *config, bool create)
{
    const int fd =
        open(config->acks, create ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDWR | O_CLOEXEC, 0600);
    void *map;

    if (fd < 0 || (create && ftruncate(fd, ACKS_SIZE) != 0))
        bench_fail("%s: %s", config->acks, strerror(errno));
    map = mmap(NULL, ACKS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        bench_fail("%s: %s", config->acks, strerror(errno));
    close(fd);
    return map;
}

static struct session make_session(const struct config *config, const char *path)
{
    struct session session = {.config = config,
                              .path = path,
                              .killed = config->verify != NULL,
                              .size = config->size,
                              .threads = config->threads};
    const bool resume = config->resume && access(path, F_OK) == 0;
    uint64_t *acks = NULL;

    session.existing = session.killed || resume;
    session.class = config->classes == NULL ? CLASS_NONE
                                            : bench_class(config->classes, strlen(config->classes));
    session.lanes = aligned_alloc(128, config->threads * sizeof *session.lanes);
    if (session.lanes == NULL)
        bench_fail("out of memory");
    memset(session.lanes, 0, config->threads * sizeof *session.lanes);
    if (config->acks != NULL)
        acks = map_acks(config, !session.killed);
    for (unsigned i = 0; i < config->threads; i++) {
        struct lane *lane = &session.lanes[i];

        lane->rng.state = config->seed * 1000003 + i;
        lane->done = acks != NULL ? acks + i * LANE_COUNTS : session.killed ? NULL : lane->own_done;
        if (!session.existing && acks != NULL)
            memset(lane->done, 0, sizeof lane->own_done);
    }
    return session;
}

static void whole_run(const struct driver *driver, struct session *session, struct result *result)
{
    const double seconds = session->config->seconds;

    driver->open(session);
    run(driver, session, seconds / 5, result);
    result->rate = run(driver, session, seconds, result);
    result->ns = 1e9 * session->threads / result->rate;
    sample(driver, session, seconds / 5, result);
    result->checked = driver->check(session, result->verdict, sizeof result->verdict);
    driver->close(session);
}

int bench_worker(const struct config *config)
{
    const struct driver *driver = bench_driver(config->command, config->peers);
    struct session session;
    struct result result = {0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(300 + (unsigned)(10 * config->seconds)); /* one that hangs is a failed run */
    if (driver == NULL)
        bench_fail("no %s on %s", config->command, config->peers);
    bench_pin(0);
    session = make_session(config, config->path);
    if (!session.existing)
        unlink(config->path);
    if (driver->measure != NULL) {
        driver->measure(&session, &result);
        result.rate = 1e9 / result.ns;
    } else {
        whole_run(driver, &session, &result);
    }
    printf("%llu %.17g %.17g %.17g %.17g %.17g %.17g %.17g %.17g %d %s\n",
           (unsigned long long)result.transactions, result.ns, result.rate, result.p50, result.p99,
           result.p999, result.cpu, result.cpu_all, result.syncs, result.checked, result.verdict);
    return result.checked ? 0 : 1;
}

int bench_verify(const struct config *config)
{
    const char *peer = config->peers != NULL ? config->peers : "vista";
    const struct driver *driver = bench_driver(config->command, peer);
    char verdict[VERDICT_SIZE] = "";
    struct session session;
    bool sound;

    if (driver == NULL || !driver->verifies)
        bench_usage_error("--verify: nothing to check for %s on %s", config->command, peer);
    if (access(config->verify, R_OK | W_OK) != 0)
        bench_fail("%s: %s", config->verify, strerror(errno));
    session = make_session(config, config->verify);
    driver->open(&session);
    sound = driver->check(&session, verdict, sizeof verdict);
    driver->close(&session);
    printf("%s: %s: %s\n", config->verify, sound ? "sound" : "BROKEN", verdict);
    return sound ? 0 : 1;
}

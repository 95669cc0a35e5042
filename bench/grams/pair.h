/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A client and a server, each a process, both on one processor: what every program of this folder
 * is.  Each is one peer of `vista-bench grams`, run as PROGRAM SECONDS BYTES OUTSTANDING FOLDER,
 * and prints how many nanoseconds a request with its response took: by the clock, and of the
 * processor's time, of all processes together, which other users of the machine disturb less.
 */
#ifndef BENCH_GRAMS_PAIR_H
#define BENCH_GRAMS_PAIR_H

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAIR_BATCH 64u /* round trips between two looks at the clock */

struct pair {
    double seconds;
    size_t bytes;
    unsigned outstanding;
    const char *folder;
    char *message;
};

#define MUST(condition) ((condition) ? (void)0 : pair_failed(#condition, __LINE__))

static inline void pair_failed(const char *what, int line)
{
    fprintf(stderr, "line %d: %s is false\n", line, what);
    exit(1);
}

static inline double pair_now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static pid_t pair_third; /* a server program between the two, if there is one */

static inline double pair_cpu_of(pid_t process)
{
    struct timespec time = {0};
    clockid_t clock;

    if (clock_getcpuclockid(process, &clock) == 0)
        clock_gettime(clock, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static inline double pair_cpu(pid_t server)
{
    return pair_cpu_of(0) + pair_cpu_of(server) + (pair_third != 0 ? pair_cpu_of(pair_third) : 0);
}

/* `serve` never returns; `round` exchanges `outstanding` messages and is called until time is
 * over. */
static inline int pair_run(int argc, char **argv, void (*serve)(const struct pair *),
                           void (*begin)(const struct pair *), void (*round)(const struct pair *))
{
    struct pair pair = {.seconds = argc > 1 ? strtod(argv[1], NULL) : 1,
                        .bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 64,
                        .outstanding = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1,
                        .folder = argc > 4 ? argv[4] : "/dev/shm"};
    cpu_set_t one;
    double start, now, cpu;
    uint64_t rounds = 0;
    pid_t server;

    pair.message = calloc(1, pair.bytes + 1);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
    MUST((server = fork()) >= 0);
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(&pair);
        _exit(1);
    }
    begin(&pair);
    for (unsigned i = 0; i < 2 * PAIR_BATCH; i++)
        round(&pair);
    cpu = pair_cpu(server);
    start = now = pair_now();
    for (; now - start < pair.seconds; now = pair_now())
        for (unsigned i = 0; i < PAIR_BATCH; i++, rounds++)
            round(&pair);
    printf("%.1f %.1f\n", 1e9 * (now - start) / (double)(rounds * pair.outstanding),
           1e9 * (pair_cpu(server) - cpu) / (double)(rounds * pair.outstanding));
    fflush(stdout);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return 0;
}

#endif

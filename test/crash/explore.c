/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The crash-state explorer: see README.md.
 *
 *     explore [--scenario NAME] [--class line|kill|eadr] [--seed S] [--state K]
 *             [--states N] [--seconds N] [--files N] [--jobs N] [--list]
 *
 * Runs each scenario, and then more of them with further seeds until N distinct
 * states were seen and each of N processes has had N seconds of processor time.  Exit
 * status 1: a state was bad, or a scenario had none.  One in `--files` states goes through a file too (0: none does).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "media/persist.h"
#include "memory.h"
#include "program.h"
#include "scenarios.h"
#include "states.h"

static const char *const class_names[] = {"probe", "kill", "line", "eadr"};

static const struct scenario *const groups[] = {range_scenarios, heap_scenarios, file_scenarios,
                                                group_scenarios, resize_scenarios};

static struct {
    const char *scenario;
    unsigned class; /* 0: all */
    uint64_t seed, state, states, files;
    double seconds;
    unsigned jobs;
    bool list;
} options = {.seed = 1, .files = 1009, .jobs = 1};

static double read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* ---- One run ----------------------------------------------------------- */

static void run_once(const struct scenario *scenario, unsigned class, uint64_t seed, uint64_t salt)
{
    static char rerun[256];

    snprintf(rerun, sizeof rerun, "test/crash/explore --scenario %s --class %s --seed %llu",
             scenario->name, class_names[class], (unsigned long long)seed);
    states.rerun = rerun;
    states.seed = seed;
    states.on = states.through_files = states.whole = states.copied = states.created = false;
    run.seed = seed;
    run.class = (enum vista_class) class;
    /* Who recovers may have another class than who wrote the log. */
    run.recovery = seed % 5 == 4 ? (class == VISTA_CLASS_LINE ? VISTA_CLASS_KILL : VISTA_CLASS_LINE)
                                 : (enum vista_class) class;
    for (int rehearsal = scenario->rehearse ? 1 : 0; rehearsal >= 0; rehearsal--) {
        run.rehearsal = rehearsal;
        states_begin(salt);
        seed_random();
        scenario->run();
    }
}

/* ---- All --------------------------------------------------------------- */

#define COUNTED 192
#define JOBS 16

struct counted {
    const struct scenario *scenario;
    unsigned class;
    uint64_t seed; /* of the next run */
    uint64_t runs, tried, distinct, second, files;
    double seconds;
};

/* What the processes share. */
static struct shared {
    struct counted counted[JOBS][COUNTED];
    struct states states[JOBS];
} * shared;
static struct counted *counted; /* of this process */
static unsigned job;
static size_t count;

static void select_scenarios(void)
{
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++)
        for (const struct scenario *s = groups[g]; s->name != NULL; s++)
            for (unsigned class = VISTA_CLASS_KILL; class <= VISTA_CLASS_EADR; class ++) {
                if (options.scenario != NULL && strcmp(options.scenario, s->name) != 0)
                    continue;
                if (options.class != 0 && options.class != class)
                    continue;
                for (unsigned j = 0; j < options.jobs; j++)
                    shared->counted[j][count] =
                        (struct counted){.scenario = s, .class = class, .seed = options.seed + j};
                count++;
            }
}

static void run_counted(struct counted *c)
{
    const struct states before = states;
    const double began = now();

    run_once(c->scenario, c->class, c->seed, (uint64_t)(c - counted));
    c->seed += options.jobs;
    c->runs++;
    c->tried += states.tried - before.tried;
    c->distinct += states.distinct - before.distinct;
    c->second += states.second - before.second;
    c->files += states.files - before.files;
    c->seconds += now() - began;
    shared->states[job] = states;
}

static struct states total(void)
{
    struct states sum = {0};

    for (unsigned j = 0; j < options.jobs; j++) {
        const struct states *s = &shared->states[j];

        sum.tried += s->tried;
        sum.distinct += s->distinct;
        sum.second += s->second;
        sum.bad += s->bad;
        if (s->most_dirty > sum.most_dirty)
            sum.most_dirty = s->most_dirty;
    }
    return sum;
}

/* The time is the processor's, so that a busy machine explores no less. */
static bool is_enough(void)
{
    const struct states sum = total();

    return sum.bad != 0 || (sum.distinct >= options.states &&
                            read_clock(CLOCK_PROCESS_CPUTIME_ID) >= options.seconds);
}

/* The one that has had the least time. */
static struct counted *least(void)
{
    struct counted *found = &counted[0];

    for (size_t i = 1; i < count; i++)
        if (counted[i].seconds < found->seconds)
            found = &counted[i];
    return found;
}

/* One process's share: each scenario once, then more until it is enough. */
static void work(void)
{
    for (size_t i = 0; i < count && total().bad == 0; i++)
        run_counted(&counted[i]);
    while (!is_enough())
        run_counted(least());
}

static bool work_together(void)
{
    bool good = true;
    int status;

    fflush(stdout);
    for (job = 1; job < options.jobs; job++)
        if (fork() == 0) {
            counted = shared->counted[job];
            work();
            exit(states.bad != 0);
        }
    job = 0;
    counted = shared->counted[0];
    work();
    while (wait(&status) > 0)
        good &= status == 0;
    return good && states.bad == 0;
}

static bool print_counts(double seconds)
{
    const struct states sum = total();
    bool good = true;

    printf("%-22s %-5s %7s %10s %10s %10s %7s %7s\n", "scenario", "class", "runs", "tried",
           "distinct", "in recov.", "files", "s");
    for (size_t i = 0; i < count; i++) {
        struct counted c = counted[i];

        for (unsigned j = 1; j < options.jobs; j++) {
            c.runs += shared->counted[j][i].runs;
            c.tried += shared->counted[j][i].tried;
            c.distinct += shared->counted[j][i].distinct;
            c.second += shared->counted[j][i].second;
            c.files += shared->counted[j][i].files;
            c.seconds += shared->counted[j][i].seconds;
        }
        good &= c.tried > 0;
        if (c.runs == 0)
            continue;
        printf("%-22s %-5s %7llu %10llu %10llu %10llu %7llu %7.1f%s\n", c.scenario->name,
               class_names[c.class], (unsigned long long)c.runs, (unsigned long long)c.tried,
               (unsigned long long)c.distinct, (unsigned long long)c.second,
               (unsigned long long)c.files, c.seconds,
               c.tried == 0 ? "  FAILED: no state explored" : "");
    }
    printf("%llu distinct crash states (%llu of crashes inside recovery), %llu tried, %llu bad, "
           "up to %llu lines in doubt, %.1f s, seeds from %llu on\n",
           (unsigned long long)sum.distinct, (unsigned long long)sum.second,
           (unsigned long long)sum.tried, (unsigned long long)sum.bad,
           (unsigned long long)sum.most_dirty, seconds, (unsigned long long)options.seed);
    return good;
}

/* ---- Options ----------------------------------------------------------- */

static void usage(void)
{
    fprintf(stderr, "usage: explore [--scenario NAME] [--class line|kill|eadr] [--seed S] "
                    "[--state K]\n               [--states N] [--seconds N] [--files N]\n          "
                    "     [--jobs N] [--list]\n");
    exit(2);
}

static unsigned class_of(const char *name)
{
    for (unsigned i = VISTA_CLASS_KILL; i <= VISTA_CLASS_EADR; i++)
        if (strcmp(name, class_names[i]) == 0)
            return i;
    usage();
    return 0;
}

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--list") == 0) {
            options.list = true;
            continue;
        }
        if (value == NULL)
            usage();
        if (strcmp(argv[i], "--scenario") == 0)
            options.scenario = value;
        else if (strcmp(argv[i], "--class") == 0)
            options.class = class_of(value);
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--state") == 0)
            options.state = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--states") == 0)
            options.states = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--files") == 0)
            options.files = strtoull(value, NULL, 0);
        else if (strcmp(argv[i], "--jobs") == 0)
            options.jobs = (unsigned)strtoul(value, NULL, 0);
        else if (strcmp(argv[i], "--seconds") == 0)
            options.seconds = strtod(value, NULL);
        else
            usage();
        i++;
    }
}

int main(int argc, char **argv)
{
    static const struct vi_persist_ops ops = {memory_flush, memory_fence, memory_write, files_sync};
    const double began = now();
    bool good;

    read_options(argc, argv);
    if (options.jobs < 1 || options.jobs > JOBS)
        usage();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 2;
    counted = shared->counted[0];
    select_scenarios();
    if (count == 0)
        usage();
    for (size_t i = 0; options.list && i < count; i++)
        if (i == 0 || counted[i].scenario != counted[i - 1].scenario)
            printf("%-22s %s\n", counted[i].scenario->name, counted[i].scenario->what);
    if (options.list)
        return 0;
    vi_persist_test_ops = &ops;
    states.only = options.state;
    states.file_each = options.files;
    states_share();
    good = work_together();
    return print_counts(now() - began) && good ? 0 : 1;
}

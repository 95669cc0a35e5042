/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench failures: failures of the program itself that do not stop it at once (2.3.3 and 7.2 of the
 * dissertation).  A bug is seeded into a program under vista-run; of the runs that it has crash it is
 * counted in how many a commit lies between the bug and the crash.  Such a commit saves what the bug
 * has made of the program: the next resumption crashes again.  It is the price of saving work.
 *
 * Without such a commit the program may come to its bug again all the same: if since the last commit there
 * was nothing before the bug that may go otherwise the next time, be it that nothing was, or that the log
 * gives it again.  These are counted, too: then all of the crashes are, to which resumption is no answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libvista/trace/trace_format.h"
#include "bench.h"
#include "checkpoint/interactive.h"

#define STEPS "400"
#define MARK 9999 /* what the program closes where the bug is */
#define TRIES 400 /* of a bug that seldom crashes */

static const char *const bugs[] = {"a bit of the heap", "a bit of the stack", "no instruction",
                                   "no branch",         "wrong destination",  "no first value",
                                   "one turn too many"};
#define BUGS (sizeof bugs / sizeof *bugs)

static const struct {
    const char *name, *talk;
} programs[] = {{"says each step", "1"}, {"says each 20th", "20"}};
#define PROGRAMS (sizeof programs / sizeof *programs)

static const struct {
    const char *name;
    const char *options[4];
} protocols[] = {{"cpvs", {"-p", "cpvs"}},
                 {"cand", {"-p", "cand"}},
                 {"cbndvs", {"-p", "cbndvs"}},
                 {"cand-log", {"-p", "cand-log"}},
                 {"cbndvs-log", {"-p", "cbndvs-log"}},
                 {"adaptive", {"-p", "adaptive"}},
                 {"  --late", {"-p", "adaptive", "--late"}}};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)

static void execute(unsigned protocol, unsigned program, unsigned bug, uint64_t seed)
{
    const struct names names = names_of(-1);
    char guest[PATH_MAX + 16], number[16], drawn[24];
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    const char *arguments[24] = {runner, "--fresh",  "--retries", "0",
                                 "-f",   names.file, "--trace",   names.trace};
    int count = 8;

    snprintf(guest, sizeof guest, "%s/bench_faulty", folder);
    snprintf(number, sizeof number, "%u", bug + 1);
    snprintf(drawn, sizeof drawn, "%llu", (unsigned long long)seed);
    for (int i = 0; protocols[protocol].options[i] != NULL; i++)
        arguments[count++] = protocols[protocol].options[i];
    arguments[count++] = guest;
    arguments[count++] = number;
    arguments[count++] = drawn;
    arguments[count++] = STEPS;
    arguments[count++] = programs[program].talk;
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    execv(runner, (char **)arguments);
    _exit(127);
}

/* Did it crash? */
static bool run(unsigned protocol, unsigned program, unsigned bug, uint64_t seed)
{
    int status = 0;
    pid_t child;

    remove_files();
    child = fork();
    if (child == 0)
        execute(protocol, program, bug, seed);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) ||
        (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) <= 128))
        bench_fail("bug %u of seed %llu under %s ends with status %x", bug + 1,
                   (unsigned long long)seed, protocols[protocol].name, status);
    return WEXITSTATUS(status) != 0;
}

struct counts {
    unsigned crashes, committed, final, commits;
};

/* Commits behind the bug, and all of the run; the time is all that the program asks for. */
static void read_trace(struct counts *counts)
{
    const struct names names = names_of(-1);
    FILE *records = fopen(names.trace, "re");
    struct vi_trace_record record;
    bool active = false, committed = false, free = false;

    if (records == NULL)
        bench_fail("%s: %s", names.trace, strerror(errno));
    while (fread(&record, sizeof record, 1, records) == 1 && record.kind != VI_TRACE_NONE) {
        active |=
            record.kind == VI_TRACE_CALL && record.number == SYS_close && record.message == MARK;
        if (record.kind == VI_TRACE_COMMIT && !active)
            free = false;
        free |= !active && record.number == SYS_clock_gettime && !(record.flags & VI_TRACE_LOGGED);
        committed |= active && record.kind == VI_TRACE_COMMIT;
        counts->commits += record.kind == VI_TRACE_COMMIT;
    }
    fclose(records);
    if (!active)
        bench_fail("a program crashed without its bug");
    counts->crashes++;
    counts->committed += committed;
    counts->final += committed || !free;
}

/* All protocols have the same programs with the same bugs.  Where the memory lies, which differs from run to
 * run, may decide whether one crashes. */
static void measure(unsigned program, unsigned bug, unsigned crashes, uint64_t seed,
                    struct counts counts[PROTOCOLS])
{
    memset(counts, 0, PROTOCOLS * sizeof *counts);
    for (unsigned i = 0; i < TRIES && counts[0].crashes < crashes; i++)
        for (unsigned p = 0; p < PROTOCOLS; p++)
            if (run(p, program, bug, seed + i))
                read_trace(&counts[p]);
}

static void show(const char *program, const char *bug, const struct counts counts[PROTOCOLS],
                 FILE *data)
{
    printf("%-15s %-18s %7u", program, bug, counts[0].crashes);
    for (unsigned p = 0; p < PROTOCOLS; p++) {
        const double all = counts[p].crashes != 0 ? counts[p].crashes : 1;

        printf("  %4.0f %4.0f", 100 * counts[p].committed / all, 100 * counts[p].final / all);
        if (data != NULL)
            fprintf(data, "\"%s\" \"%s\" \"%s\" %u %u %u %u\n", program, bug, protocols[p].name,
                    counts[p].crashes, counts[p].committed, counts[p].final, counts[p].commits);
    }
    printf("\n");
    fflush(stdout);
}

static void add(struct counts sums[PROTOCOLS], const struct counts counts[PROTOCOLS])
{
    for (unsigned p = 0; p < PROTOCOLS; p++) {
        sums[p].crashes += counts[p].crashes;
        sums[p].committed += counts[p].committed;
        sums[p].final += counts[p].final;
        sums[p].commits += counts[p].commits;
    }
}

static void show_program(unsigned program, const struct config *config, FILE *data)
{
    struct counts sums[PROTOCOLS] = {0}, counts[PROTOCOLS];

    for (unsigned bug = 0; bug < BUGS; bug++) {
        measure(program, bug, config->runs, config->seed, counts);
        show(programs[program].name, bugs[bug], counts, data);
        add(sums, counts);
    }
    show(programs[program].name, "all", sums, data);
    printf("%-34s commits", "");
    for (unsigned p = 0; p < PROTOCOLS; p++)
        printf(" %11u", sums[p].commits);
    printf("\n");
}

int bench_failures(struct config *config)
{
    FILE *data;

    config->runs = config->runs > 0 ? config->runs : 10;
    find_runner(config->path);
    data = bench_open_data(config, "failures.dat");
    printf("%s; %s; seed %llu; of %u runs of each bug that crash, in percent: those with a commit "
           "between the bug and the crash, and those that come to the bug again\n%-34s crashes",
           bench_processor(), bench_kernel(), (unsigned long long)config->seed, config->runs, "");
    for (unsigned p = 0; p < PROTOCOLS; p++)
        printf(" %11s", protocols[p].name);
    printf("\n");
    for (unsigned program = 0; program < PROGRAMS; program++)
        show_program(program, config, data);
    if (data != NULL)
        fclose(data);
    return 0;
}

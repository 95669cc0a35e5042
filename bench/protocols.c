/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench protocols: what each protocol of vista-run commits in a session of an interactive program,
 * and what that costs in processor time beside the bare program (figures 6.3 to 6.5 of the
 * dissertation, of which magic and nvi are the same programs).
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libvista/trace/trace_format.h"
#include "bench.h"

#define MOST 64
#define QUIET_MS 60 /* after a key: the program waits for the next */

static const char *const protocols[] = {"cpvs", "cand", "cbndvs", "cand-log", "cbndvs-log"};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)

static const struct {
    const char *name;
    const char *command[6];
    const char *keys; /* one by one, but a line of a program that reads lines as a whole */
    bool lines;
} programs[] = {
    {"nvi",
     {"/usr/bin/nvi", NULL},
     "ithe quick brown fox\njumps over a dog\033kddpA again\033:q!\n",
     false},
    {"sc", {"/usr/bin/sc", NULL}, "=1\nj=2\nj=3\nj=a0+a1\nl=4\nj=5\nk=b0*2\nqn", false},
    {"magic",
     {"/usr/lib/x86_64-linux-gnu/magic/tcl/magicdnull", "-nowrapper", "-dnull", "-noconsole", NULL},
     "box 0 0 4 4\npaint magnet\nselect area\nwhat\nmove r 3\nbox\nundo\nquit -noprompt\n",
     true},
};
#define PROGRAMS (sizeof programs / sizeof *programs)

static char runner[PATH_MAX + 16], file[PATH_MAX], trace[PATH_MAX + 8];

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

/* Under a protocol, or bare where it is NULL. */
static void execute(unsigned which, const char *protocol, bool traced)
{
    const char *arguments[24];
    int count = 0;

    if (protocol != NULL) {
        const char *const options[] = {runner, "-p", protocol, "--fresh", "-f", file};

        memcpy(arguments, options, sizeof options);
        count = sizeof options / sizeof *options;
        if (traced) {
            arguments[count++] = "--trace";
            arguments[count++] = trace;
        }
    }
    for (int i = 0; programs[which].command[i] != NULL; i++)
        arguments[count++] = programs[which].command[i];
    arguments[count] = NULL;
    setenv("TERM", "vt100", 1);
    execv(arguments[0], (char **)arguments);
    _exit(127);
}

static void drain(int master, int quiet)
{
    struct pollfd ready = {.fd = master, .events = POLLIN};
    char bytes[4096];

    while (poll(&ready, 1, quiet) == 1 && read(master, bytes, sizeof bytes) > 0)
        continue;
}

static void type(unsigned which, int master)
{
    for (const char *key = programs[which].keys; *key != '\0';) {
        const size_t length = programs[which].lines ? strcspn(key, "\n") + 1 : 1;

        if (write(master, key, length) != (ssize_t)length)
            bench_fail("typing: %s", strerror(errno));
        drain(master, QUIET_MS);
        key += length;
    }
}

/* Seconds of processor time of a session. */
static double session(unsigned which, const char *protocol, bool traced)
{
    const struct winsize size = {.ws_row = 24, .ws_col = 80};
    struct rusage used;
    int master, status;
    pid_t child = forkpty(&master, NULL, NULL, &size);

    if (child < 0)
        bench_fail("forkpty: %s", strerror(errno));
    if (child == 0)
        execute(which, protocol, traced);
    drain(master, 1000);
    type(which, master);
    drain(master, 1000);
    if (wait4(child, &status, 0, &used) != child || status != 0)
        bench_fail("%s under %s ends with status %x", programs[which].name,
                   protocol != NULL ? protocol : "no protocol", status);
    close(master);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static unsigned count_commits(void)
{
    FILE *records = fopen(trace, "re");
    struct vi_trace_record record;
    unsigned commits = 0;

    if (records == NULL)
        bench_fail("%s: %s", trace, strerror(errno));
    while (fread(&record, sizeof record, 1, records) == 1 && record.kind != VI_TRACE_NONE)
        commits += record.kind == VI_TRACE_COMMIT;
    fclose(records);
    (void)unlink(trace);
    return commits;
}

static void show_program(unsigned which, unsigned runs, FILE *data)
{
    double bare[MOST], under[PROTOCOLS][MOST], base;
    unsigned commits[PROTOCOLS];

    for (unsigned p = 0; p < PROTOCOLS; p++) {
        (void)session(which, protocols[p], true);
        commits[p] = count_commits();
    }
    for (unsigned i = 0; i < runs; i++) {
        bare[i] = session(which, NULL, false);
        for (unsigned p = 0; p < PROTOCOLS; p++)
            under[p][i] = session(which, protocols[p], false);
    }
    base = median(bare, runs);
    for (unsigned p = 0; p < PROTOCOLS; p++) {
        const double seconds = median(under[p], runs);

        printf("%-8s %-12s %8u %12.1f %8.2f\n", programs[which].name, protocols[p], commits[p],
               (seconds - base) * 1e3, seconds / base);
        if (data != NULL)
            fprintf(data, "%s %s %u %g\n", programs[which].name, protocols[p], commits[p],
                    seconds / base);
    }
    fflush(stdout);
}

int bench_protocols(struct config *config)
{
    const unsigned runs = config->runs > 0 ? config->runs : 3;
    char folder[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    FILE *data;

    if (runs > MOST)
        bench_usage_error("protocols: at most %d runs", MOST);
    folder[length > 0 ? length : 0] = '\0';
    snprintf(runner, sizeof runner, "%s/../vista-run", dirname(folder));
    snprintf(file, sizeof file, "%s/bench-%d.dc", config->path != NULL ? config->path : "/dev/shm",
             (int)getpid());
    snprintf(trace, sizeof trace, "%s.trace", file);
    if (access(runner, X_OK) != 0)
        bench_fail("vista-run is not built beside this program");
    data = bench_open_data(config, "protocols.dat");
    printf("%s; %s; sessions under each protocol, medians of %u runs in turns\n%-8s %-12s %8s %12s "
           "%8s\n",
           bench_processor(), bench_kernel(), runs, "", "", "commits", "ms more", ": bare");
    for (unsigned which = 0; which < PROGRAMS; which++)
        if (access(programs[which].command[0], X_OK) == 0)
            show_program(which, runs, data);
        else
            printf("%-8s SKIPPED: it is not installed\n", programs[which].name);
    if (data != NULL)
        fclose(data);
    return 0;
}

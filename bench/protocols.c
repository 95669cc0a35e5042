/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench protocols: what each protocol of vista-run commits in a session of an interactive program,
 * and what that costs in processor time beside the bare program (figures 6.3 to 6.5 of the
 * dissertation, of which magic and nvi are the same programs).
 */
#include <errno.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../libvista/trace/trace_format.h"
#include "bench.h"
#include "checkpoint/interactive.h"

#define MOST 64
#define QUIET_MS 60 /* after a key: the program waits for the next */

static const char *const protocols[] = {"cpvs", "cand", "cbndvs", "cand-log", "cbndvs-log"};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)

static const struct {
    const char *keys; /* one by one, but a line of a program that reads lines as a whole */
    bool lines;
} typed[INTERACTIVES] = {
    [NVI] = {"ithe quick brown fox\njumps over a dog\033kddpA again\033:q!\n", false},
    [SC] = {"=1\nj=2\nj=3\nj=a0+a1\nl=4\nj=5\nk=b0*2\nqn", false},
    [MAGIC] =
        {"box 0 0 4 4\npaint magnet\nselect area\nwhat\nmove r 3\nbox\nundo\nquit -noprompt\n",
         true},
};

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
    for (int i = 0; interactive[which].command[i] != NULL; i++)
        arguments[count++] = interactive[which].command[i];
    arguments[count] = NULL;
    setenv("TERM", "vt100", 1);
    execv(arguments[0], (char **)arguments);
    _exit(127);
}

static void type(unsigned which, int master)
{
    for (const char *key = typed[which].keys; *key != '\0';) {
        const size_t length = typed[which].lines ? strcspn(key, "\n") + 1 : 1;

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
        bench_fail("%s under %s ends with status %x", interactive[which].name,
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
    base = bench_median(bare, runs);
    for (unsigned p = 0; p < PROTOCOLS; p++) {
        const double seconds = bench_median(under[p], runs);

        printf("%-8s %-12s %8u %12.1f %8.2f\n", interactive[which].name, protocols[p], commits[p],
               (seconds - base) * 1e3, seconds / base);
        if (data != NULL)
            fprintf(data, "%s %s %u %g\n", interactive[which].name, protocols[p], commits[p],
                    seconds / base);
    }
    fflush(stdout);
}

int bench_protocols(struct config *config)
{
    FILE *data;

    config->runs = config->runs > 0 ? config->runs : 3;
    if (config->runs > MOST)
        bench_usage_error("protocols: at most %d runs", MOST);
    find_runner(config->path);
    data = bench_open_data(config, "protocols.dat");
    printf("%s; %s; sessions under each protocol, medians of %u runs in turns\n%-8s %-12s %8s %12s "
           "%8s\n",
           bench_processor(), bench_kernel(), config->runs, "", "", "commits", "ms more", ": bare");
    for (unsigned which = 0; which < INTERACTIVES; which++)
        if (access(interactive[which].command[0], X_OK) == 0)
            show_program(which, config->runs, data);
        else
            printf("%-8s SKIPPED: it is not installed\n", interactive[which].name);
    if (data != NULL)
        fclose(data);
    return 0;
}

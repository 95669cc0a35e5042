/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench protocols: what each protocol of vista-run commits in a session of a program, and what
 * that costs in processor time beside the bare program, and beside the best protocol for it (figures
 * 6.3 to 6.7 of the dissertation, of which magic and nvi are the same programs).  Of a distributed
 * computation and of a game it is that of four processes, each under a vista-run of its own.
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

static const char *const protocols[] = {"cpvs",     "cand",       "cbndvs",
                                        "cand-log", "cbndvs-log", "adaptive"};
#define PROTOCOLS (sizeof protocols / sizeof *protocols)
#define ADAPTIVE (PROTOCOLS - 1)

/* Programs that are typed at, programs that only run, and groups of processes that do.  Of the second
 * each has another protocol that is best for it: it asks for the time often and says little, says
 * much and asks for nothing, asks each time that it says something, or does all that in turns.  The
 * command of a group is a program beside this one, and how long it goes on. */
static const struct program {
    const char *name;
    const char *command[6];
    const char *keys; /* one by one, but a line of a program that reads lines as a whole */
    bool lines, group;
} programs[] = {
    {"nvi", {NULL}, "ithe quick brown fox\njumps over a dog\033kddpA again\033:q!\n", false, false},
    {"sc", {NULL}, "=1\nj=2\nj=3\nj=a0+a1\nl=4\nj=5\nk=b0*2\nqn", false, false},
    {"magic",
     {NULL},
     "box 0 0 4 4\npaint magnet\nselect area\nwhat\nmove r 3\nbox\nundo\nquit -noprompt\n",
     true,
     false},
#define LUA "/usr/bin/lua5.4", "-e"
#define ASK "for i = 1, 2000 do for j = 1, 200 do os.clock() end print(i) end "
#define SAY "for i = 1, 20000 do print(i) end "
#define BOTH "for i = 1, 20000 do print(os.clock() > 0) end "
    {"asks", {LUA, ASK}, NULL, false, false},
    {"says", {LUA, SAY}, NULL, false, false},
    {"both", {LUA, BOTH}, NULL, false, false},
    {"a day", {LUA, "for day = 1, 3 do " ASK SAY BOTH "end"}, NULL, false, false},
    {"n bodies", {"bench_nbody", "40"}, NULL, false, true},
    {"a game", {"bench_game", "45"}, NULL, false, true},
};
#define PROGRAMS (sizeof programs / sizeof *programs)

/* Of those of the first there is one place that knows their command. */
static const char *const *command_of(unsigned which)
{
    return which < INTERACTIVES ? interactive[which].command : programs[which].command;
}

#define MOST_ARGUMENTS 24

/* vista-run and its options, or nothing where the protocol is NULL; how many there are. */
static int put_runner(const char **arguments, const struct names *names, const char *protocol,
                      bool traced)
{
    const char *const options[] = {runner, "-p",        protocol,  "--fresh",
                                   "-f",   names->file, "--trace", names->trace};
    const int count = protocol == NULL ? 0 : traced ? 8 : 6;

    memcpy(arguments, options, (size_t)count * sizeof *options);
    return count;
}

_Noreturn static void execute(unsigned which, const char *protocol, bool traced)
{
    const struct names names = names_of(-1);
    const char *arguments[MOST_ARGUMENTS];
    int count = put_runner(arguments, &names, protocol, traced);

    for (int i = 0; command_of(which)[i] != NULL; i++)
        arguments[count++] = command_of(which)[i];
    arguments[count] = NULL;
    setenv("TERM", "vt100", 1);
    execv(arguments[0], (char **)arguments);
    _exit(127);
}

/* One of a group; their place is no other group's as long as they run. */
_Noreturn static void execute_member(unsigned which, int member, const char *protocol, bool traced)
{
    const struct names names = names_of(member);
    const unsigned pid = (unsigned)getppid();
    char program[PATH_MAX + 32], way[32], size[16], number[16];
    const char *arguments[MOST_ARGUMENTS];
    int count = put_runner(arguments, &names, protocol, traced);

    snprintf(program, sizeof program, "%s/%s", folder, programs[which].command[0]);
    snprintf(way, sizeof way, "127.%u.%u", 1 + pid / 256 % 254, pid % 256);
    snprintf(size, sizeof size, "%d", MEMBERS);
    snprintf(number, sizeof number, "%d", member);
    arguments[count++] = program;
    arguments[count++] = way;
    arguments[count++] = size;
    arguments[count++] = number;
    arguments[count++] = programs[which].command[1];
    arguments[count] = NULL;
    if (freopen("/dev/null", "w", stdout) == NULL)
        _exit(126);
    execv(arguments[0], (char **)arguments);
    _exit(127);
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

static double seconds_of(const struct rusage *used)
{
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
           (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1e6;
}

static bool is_game(unsigned which)
{
    return strcmp(programs[which].command[0], "bench_game") == 0;
}

/* Frames that were late in the last session of the game, as its server says. */
static unsigned late;

static double session_of_group(unsigned which, const char *protocol, bool traced)
{
    pid_t members[MEMBERS];
    struct rusage used;
    double seconds = 0;
    int status;

    fflush(stdout);
    for (int i = 0; i < MEMBERS; i++) {
        members[i] = fork();
        if (members[i] < 0)
            bench_fail("fork: %s", strerror(errno));
        if (members[i] == 0)
            execute_member(which, i, protocol, traced);
    }
    late = 0;
    for (int i = 0; i < MEMBERS; i++) {
        if (wait4(members[i], &status, 0, &used) != members[i] || !WIFEXITED(status) ||
            WEXITSTATUS(status) > (is_game(which) && i == 0 ? 100 : 0))
            bench_fail("%s under %s ends with status %x", programs[which].name,
                       protocol != NULL ? protocol : "no protocol", status);
        late += (unsigned)WEXITSTATUS(status);
        seconds += seconds_of(&used);
    }
    return seconds;
}

/* Seconds of processor time of a session. */
static double session(unsigned which, const char *protocol, bool traced)
{
    const struct winsize size = {.ws_row = 24, .ws_col = 80};
    struct rusage used;
    int master, status;
    pid_t child;

    if (programs[which].group)
        return session_of_group(which, protocol, traced);
    child = forkpty(&master, NULL, NULL, &size);
    if (child < 0)
        bench_fail("forkpty: %s", strerror(errno));
    if (child == 0)
        execute(which, protocol, traced);
    if (programs[which].keys != NULL) {
        drain(master, 1000);
        type(which, master);
        drain(master, 1000);
    } else {
        drain(master, -1);
    }
    if (wait4(child, &status, 0, &used) != child || status != 0)
        bench_fail("%s under %s ends with status %x", programs[which].name,
                   protocol != NULL ? protocol : "no protocol", status);
    close(master);
    return seconds_of(&used);
}

struct counts {
    unsigned commits, saved; /* those that were made, and those that logging has saved */
};

static void add_counts(const char *trace, struct counts *counts)
{
    FILE *records = fopen(trace, "re");
    struct vi_trace_record record;
    unsigned saved = 0;

    if (records == NULL)
        bench_fail("%s: %s", trace, strerror(errno));
    while (fread(&record, sizeof record, 1, records) == 1 && record.kind != VI_TRACE_NONE)
        if (record.kind == VI_TRACE_COMMIT) {
            counts->commits++;
            saved = (unsigned)record.result;
        }
    counts->saved += saved;
    fclose(records);
    (void)unlink(trace);
}

static struct counts read_counts(unsigned which)
{
    const int first = programs[which].group ? 0 : -1, end = programs[which].group ? MEMBERS : 0;
    struct counts counts = {0};

    for (int member = first; member < end; member++)
        add_counts(names_of(member).trace, &counts);
    return counts;
}

static double best_of(const double seconds[PROTOCOLS])
{
    double best = seconds[0];

    for (unsigned p = 1; p < ADAPTIVE; p++)
        best = seconds[p] < best ? seconds[p] : best;
    return best;
}

static void show(const char *name, const struct counts counts[PROTOCOLS],
                 const double seconds[PROTOCOLS], double base, FILE *data)
{
    for (unsigned p = 0; p < PROTOCOLS; p++) {
        printf("%-8s %-12s %8u %8u %12.1f %8.2f %8.2f\n", name, protocols[p], counts[p].commits,
               counts[p].saved, (seconds[p] - base) * 1e3, seconds[p] / base,
               seconds[p] / best_of(seconds));
        if (data != NULL)
            fprintf(data, "\"%s\" %s %u %u %g %g\n", name, protocols[p], counts[p].commits,
                    counts[p].saved, seconds[p] / base, seconds[p] / best_of(seconds));
    }
    fflush(stdout);
}

/* Of the game's frames, in the worst session. */
static void show_late(unsigned which, const unsigned latest[PROTOCOLS])
{
    printf("%-8s frames late by half a frame, of %s, at most:", programs[which].name,
           programs[which].command[1]);
    for (unsigned p = 0; p < PROTOCOLS; p++)
        printf(" %s %u", protocols[p], latest[p]);
    printf("\n");
}

/* All programs together. */
struct sums {
    struct counts counts[PROTOCOLS];
    double seconds[PROTOCOLS], base;
};

static void measure(unsigned which, unsigned runs, struct sums *sums, FILE *data)
{
    double bare[MOST], under[PROTOCOLS][MOST], seconds[PROTOCOLS], base;
    struct counts counts[PROTOCOLS];
    unsigned latest[PROTOCOLS] = {0};

    for (unsigned p = 0; p < PROTOCOLS; p++) {
        (void)session(which, protocols[p], true);
        counts[p] = read_counts(which);
    }
    for (unsigned i = 0; i < runs; i++) {
        bare[i] = session(which, NULL, false);
        for (unsigned p = 0; p < PROTOCOLS; p++) {
            under[p][i] = session(which, protocols[p], false);
            latest[p] = late > latest[p] ? late : latest[p];
        }
    }
    base = bench_median(bare, runs);
    sums->base += base;
    for (unsigned p = 0; p < PROTOCOLS; p++) {
        seconds[p] = bench_median(under[p], runs);
        sums->seconds[p] += seconds[p];
        sums->counts[p].commits += counts[p].commits;
        sums->counts[p].saved += counts[p].saved;
    }
    show(programs[which].name, counts, seconds, base, data);
    if (programs[which].group && is_game(which))
        show_late(which, latest);
}

static bool is_there(unsigned which)
{
    char program[PATH_MAX + 32];

    if (!programs[which].group)
        return access(command_of(which)[0], X_OK) == 0;
    snprintf(program, sizeof program, "%s/%s", folder, programs[which].command[0]);
    return access(program, X_OK) == 0;
}

int bench_protocols(struct config *config)
{
    struct sums sums = {0};
    FILE *data;

    config->runs = config->runs > 0 ? config->runs : 3;
    if (config->runs > MOST)
        bench_usage_error("protocols: at most %d runs", MOST);
    find_runner(config->path);
    data = bench_open_data(config, "protocols.dat");
    printf("%s; %s; sessions under each protocol, medians of %u runs in turns; commits of a traced "
           "one\n%-8s %-12s %8s %8s %12s %8s %8s\n",
           bench_processor(), bench_kernel(), config->runs, "", "", "commits", "saved", "ms more",
           ": bare", ": best");
    for (unsigned which = 0; which < PROGRAMS; which++)
        if (is_there(which))
            measure(which, config->runs, &sums, data);
        else
            printf("%-8s SKIPPED: it is not installed\n", programs[which].name);
    if (sums.base != 0)
        show("all", sums.counts, sums.seconds, sums.base, data);
    printf("No call of a traced session goes without the trap, so adaptive may choose otherwise "
           "in the others.\n");
    if (data != NULL)
        fclose(data);
    return 0;
}

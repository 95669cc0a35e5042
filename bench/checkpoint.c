/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench checkpoint: what vista-run costs, bare runs beside it: a system call, beside a ptrace
 * stop; a checkpoint by the pages written (figure 5.2 of the dissertation); programs by the interval
 * of checkpoints (figure 5.3); start, resumption, memory; editors that are typed at.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "checkpoint/child_of.h"
#include "checkpoint/interactive.h"

#define MOST 64
#define ARGUMENTS 24
#define TYPED 120 /* keys of an editor */
#define KEY_MS 100

static char guest[PATH_MAX + 32];
static const struct config *config;

static double quantile(double *values, unsigned count, double share)
{
    const unsigned at = (unsigned)(share * (count - 1) + 0.5);

    qsort(values, count, sizeof *values, bench_compare_double);
    return values[at];
}

/* ---- Running -------------------------------------------------------------------- */

/* A command with vista-run before it, with checkpoints each `every` ms; or bare. */
static void command_of(const char **to, bool under, const char *every, const char *const *command)
{
    int count = 0;

    if (under) {
        to[count++] = runner;
        to[count++] = "--fresh";
        to[count++] = "-f";
        to[count++] = file;
        to[count++] = "--every";
        to[count++] = every;
    }
    while (*command != NULL && count < ARGUMENTS - 1)
        to[count++] = *command++;
    to[count] = NULL;
}

static double seconds_of(struct timeval value)
{
    return (double)value.tv_sec + (double)value.tv_usec / 1e6;
}

/* Runs it to its end, its output to `output` or nowhere: seconds of processor time, all its processes
 * together. */
static double run(const char *const *command, bool under, const char *every, int output)
{
    const char *arguments[ARGUMENTS];
    struct rusage used;
    int status;
    pid_t child;

    command_of(arguments, under, every, command);
    child = fork();
    if (child == 0) {
        const int nowhere = open("/dev/null", O_RDWR);

        dup2(nowhere, 0);
        dup2(output >= 0 ? output : nowhere, 1);
        execv(arguments[0], (char **)arguments);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &used) != child || status != 0)
        bench_fail("%s failed", arguments[0]);
    return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

/* The number that the guest prints. */
static double ask(bool under, const char *what, unsigned a, unsigned b, unsigned c)
{
    char text[3][16], line[64] = "";
    const char *const command[] = {guest, what, text[0], text[1], text[2], NULL};
    int fds[2];

    snprintf(text[0], sizeof text[0], "%u", a);
    snprintf(text[1], sizeof text[1], "%u", b);
    snprintf(text[2], sizeof text[2], "%u", c);
    if (pipe(fds) != 0)
        bench_fail("pipe: %s", strerror(errno));
    (void)run(command, under, "0", fds[1]);
    close(fds[1]);
    if (read(fds[0], line, sizeof line - 1) <= 0)
        bench_fail("%s %s printed nothing", guest, what);
    close(fds[0]);
    return atof(line);
}

/* ---- A system call ---------------------------------------------------------------- */

/* Nanoseconds of processor time of a stop under ptrace, of which a system call makes two. */
static double ptrace_stop(unsigned count)
{
    char text[16];
    struct rusage used;
    double stops = 0;
    int status;
    pid_t child;

    snprintf(text, sizeof text, "%u", count);
    child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        dup2(open("/dev/null", O_WRONLY), 1);
        execl(guest, guest, "calls", text, (char *)NULL);
        _exit(127);
    }
    while (wait4(child, &status, 0, &used) == child && WIFSTOPPED(status)) {
        stops++;
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
    }
    return seconds_of(used.ru_utime) * 1e9 / stops + seconds_of(used.ru_stime) * 1e9 / stops;
}

static double own_cpu(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
}

static void show_interception(void)
{
    double bare[MOST], under[MOST], trap[MOST], stop[MOST];

    for (unsigned i = 0; i < config->runs; i++) {
        double begin;

        bare[i] = ask(false, "calls", 100000, 0, 0);
        under[i] = ask(true, "calls", 100000, 0, 0) - bare[i];
        trap[i] = ask(true, "traps", 100000, 0, 0) - bare[i];
        begin = own_cpu();
        stop[i] = ptrace_stop(20000) + (own_cpu() - begin) * 1e9 / 40000;
    }
    printf(
        "system call, ns of processor time: bare %.0f, intercepted %.0f more, by a trap %.0f more; "
        "a ptrace stop %.0f, %.1f and %.1f times as much\n",
        bench_median(bare, config->runs), bench_median(under, config->runs),
        bench_median(trap, config->runs), bench_median(stop, config->runs),
        bench_median(stop, config->runs) / bench_median(under, config->runs),
        bench_median(stop, config->runs) / bench_median(trap, config->runs));
    fflush(stdout);
}

/* ---- Figure 5.2 --------------------------------------------------------------------- */

static void show_pages(void)
{
    static const unsigned sizes[] = {4, 64}, pages[] = {1, 4, 16, 64, 256, 1024};
    FILE *data = bench_open_data(config, "checkpoint-pages.dat");
    double checkpoint[MOST], by_hand[MOST];

    if (data != NULL)
        fprintf(data, "# MiB,pages,us,by_hand_us,bar_us\n");
    printf("\ncheckpoint of a process, us of processor time with the faults of its pages\n"
           "%9s %8s %10s %22s %8s %8s\n",
           "writable", "pages", "checkpoint", "a scan and two copies", "ratio", "bar");
    for (unsigned s = 0; s < 2; s++)
        for (unsigned p = 0; p < 6; p++) {
            const unsigned count = pages[p] > 64 ? 100 : 400;
            const double bar = 15 + 3.0 * sizes[s] + 1.5 * pages[p];

            for (unsigned i = 0; i < config->runs; i++) {
                checkpoint[i] = ask(true, "pages", pages[p], count, sizes[s]) / 1e3;
                by_hand[i] = ask(false, "floor", pages[p], count, sizes[s]) / 1e3;
            }
            printf("%5u MiB %8u %10.1f %22.1f %8.2f %8.1f\n", sizes[s], pages[p],
                   bench_median(checkpoint, config->runs), bench_median(by_hand, config->runs),
                   bench_median(checkpoint, config->runs) / bench_median(by_hand, config->runs),
                   bar);
            if (data != NULL)
                fprintf(data, "%u,%u,%.2f,%.2f,%.1f\n", sizes[s], pages[p],
                        bench_median(checkpoint, config->runs), bench_median(by_hand, config->runs),
                        bar);
            fflush(stdout);
        }
    if (data != NULL)
        fclose(data);
}

/* ---- Figure 5.3 --------------------------------------------------------------------- */

#define LUA_WORK \
    "local t={} for r=1,60 do for i=1,200000 do t[i]=((t[i] or 0)+i*r)%65537 end end print(#t)"
#define SQLITE_WORK \
    "create table t(a integer primary key,b);with recursive n(i) as (select 1 union all select " \
    "i+1 " \
    "from n where i<200000) insert into t select i,i*7 from n;update t set b=b+a;update t set " \
    "b=b*3%65537;create index x on t(b);update t set b=b+1;select sum(b) from t;"

static char picture[PATH_MAX + 8];

static const struct {
    const char *name;
    const char *command[8];
} programs[] = {
    {"lua", {"/usr/bin/lua5.4", "-e", LUA_WORK, NULL}},
    {"sqlite3", {"/usr/bin/sqlite3", ":memory:", SQLITE_WORK, NULL}},
    {"cjpeg", {"/usr/bin/cjpeg", "-progressive", "-quality", "95", picture, NULL}},
};

static void make_picture(void)
{
    struct rng rng = {0};
    FILE *to;

    snprintf(picture, sizeof picture, "%s.ppm", file);
    to = fopen(picture, "we");
    if (to == NULL)
        bench_fail("%s: %s", picture, strerror(errno));
    fprintf(to, "P6\n4000 3000\n255\n");
    for (unsigned i = 0; i < 4000 * 3000 * 3 / 4; i++) {
        const uint32_t word = (uint32_t)rng_next(&rng) & 0x3f3f3f3f;

        fwrite(&word, sizeof word, 1, to);
    }
    fclose(to);
}

static void show_program(unsigned which, FILE *data)
{
    static const char *const intervals[] = {"1", "10", "100", "1000", "10000"};
    double ratio[5][MOST];

    printf("%-10s", programs[which].name);
    if (access(programs[which].command[0], X_OK) != 0) {
        printf(" SKIPPED: it is not installed\n");
        return;
    }
    for (unsigned i = 0; i < config->runs; i++) {
        const double bare = run(programs[which].command, false, NULL, -1);

        for (unsigned at = 0; at < 5; at++)
            ratio[at][i] = run(programs[which].command, true, intervals[at], -1) / bare;
    }
    for (unsigned at = 0; at < 5; at++) {
        printf(" %8.3f", bench_median(ratio[at], config->runs));
        if (data != NULL)
            fprintf(data, "%s,%s,%.4f\n", programs[which].name, intervals[at],
                    bench_median(ratio[at], config->runs));
    }
    printf("\n");
    fflush(stdout);
}

static void show_intervals(void)
{
    FILE *data = bench_open_data(config, "checkpoint-intervals.dat");

    if (data != NULL)
        fprintf(data, "# program,ms,ratio\n");
    printf("\nprocessor time under vista-run : bare, by the interval of checkpoints\n"
           "%-10s %8s %8s %8s %8s %8s\n",
           "", "1 ms", "10 ms", "100 ms", "1 s", "10 s");
    make_picture();
    for (unsigned which = 0; which < sizeof programs / sizeof programs[0]; which++)
        show_program(which, data);
    (void)unlink(picture);
    if (data != NULL)
        fclose(data);
}

/* ---- Start, resumption, memory -------------------------------------------------------- */

static double start_ms(bool under)
{
    static const char *const command[] = {"/bin/true", NULL};
    const uint64_t begin = bench_now();

    (void)run(command, under, "0", -1);
    return (double)(bench_now() - begin) / 1e6;
}

/* From the kill to the first byte that the resumed program writes. */
static void measure_resumption(double *ms, unsigned count)
{
    const char *const command[] = {guest, "beat", NULL};
    const char *arguments[ARGUMENTS];
    char byte[256];
    int fds[2];
    pid_t supervisor;

    command_of(arguments, true, "0", command);
    if (pipe(fds) != 0)
        bench_fail("pipe: %s", strerror(errno));
    supervisor = fork();
    if (supervisor < 0)
        bench_fail("fork: %s", strerror(errno));
    if (supervisor == 0) {
        dup2(fds[1], 1);
        execv(arguments[0], (char **)arguments);
        _exit(127);
    }
    close(fds[1]);
    for (unsigned i = 0; i < count && read(fds[0], byte, 1) == 1; i++) {
        struct pollfd ready = {.fd = fds[0], .events = POLLIN};
        const pid_t killed = child_of(supervisor);
        uint64_t begin;

        usleep(20000);
        begin = bench_now();
        kill(killed, SIGKILL);
        while (child_of(supervisor) == 0 || child_of(supervisor) == killed)
            continue;
        while (poll(&ready, 1, 0) == 1 && read(fds[0], byte, sizeof byte) > 0)
            continue;
        if (read(fds[0], byte, 1) != 1)
            break;
        ms[i] = (double)(bench_now() - begin) / 1e6;
    }
    kill(supervisor, SIGTERM);
    waitpid(supervisor, NULL, 0);
    close(fds[0]);
}

static void show_start(void)
{
    double bare[MOST], under[MOST], resumption[MOST] = {0};

    for (unsigned i = 0; i < config->runs; i++) {
        bare[i] = start_ms(false);
        under[i] = start_ms(true) - bare[i];
    }
    measure_resumption(resumption, config->runs);
    printf(
        "\nms of the clock: start and end %.1f more than bare's %.1f; resumption %.2f, of it up to "
        "1 the program's own\n",
        bench_median(under, config->runs), bench_median(bare, config->runs),
        bench_median(resumption, config->runs));
    fflush(stdout);
}

/* ---- Editors that are typed at --------------------------------------------------------- */

static const struct {
    const char *first, *keys, *last;
} editors[INTERACTIVES] = {
    [NVI] = {"i", "the quick brown fox jumps over a dog\n", "\033:q!\n"},
    [SC] = {"", "=1\nj=2\nj=3\nj=4\nj=5\nj=6\nj=7\nj=8\nj=9\nj=0\n", "\nqn"},
    [MAGIC] = {"", "box 0 0 4 4\npaint magnet\nwhat\nbox\nundo\n", "quit -noprompt\n"},
};

struct typed {
    double ms[TYPED];
    double cpu;          /* seconds, of the keys alone */
    double memory, size; /* bytes resident, and of the checkpoint file */
};

static double resident(pid_t pid)
{
    char name[64];
    long all, pages = 0;
    FILE *statm;

    snprintf(name, sizeof name, "/proc/%d/statm", pid);
    statm = fopen(name, "re");
    if (statm == NULL || fscanf(statm, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (statm != NULL)
        fclose(statm);
    return (double)pages * 4096;
}

/* From the key to the first byte that changes the screen. */
static double type(int master, char key)
{
    struct pollfd ready = {.fd = master, .events = POLLIN};
    const uint64_t begin = bench_now();
    double ms;

    if (write(master, &key, 1) != 1)
        bench_fail("typing: %s", strerror(errno));
    (void)poll(&ready, 1, KEY_MS);
    ms = (double)(bench_now() - begin) / 1e6;
    drain(master, KEY_MS);
    return ms;
}

/* Seconds of processor time that a process has had. */
static double cpu_of(pid_t pid)
{
    unsigned long long ns = 0;
    char name[64];
    FILE *stat;

    snprintf(name, sizeof name, "/proc/%d/schedstat", pid);
    stat = fopen(name, "re");
    if (stat == NULL || fscanf(stat, "%llu", &ns) != 1)
        bench_fail("%s cannot be read", name);
    fclose(stat);
    return (double)ns / 1e9;
}

static double cpu_together(pid_t child, bool under)
{
    return cpu_of(child) + (under ? cpu_of(child_of(child)) : 0);
}

static void look(pid_t child, bool under, struct typed *typed)
{
    struct stat st;

    typed->memory = resident(under ? child_of(child) : child);
    if (under && stat(file, &st) == 0)
        typed->size = (double)st.st_blocks * 512;
}

static void type_at(unsigned which, bool under, struct typed *typed)
{
    const struct winsize size = {.ws_row = 24, .ws_col = 80};
    const char *arguments[ARGUMENTS];
    int master;
    pid_t child;

    command_of(arguments, under, "0", interactive[which].command);
    child = forkpty(&master, NULL, NULL, &size);
    if (child < 0)
        bench_fail("forkpty: %s", strerror(errno));
    if (child == 0) {
        setenv("TERM", "vt100", 1);
        execv(arguments[0], (char **)arguments);
        _exit(127);
    }
    drain(master, 1000);
    if (write(master, editors[which].first, strlen(editors[which].first)) < 0)
        bench_fail("typing: %s", strerror(errno));
    drain(master, KEY_MS);
    typed->cpu = -cpu_together(child, under);
    for (unsigned i = 0; i < TYPED; i++)
        typed->ms[i] = type(master, editors[which].keys[i % strlen(editors[which].keys)]);
    typed->cpu += cpu_together(child, under);
    look(child, under, typed);
    if (write(master, editors[which].last, strlen(editors[which].last)) < 0)
        bench_fail("typing: %s", strerror(errno));
    drain(master, 500);
    kill(child, SIGKILL); /* if it asks something */
    if (waitpid(child, NULL, 0) != child)
        bench_fail("%s does not end", interactive[which].name);
    close(master);
    (void)unlink(file);
}

static void show_editors(void)
{
    printf(
        "\ntyped at %d ms a key: ms from key to screen, more than bare; processor time, memory and "
        "file : bare\n%-8s %8s %8s %8s %8s %8s\n",
        KEY_MS, "", "50 %", "99 %", "CPU", "memory", "file");
    for (unsigned which = 0; which < INTERACTIVES; which++) {
        struct typed bare = {0}, under = {0};

        if (access(interactive[which].command[0], X_OK) != 0) {
            printf("%-8s SKIPPED: it is not installed\n", interactive[which].name);
            continue;
        }
        type_at(which, false, &bare);
        type_at(which, true, &under);
        printf("%-8s %8.3f %8.3f %8.2f %8.2f %8.2f\n", interactive[which].name,
               bench_median(under.ms, TYPED) - bench_median(bare.ms, TYPED),
               quantile(under.ms, TYPED, 0.99) - quantile(bare.ms, TYPED, 0.99),
               under.cpu / bare.cpu, under.memory / bare.memory, under.size / bare.memory);
        fflush(stdout);
    }
}

/* Files in a folder of their own, since runs make and remove some. */
static void find_programs(void)
{
    find_runner(config->path);
    snprintf(guest, sizeof guest, "%s/bench_checkpoint_guest", folder);
    if (access(guest, X_OK) != 0)
        bench_fail("bench_checkpoint_guest is not built beside this program");
}

int bench_checkpoint(struct config *given)
{
    given->runs = given->runs > 0 ? given->runs : 5;
    if (given->runs > MOST)
        bench_usage_error("checkpoint: at most %d runs", MOST);
    config = given;
    find_programs();
    printf("%s; %s; medians of %u runs in turns\n", bench_processor(), bench_kernel(),
           config->runs);
    show_interception();
    show_pages();
    show_start();
    show_editors();
    show_intervals();
    return 0;
}

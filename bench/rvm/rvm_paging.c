/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's own table (Satyanarayanan et al. 1994, table 1): transactions a second against the size of
 * recoverable memory, from an eighth of the memory there is to 175 per cent of it.  The memory is that of a control group, so
 * that RVM's second copy of what the page cache has, and paging, show.
 *
 * A transaction changes an account of 128 bytes, a teller and a branch, and adds a line to the audit trail;
 * it is flushed.  Accounts are taken in sequence, at random, or localized: 70 % of a twentieth of the pages,
 * 25 % of the next three twentieths, 5 % of the rest.
 *
 * Of RVM it uses the interface alone; built with BENCH_INSTALLED it measures the librvm that the linker found.
 *
 * usage: bench_rvm [DISK-FOLDER [TURNS [SECONDS]]]
 *
 * Each figure is the median of the turns, each run a process of its own.  Without a control group there is no
 * table; without swap, which is made in the folder for as long as this runs where the system has none, what
 * does not fit is killed.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <rvm/rvm.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../bench.h"
#ifndef BENCH_INSTALLED
#include "vista.h"
#endif

#define MEMORY ((size_t)64 << 20) /* of the group */
#define LOG_BYTES ((size_t)8 << 20)
#define SWAP_BYTES ((size_t)256 << 20)
#define PAGE 4096u
#define ACCOUNT 128u
#define IN_PAGE (PAGE / ACCOUNT)
#define TRAIL (256u * PAGE) /* of lines of 64 bytes, behind the accounts */
#define LINE 64u
#define RANGES 4
#define TURNS_MOST 99

enum pattern { SEQUENTIAL, RANDOM, LOCALIZED, PATTERNS };
enum engine { RVM_COPIED, RVM_PRIVATE, VISTA_DISK, ENGINES };

static const char *const pattern_names[] = {"sequential", "random", "localized"};
static const char *const engine_names[] = {"RVM", "RVM, MAP_PRIVATE", "vista, disk class"};
static const double sizes[] = {12.5, 37.5, 62.5, 87.5, 100, 125, 150, 175}; /* % of the memory */
#define SIZES (sizeof sizes / sizeof *sizes)

struct figure {
    double rate, faults; /* a second; major page faults a transaction */
    bool is_there;
};

struct run {
    const char *folder;
    enum pattern pattern;
    enum engine engine;
    size_t size; /* of the accounts */
    double seconds;
};

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* ---- Transactions ------------------------------------------------------------ */

struct range {
    size_t at, length;
};

static size_t choose_page(const struct run *run, uint64_t *state, size_t pages)
{
    const size_t hot = pages / 20, warm = 3 * pages / 20;
    const uint64_t draw = next_random(state) % 100, random = next_random(state);

    if (run->pattern == RANDOM || pages < 20)
        return random % pages;
    if (draw < 70)
        return random % hot;
    return draw < 95 ? hot + random % warm : hot + warm + random % (pages - hot - warm);
}

/* What transaction `count` changes. */
static void choose(const struct run *run, struct range range[RANGES], uint64_t *state,
                   uint64_t count)
{
    const size_t pages = run->size / PAGE;
    size_t account = count % (pages * IN_PAGE);

    if (run->pattern != SEQUENTIAL)
        account = choose_page(run, state, pages) * IN_PAGE + next_random(state) % IN_PAGE;
    range[0] = (struct range){account * ACCOUNT, ACCOUNT};
    range[1] = (struct range){run->size + TRAIL + account % 64 * ACCOUNT, ACCOUNT};
    range[2] = (struct range){run->size + TRAIL + PAGE * 2 + account % 8 * ACCOUNT, ACCOUNT};
    range[3] = (struct range){run->size + count % (TRAIL / LINE) * LINE, LINE};
}

static size_t data_size(const struct run *run)
{
    return run->size + TRAIL + 4 * (size_t)PAGE;
}

static void rvm_must(rvm_return_t result)
{
    if (result != RVM_SUCCESS)
        errx(1, "%s", rvm_return(result));
}

static char *open_rvm(const struct run *run)
{
    rvm_offset_t length = RVM_MK_OFFSET(0, LOG_BYTES);
    rvm_options_t *options = rvm_malloc_options();
    rvm_region_t *region = rvm_malloc_region();
    static char log[200], segment[200];
    int fd;

    snprintf(log, sizeof log, "%s/log", run->folder);
    snprintf(segment, sizeof segment, "%s/segment", run->folder);
    fd = open(segment, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || (errno = posix_fallocate(fd, 0, (off_t)data_size(run))) != 0 || fsync(fd) != 0)
        err(1, "%s", segment);
    close(fd);
    options->log_dev = log;
    options->flags = run->engine == RVM_PRIVATE ? RVM_MAP_PRIVATE : 0;
    region->data_dev = segment;
    rvm_must(rvm_initialize(RVM_VERSION, NULL));
    rvm_must(rvm_create_log(options, &length, 0600));
    rvm_must(rvm_set_options(options));
    rvm_must(rvm_map(region, NULL));
    return region->vmaddr;
}

static void commit_rvm(char *data, const struct range *range, uint64_t count)
{
    rvm_tid_t tid;

    rvm_init_tid(&tid);
    rvm_must(rvm_begin_transaction(&tid, restore));
    for (int i = 0; i < RANGES; i++) {
        rvm_must(rvm_set_range(&tid, data + range[i].at, range[i].length));
        memset(data + range[i].at, (int)count, range[i].length);
    }
    rvm_must(rvm_end_transaction(&tid, flush));
}

#ifdef BENCH_INSTALLED
static char *open_vista(const struct run *run)
{
    errx(1, "%s: vista is not measured here", run->folder);
}

static void commit_vista(char *data, const struct range *range, uint64_t count)
{
    (void)data, (void)range, (void)count;
}
#else
static vista_segment *segment_of_run;

static char *open_vista(const struct run *run)
{
    const struct vista_map_options options = {.log_size = LOG_BYTES};
    char path[200];

    snprintf(path, sizeof path, "%s/vista", run->folder);
    segment_of_run =
        vista_map(path, data_size(run), VISTA_CREATE | VISTA_NO_HEAP | VISTA_POWER_SAFE, &options);
    if (segment_of_run == NULL)
        errx(1, "%s", vista_errormsg());
    return vista_base(segment_of_run);
}

static void commit_vista(char *data, const struct range *range, uint64_t count)
{
    vista_tx *tx = vista_begin_transaction(segment_of_run, 0);

    for (int i = 0; tx != NULL && i < RANGES; i++) {
        if (vista_set_range(tx, data + range[i].at, range[i].length) != 0)
            errx(1, "%s", vista_errormsg());
        memset(data + range[i].at, (int)count, range[i].length);
    }
    if (tx == NULL || vista_end_transaction(tx, 0) != 0)
        errx(1, "%s", vista_errormsg());
}
#endif

/* In the group. */
static void measure(const struct run *run, struct figure *figure)
{
    char *data = run->engine == VISTA_DISK ? open_vista(run) : open_rvm(run);
    uint64_t state = 1, count = 0;
    struct range range[RANGES];
    struct rusage before, after;
    double begin;

    for (size_t i = 0; i < run->size; i += PAGE) /* all of it has been in use once */
        ((volatile char *)data)[i] = data[i];
    getrusage(RUSAGE_SELF, &before);
    begin = now();
    for (; now() - begin < run->seconds; count++) {
        choose(run, range, &state, count);
        (run->engine == VISTA_DISK ? commit_vista : commit_rvm)(data, range, count);
    }
    figure->rate = (double)count / (now() - begin);
    getrusage(RUSAGE_SELF, &after);
    figure->faults = (double)(after.ru_majflt - before.ru_majflt) / (double)count;
    figure->is_there = true;
}

/* ---- The control group, and swap ----------------------------------------------- */

static char group[200], swap_path[200], turn_folder[150];
static pid_t owner, child; /* this program; the run that goes on, or 0 */

static bool write_text(const char *folder, const char *name, const char *text)
{
    char path[300];
    bool good;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return good;
}

/* Version 1 or 2 of control groups; false: none can be made. */
static bool make_group(void)
{
    static const char *const places[][2] = {{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
                                            {"/sys/fs/cgroup", "memory.max"}};
    char limit[32];

    snprintf(limit, sizeof limit, "%zu", MEMORY);
    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof group, "%s/bench_rvm-%d", places[i][0], (int)getpid());
        if (mkdir(group, 0700) != 0)
            continue;
        if (write_text(group, places[i][1], limit))
            return true;
        rmdir(group);
    }
    group[0] = '\0';
    return false;
}

static bool has_swap(void)
{
    FILE *file = fopen("/proc/swaps", "re");
    char line[200];
    int lines = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        lines++;
    if (file != NULL)
        fclose(file);
    return lines > 1;
}

/* The first page of a file that is swapped to; its version, and its last page. */
static bool make_swap(const char *folder)
{
    const uint32_t head[] = {1, SWAP_BYTES / PAGE - 1};
    int fd;

    snprintf(swap_path, sizeof swap_path, "%s/bench_rvm-%d.swap", folder, (int)getpid());
    fd = open(swap_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0 && posix_fallocate(fd, 0, (off_t)SWAP_BYTES) == 0 &&
        pwrite(fd, head, sizeof head, 1024) == sizeof head &&
        pwrite(fd, "SWAPSPACE2", 10, PAGE - 10) == 10 && fsync(fd) == 0 &&
        swapon(swap_path, 0) == 0)
        return close(fd), true;
    if (fd >= 0)
        close(fd);
    unlink(swap_path);
    swap_path[0] = '\0';
    return false;
}

static void remove_folder(void)
{
    static const char *const names[] = {"log", "segment", "vista"};
    char path[200];

    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", turn_folder, names[i]);
        unlink(path);
    }
    rmdir(turn_folder);
    turn_folder[0] = '\0';
}

/* Whatever ends this program; a run of its own leaves all to it. */
static void tidy_up(void)
{
    if (getpid() != owner)
        return;
    if (child > 0 && kill(child, SIGKILL) == 0)
        waitpid(child, NULL, 0);
    if (turn_folder[0] != '\0')
        remove_folder();
    if (swap_path[0] != '\0' && (swapoff(swap_path) != 0 || unlink(swap_path) != 0))
        warn("%s", swap_path);
    if (group[0] != '\0' && rmdir(group) != 0)
        warn("%s", group);
}

/* Signals that end this program, and SIGCHLD, are taken while it waits for a run, and nowhere else. */
static sigset_t signals, signals_before;

static void hold_signals(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    for (int i = 0; i < 3; i++)
        if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&signals, ends[i]);
    sigprocmask(SIG_BLOCK, &signals, &signals_before);
}

static int wait_for_child(void)
{
    int number, status;

    do {
        if (sigwait(&signals, &number) != 0)
            err(1, "sigwait");
        if (number != SIGCHLD)
            exit(128 + number);
    } while (waitpid(child, &status, WNOHANG) != child);
    child = 0;
    return status;
}

/* ---- Turns --------------------------------------------------------------------- */

/* In a process of its own. */
static _Noreturn void be_child(const struct run *run, struct figure *figure)
{
    sigprocmask(SIG_SETMASK, &signals_before, NULL);
    if (!write_text(group, "cgroup.procs", "0"))
        err(1, "%s", group);
    measure(run, figure);
    _exit(0);
}

/* What is not to be had, as it was killed for want of memory, stays away. */
static struct figure take_turn(struct run run, const char *on, struct figure *shared)
{
    int status;

    *shared = (struct figure){0};
    snprintf(turn_folder, sizeof turn_folder, "%s/bench_rvm.XXXXXX", on);
    if (mkdtemp(turn_folder) == NULL) {
        turn_folder[0] = '\0';
        err(1, "%s", on);
    }
    run.folder = turn_folder;
    fflush(stdout);
    child = fork();
    if (child == 0)
        be_child(&run, shared);
    if (child < 0)
        err(1, "fork");
    status = wait_for_child();
    remove_folder();
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
        errx(1, "a run failed with status %#x", (unsigned)status);
    return *shared;
}

static int by_rate(const void *left, const void *right)
{
    const struct figure *a = left, *b = right;

    return a->rate < b->rate ? -1 : a->rate > b->rate;
}

static void print_cell(const struct run *run, const char *on, int turns, struct figure *shared)
{
    struct figure figures[TURNS_MOST];

    for (int turn = 0; turn < turns; turn++)
        figures[turn] = take_turn(*run, on, shared);
    qsort(figures, (size_t)turns, sizeof *figures, by_rate);
    if (figures[turns / 2].is_there)
        printf(" %10.0f %8.3f", figures[turns / 2].rate, figures[turns / 2].faults);
    else
        printf(" %10s %8s", "killed", "");
    fflush(stdout);
}

static void print_table(const char *disk, int turns, double seconds, struct figure *shared)
{
#ifdef BENCH_INSTALLED
    const int engines = VISTA_DISK;
#else
    const int engines = ENGINES;
#endif

    printf("transactions a second, flushed, and major page faults in each; medians of %d turns of "
           "%g s;\n%zu MiB of memory; files in %s (%s)\n\n%-11s %6s",
           turns, seconds, MEMORY >> 20, disk, bench_file_system(disk), "accounts", "size");
    for (int engine = 0; engine < engines; engine++)
        printf(" %19s", engine_names[engine]);
    putchar('\n');
    for (int pattern = 0; pattern < PATTERNS; pattern++)
        for (size_t i = 0; i < SIZES; i++) {
            printf("%-11s %4.1f %%", pattern_names[pattern], sizes[i]);
            for (int engine = 0; engine < engines; engine++) {
                const struct run run = {NULL, (enum pattern)pattern, (enum engine)engine,
                                        (size_t)(sizes[i] / 100 * (double)MEMORY) / PAGE * PAGE,
                                        seconds};

                print_cell(&run, disk, turns, shared);
            }
            putchar('\n');
        }
}

int main(int argc, char **argv)
{
    const char *disk = argc > 1 ? argv[1] : "/var/tmp";
    const int turns = argc > 2 ? atoi(argv[2]) : 3;
    const double seconds = argc > 3 ? atof(argv[3]) : 0.5;
    struct figure *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (turns < 1 || turns > TURNS_MOST || seconds <= 0 || shared == MAP_FAILED)
        errx(2, "usage: bench_rvm [DISK-FOLDER [TURNS [SECONDS]]]");
    owner = getpid();
    hold_signals();
    if (!make_group()) {
        puts("SKIPPED: RVM's own table: no control group with a limit of memory can be made here");
        return 0;
    }
    atexit(tidy_up);
    if (!has_swap() && !make_swap(disk))
        puts("there is no swap: what does not fit the memory is killed");
    print_table(disk, turns, seconds, shared);
    return 0;
}

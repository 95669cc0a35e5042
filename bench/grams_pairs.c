/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench grams: a request and its response between two processes on one processor, in turns
 * with what else is built for it: see grams/.
 */
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define MOST 32

static const struct {
    const char *name, *program, *class;
    const char *transport; /* put into the environment */
} peers[] = {
    {"vista", "vista", "kill", ""},
    {"vista", "vista", "line", ""},
    {"vista, Unix sockets", "vista", "kill", "VISTA_BENCH_UNIX=1"},
    {"same protocol, nothing stored", "volatile", NULL, ""},
    {"bare UDP", "udp", NULL, ""},
    {"Redis, Unix sockets", "redis", NULL, ""},
    {"Redis streams, Unix sockets", "redis", NULL, "VISTA_BENCH_STREAMS=1"},
    {"LMDB and nng, Unix sockets", "nng", NULL, ""},
    {"SQLite and ZeroMQ, Unix sockets", "zmq", NULL, ""},
};
#define PEERS (sizeof peers / sizeof peers[0])

struct row_of {
    size_t bytes;
    unsigned outstanding;
    bool all; /* peers, not only vista and the protocol */
};
static const struct row_of rows[] = {
    {64, 1, true},     {8, 1, false},  {1024, 1, false}, {4096, 1, false},
    {65000, 1, false}, {64, 8, false}, {64, 32, false},
};
#define ROWS (sizeof rows / sizeof rows[0])

struct found {
    unsigned count;
    double wall[MOST], cpu[MOST];
};

/* The turns stay in their order. */
static double median_of(const double *of, unsigned count)
{
    double values[MOST];

    memcpy(values, of, count * sizeof *of);
    return bench_median(values, count);
}

/* One run of a peer; nothing where it is not built. */
static void run(const struct config *config, size_t peer, const struct row_of *row,
                struct found *found)
{
    char path[PATH_MAX], command[PATH_MAX + 256];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    double wall, cpu;
    FILE *pipe;

    if (length < 0)
        bench_fail("cannot find this program");
    path[length] = '\0';
    dirname(path);
    snprintf(command, sizeof command, "%s/bench_grams_%s", path, peers[peer].program);
    if (access(command, X_OK) != 0)
        return;
    snprintf(command, sizeof command, "VISTA_CLASS=%s %s '%s/bench_grams_%s' %g %zu %u '%s'",
             peers[peer].class != NULL ? peers[peer].class : "kill", peers[peer].transport, path,
             peers[peer].program, config->seconds, row->bytes, row->outstanding,
             config->path != NULL ? config->path : "/dev/shm");
    pipe = popen(command, "r");
    if (pipe == NULL || fscanf(pipe, "%lf %lf", &wall, &cpu) != 2 || pclose(pipe) != 0)
        bench_fail("%s failed", command);
    found->wall[found->count] = wall;
    found->cpu[found->count++] = cpu;
}

/* ---- The bars ---------------------------------------------------------------- */

/* Of two peers' times, or of one's with one and with many outstanding, what they are to be. */
static const struct {
    const char *what;
    size_t row, peer, by_row, by_peer;
    double least, most;
} bars[] = {
    {"vista : the same protocol, nothing stored", 0, 0, 0, 3, 0, 1.10},
    {"vista : bare UDP", 0, 0, 0, 4, 0, 1.25},
    {"Redis : vista, both over Unix sockets", 0, 5, 0, 2, 5, 1e9},
    {"Redis streams : vista, both over Unix sockets", 0, 6, 0, 2, 5, 1e9},
    {"LMDB and nng : vista, both over Unix sockets", 0, 7, 0, 2, 5, 1e9},
    {"SQLite and ZeroMQ : vista, both over Unix sockets", 0, 8, 0, 2, 5, 1e9},
    {"Redis, Unix sockets : vista, UDP", 0, 5, 0, 0, 5, 1e9},
    {"one outstanding : 32, a message", 0, 0, ROWS - 1, 0, 1.5, 1e9},
};

static double ratio(const double *of, const double *by, unsigned count)
{
    double ratios[MOST];

    for (unsigned i = 0; i < count; i++)
        ratios[i] = of[i] / by[i];
    return bench_median(ratios, count);
}

/* Medians of the ratios within each turn; a bar is met when both are within it.  Last, what the
 * three transactions of a round trip take: the difference to the protocol that stores nothing. */
static void print_bars(struct found found[ROWS][PEERS])
{
    struct found *vista = &found[0][0], *bare = &found[0][3];

    printf("\n%-50s %12s %8s %8s\n", "64 bytes, class kill", "bar", "wall", "CPU");
    for (size_t i = 0; i < sizeof bars / sizeof bars[0]; i++) {
        const struct found *of = &found[bars[i].row][bars[i].peer];
        const struct found *by = &found[bars[i].by_row][bars[i].by_peer];
        const bool below = bars[i].least == 0;
        double wall, cpu;

        if (of->count == 0 || by->count == 0) {
            printf("%-50s not built, or not installed\n", bars[i].what);
            continue;
        }
        wall = ratio(of->wall, by->wall, of->count);
        cpu = ratio(of->cpu, by->cpu, of->count);
        printf("%-50s %s %.2f %8.2f %8.2f  %s\n", bars[i].what, below ? "at most" : "at least",
               below ? bars[i].most : bars[i].least, wall, cpu,
               wall >= bars[i].least && cpu >= bars[i].least && wall <= bars[i].most &&
                       cpu <= bars[i].most
                   ? "met"
                   : "NOT MET");
    }
    for (unsigned i = 0; i < vista->count; i++)
        bare->cpu[i] = vista->cpu[i] - bare->cpu[i];
    {
        const double ns = median_of(bare->cpu, bare->count);

        printf("%-50s at most 300 ns %14.0f  %s\n", "the three transactions of a round trip", ns,
               ns <= 300 ? "met" : "NOT MET");
    }
}

static bool is_wanted(size_t peer, const struct row_of *row)
{
    return row->all || strcmp(peers[peer].program, "vista") == 0 ||
           strcmp(peers[peer].program, "volatile") == 0 || strcmp(peers[peer].program, "udp") == 0;
}

static void print(FILE *data, const struct row_of *row, struct found *found)
{
    const double base = found[0].count > 0 ? median_of(found[0].cpu, found[0].count) : 0;

    for (size_t peer = 0; peer < PEERS; peer++) {
        const char *class = peers[peer].class != NULL ? peers[peer].class : "-";
        double wall, cpu;

        if (found[peer].count == 0)
            continue;
        wall = median_of(found[peer].wall, found[peer].count);
        cpu = median_of(found[peer].cpu, found[peer].count);
        if (data != NULL)
            fprintf(data, "%s;%s;%zu;%u;%.0f;%.0f\n", peers[peer].name, class, row->bytes,
                    row->outstanding, wall, cpu);
        printf("%8zu %12u  %-32s %-5s %10.0f %10.0f %8.2f\n", row->bytes, row->outstanding,
               peers[peer].name, class, wall, cpu, cpu / base);
    }
}

int bench_grams(struct config *config)
{
    static struct found found[ROWS][PEERS];
    FILE *data;

    config->seconds = config->seconds > 0 ? config->seconds : 0.3;
    config->runs = config->runs > 0 ? config->runs : 5;
    if (config->runs > MOST)
        bench_usage_error("grams: at most %d runs", MOST);
    data = bench_open_data(config, "grams.dat");
    printf("ns per request with its response, medians of %u runs in turns; both ends on one "
           "processor\n%8s %12s  %-32s %-5s %10s %10s %8s\n",
           config->runs, "bytes", "outstanding", "peer", "class", "wall", "CPU", ": vista");
    for (size_t r = 0; r < ROWS; r++) {
        for (unsigned turn = 0; turn < config->runs; turn++)
            for (size_t peer = 0; peer < PEERS; peer++)
                if (is_wanted(peer, &rows[r]))
                    run(config, peer, &rows[r], &found[r][peer]);
        print(data, &rows[r], found[r]);
        fflush(stdout);
    }
    print_bars(found);
    if (data != NULL && fclose(data) != 0)
        bench_fail("grams.dat could not be written");
    return 0;
}

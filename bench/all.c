/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Everything, in parts; each with a CSV file of its own, which bench/plot draws.  A part
 * that fails is told of, and the others go on.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

#define MEMORY_PEERS "vista,vista-auto,floor,plain,libpmemobj"
#define ALL_PEERS MEMORY_PEERS ",lmdb,sqlite"

static const struct part {
    const char *name; /* of the CSV file */
    const char *command;
    int (*run)(struct config *config);
    const char *peers, *classes; /* NULL: the command's own */
    double seconds;
    unsigned runs;
    bool disk; /* its files go where the results go */
} parts[] = {
    {"main", "main", bench_main_table, NULL, NULL, 0.5, 7, false},
    {"peers", "debit-credit", bench_one, ALL_PEERS, "kill", 0.4, 5, false},
    {"order-entry", "order-entry", bench_one, ALL_PEERS, "kill", 0.4, 7, false},
    {"disk", "disk", bench_disk, NULL, NULL, 0.3, 3, true},
    {"synthetic", "synthetic", bench_synthetic, ALL_PEERS ",copy", "kill,line", 0.15, 5, false},
    {"sizes", "sizes", bench_sizes, NULL, NULL, 0.2, 7, false},
    {"heap", "heap", bench_heap, "vista,plain,libpmemobj,lmdb,sqlite", "kill,line", 0.3, 9, false},
    {"threads", "threads", bench_threads, NULL, "kill,line", 0.4, 7, false},
    {"segments", "segments", bench_segments, NULL, NULL, 0.4, 5, false},
    {"recovery", "recovery", bench_recovery, NULL, NULL, 1, 5, false},
};

#define PARTS (sizeof parts / sizeof parts[0])

static int run_part(const struct config *config, const struct part *part, const char *out)
{
    struct config own = *config;
    char csv[4096];

    snprintf(csv, sizeof csv, "%s/%s.csv", out, part->name);
    unlink(csv); /* of a run before */
    own.command = part->command;
    own.csv = csv;
    own.peers = config->peers != NULL ? config->peers : part->peers;
    own.classes = config->classes != NULL ? config->classes : part->classes;
    own.seconds = config->seconds != 0 ? config->seconds : part->seconds;
    own.runs = config->runs != 0 ? config->runs : part->runs;
    if (part->disk && config->path == NULL)
        own.path = out;
    return part->run(&own);
}

int bench_all(struct config *config)
{
    const char *out = config->out != NULL ? config->out : "bench/results";
    const uint64_t begin = bench_now();
    int status = 0;

    if (mkdir(out, 0777) != 0 && errno != EEXIST)
        bench_fail("%s: %s", out, strerror(errno));
    for (size_t i = 0; i < PARTS; i++) {
        if (!config->json)
            printf("\n==== %zu of %zu: %s, after %.0f s\n", i + 1, PARTS, parts[i].name,
                   (double)(bench_now() - begin) / 1e9);
        fflush(stdout);
        status |= run_part(config, &parts[i], out);
    }
    if (!config->json)
        printf("\nin all %.0f s; the rows are in %s/*.csv\n", (double)(bench_now() - begin) / 1e9,
               out);
    return status;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a heap takes when the sizes of its blocks shift: bench_sizes vista|mimalloc FOLDER TRACE, 0 to 7.
 *
 * A trace allocates and fills blocks of one range of sizes, four times as many bytes as may be
 * live, freeing blocks at random when there is no more room; then a part of what is live is
 * freed, and the same is done with blocks of another range.  Told is the most that was taken at
 * any time, in bytes that are live: of vista the disk blocks of a sparse segment, with its log
 * and metadata, of mimalloc the resident memory.
 */
#include <mimalloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vista.h"

#define LIVE ((size_t)64 << 20)
#define BLOCKS (LIVE / 50)
#define KIB ((size_t)1024)

static const struct trace {
    size_t from[2], to[2]; /* sizes before and after, the least and the largest */
    size_t freed;          /* percent, in between */
} traces[] = {
    {{100, 100}, {130, 130}, 0},
    {{100, 100}, {130, 130}, 90},
    {{100, 150}, {200, 300}, 0},
    {{100, 150}, {200, 300}, 90},
    {{50, 150}, {5000, 15000}, 50},
    {{50, 150}, {5000, 15000}, 90},
    {{64 * KIB, 64 * KIB}, {1024 * KIB, 1024 * KIB}, 50},
    {{64 * KIB, 128 * KIB}, {512 * KIB, 1024 * KIB}, 90},
};

static struct {
    void *at;
    size_t size;
} block[BLOCKS];
static size_t count, live, peak, before;
static vista_segment *segment; /* NULL: mimalloc */
static char path[4096];
static uint64_t state;

static uint64_t draw(uint64_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % limit;
}

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, vista_errormsg());
    exit(1);
}

static size_t taken(void)
{
    size_t pages = 0;
    struct stat st;
    FILE *file;

    if (segment != NULL)
        return stat(path, &st) == 0 ? (size_t)st.st_blocks * 512 : 0;
    file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%*s %zu", &pages) != 1)
        fail("/proc/self/statm");
    fclose(file);
    return pages * 4096;
}

static void look(void)
{
    const size_t now = taken();

    if (now > before && now - before > peak)
        peak = now - before;
}

static void *allocate(size_t size)
{
    vista_tx *tx;
    void *at;

    if (segment == NULL)
        return mi_malloc(size);
    tx = vista_begin_transaction(segment, 0);
    at = tx != NULL ? vista_malloc(tx, size) : NULL;
    if (at == NULL || vista_end_transaction(tx, 0) != 0)
        fail("vista_malloc");
    return at;
}

static void release(void *at)
{
    vista_tx *tx;

    if (segment == NULL) {
        mi_free(at);
        return;
    }
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL || vista_free(tx, at) != 0 || vista_end_transaction(tx, 0) != 0)
        fail("vista_free");
}

static void drop_one(void)
{
    const size_t i = draw(count);

    release(block[i].at);
    live -= block[i].size;
    block[i] = block[--count];
}

static void run_sizes(const size_t sizes[2])
{
    for (size_t done = 0, turn = 0; done < 4 * LIVE; turn++) {
        const size_t size = sizes[0] + draw(sizes[1] - sizes[0] + 1);

        while (count == BLOCKS || (count != 0 && live + size > LIVE))
            drop_one();
        block[count].at = allocate(size);
        block[count].size = size;
        memset(block[count++].at, 1, size);
        live += size;
        done += size;
        if (turn % (size < 50000 ? 4096 : 32) == 0)
            look();
    }
    look();
}

static void run_trace(const struct trace *trace)
{
    const struct vista_map_options options = {.max_size = 16 * LIVE};
    const bool vista = path[0] != '\0';
    size_t left;

    memset(block, 1, sizeof block); /* so that it counts before */
    count = live = peak = 0;
    state = 88172645463325252u;
    unlink(path);
    if (vista) {
        segment = vista_map(path, 16 * LIVE, VISTA_CREATE | VISTA_SPARSE, &options);
        if (segment == NULL)
            fail(path);
    }
    before = vista ? 0 : taken();
    run_sizes(trace->from);
    left = live / 100 * (100 - trace->freed);
    while (live > left)
        drop_one();
    run_sizes(trace->to);
    printf("%zu-%zu then %zu-%zu, %zu %% freed: %.2f\n", trace->from[0], trace->from[1],
           trace->to[0], trace->to[1], trace->freed, (double)peak / (double)LIVE);
    if (vista && vista_unmap(segment) != 0)
        fail(path);
    unlink(path);
}

int main(int argc, char **argv)
{
    const size_t number = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;

    if (argc != 4 || number >= sizeof traces / sizeof traces[0]) {
        fprintf(stderr, "usage: bench_sizes vista|mimalloc FOLDER TRACE\n");
        return 2;
    }
    if (strcmp(argv[1], "vista") == 0)
        snprintf(path, sizeof path, "%s/sizes.%d", argv[2], (int)getpid());
    run_trace(&traces[number]);
    return 0;
}

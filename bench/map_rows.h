/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The heap's hash map on a peer that is a database: a pair is put into a table.  Its
 * other workloads allocate and free, which a database has no calls for.  Included
 * after the peer's own header.
 */
#include "rows.h"

#define MAP_PAIR 96u /* bytes that a pair may take, all in all */

struct map {
    struct rows rows;
    uint64_t count, most;
};

static void map_open(struct session *session)
{
    static const char *const table = "map";
    struct map *map = calloc(1, sizeof *map);

    if (map == NULL)
        bench_fail("out of memory");
    session->state = map;
    map->most = session->size / MAP_PAIR;
    rows_open(&map->rows, session, &table, 1);
}

static unsigned map_batch(struct session *session, unsigned lane, unsigned count)
{
    struct map *map = session->state;
    const unsigned now = count < ROWS_BATCH ? count : ROWS_BATCH;

    for (unsigned i = 0; i < now; i++) {
        const uint64_t key = rng_next(&session->lanes[lane].rng);

        if (map->count == map->most)
            return i;
        rows_begin(&map->rows);
        rows_insert(&map->rows, 0, key, &map->count, sizeof map->count);
        rows_commit(&map->rows);
        map->count++;
    }
    return now;
}

static void map_see(void *context, uint64_t key, const void *row, size_t size)
{
    (void)key, (void)row, (void)size;
    ++*(uint64_t *)context;
}

static bool map_check(struct session *session, char *text, size_t size)
{
    struct map *map = session->state;
    uint64_t found = 0;

    rows_begin(&map->rows);
    rows_each(&map->rows, 0, map_see, &found);
    rows_commit(&map->rows);
    snprintf(text, size, "%llu keys found of %llu", (unsigned long long)found,
             (unsigned long long)map->count);
    return found == map->count;
}

static void map_close(struct session *session)
{
    struct map *map = session->state;

    rows_close(&map->rows);
    free(map);
}

const struct driver ROWS_SYMBOL(heap_map) = {.workload = "heap-map",
                                             .peer = ROWS_NAME,
                                             .classes = ROWS_CLASSES,
                                             .one_thread = true,
                                             .open = map_open,
                                             .batch = map_batch,
                                             .check = map_check,
                                             .close = map_close};

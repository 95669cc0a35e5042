/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Synthetic on a peer that is a database: each transaction overwrites a row of `range`
 * bytes, of 64 at least.  Included after the peer's own header; the check is that of
 * synthetic.h.
 */
#include "rows.h"

#define SYNTHETIC_LEAST 64u
#define SYNTHETIC_ABORTS 64u

struct synthetic {
    struct rows rows;
    uint64_t count; /* of rows */
    size_t size;    /* of one */
};

static void synthetic_open(struct session *session)
{
    static const char *const table = "data";
    struct synthetic *s = calloc(1, sizeof *s);
    const size_t range = session->config->range;
    char *zeros = calloc(1, ROWS_LONGEST);

    if (s == NULL || zeros == NULL)
        bench_fail("out of memory");
    session->state = s;
    s->size = range < SYNTHETIC_LEAST ? SYNTHETIC_LEAST : range;
    if (s->size > ROWS_LONGEST || s->size > session->size)
        bench_fail("synthetic: ranges of %zu bytes in %zu: 1 MB at most", range, session->size);
    s->count = session->size / s->size;
    rows_open(&s->rows, session, &table, 1);
    rows_begin(&s->rows);
    for (uint64_t i = 0; i < s->count; i++)
        rows_append(&s->rows, 0, i, zeros, s->size);
    rows_commit(&s->rows);
    free(zeros);
}

static void synthetic_one(struct synthetic *s, struct rng *rng)
{
    const uint64_t random = rng_next(rng);

    rows_begin(&s->rows);
    rows_fill(&s->rows, 0, rng_scale((uint32_t)random, (uint32_t)s->count), (int)(random >> 56),
              s->size);
    rows_commit(&s->rows);
}

static unsigned synthetic_batch(struct session *session, unsigned lane, unsigned count)
{
    const unsigned now = count < ROWS_BATCH ? count : ROWS_BATCH;

    for (unsigned i = 0; i < now; i++)
        synthetic_one(session->state, &session->lanes[lane].rng);
    *session->lanes[lane].done += now;
    return now;
}

static bool synthetic_abort(struct synthetic *s, struct rng *rng, char *row, char *copy)
{
    const uint64_t key = rng_scale((uint32_t)rng_next(rng), (uint32_t)s->count);
    bool found;

    rows_begin(&s->rows);
    found = rows_get(&s->rows, 0, key, copy, s->size);
    rows_fill(&s->rows, 0, key, ~copy[s->size / 2], s->size);
    rows_abort(&s->rows);
    rows_begin(&s->rows);
    found = found && rows_get(&s->rows, 0, key, row, s->size);
    rows_commit(&s->rows);
    return found && memcmp(row, copy, s->size) == 0;
}

static bool synthetic_check(struct session *session, char *text, size_t size)
{
    struct synthetic *s = session->state;
    struct rng *rng = &session->lanes[0].rng;
    char *row = malloc(2 * s->size);
    unsigned wrong = 0;

    if (row == NULL)
        bench_fail("out of memory");
    for (unsigned i = 0; i < SYNTHETIC_ABORTS; i++) {
        wrong += !synthetic_abort(s, rng, row, row + s->size);
        synthetic_one(s, rng);
    }
    snprintf(text, size, "%u of %u aborts restored less than was there", wrong, SYNTHETIC_ABORTS);
    free(row);
    return wrong == 0;
}

static void synthetic_close(struct session *session)
{
    struct synthetic *s = session->state;

    rows_close(&s->rows);
    free(s);
}

const struct driver ROWS_SYMBOL(synthetic) = {.workload = "synthetic",
                                              .peer = ROWS_NAME,
                                              .classes = ROWS_CLASSES,
                                              .one_thread = true,
                                              .open = synthetic_open,
                                              .batch = synthetic_batch,
                                              .check = synthetic_check,
                                              .close = synthetic_close};

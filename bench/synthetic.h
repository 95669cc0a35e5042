/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Synthetic (3.5.1): each transaction changes `range` bytes at one random place of a
 * 50 MB database.  Included after a peer's own header.
 *
 * The check is that aborts, at random places and between commits, restore what was
 * there.
 */
#include <stdlib.h>

#include "peer.h"

#define SYNTHETIC_ABORTS 64u

struct synthetic {
    struct peer peer;
    char *data;
    uint64_t places; /* where a range may begin, in steps of 8 bytes */
};

static void synthetic_open(struct session *session)
{
    struct synthetic *s = calloc(1, sizeof *s);
    const size_t range = session->config->range;

    if (s == NULL)
        bench_fail("out of memory");
    if (range == 0 || range > session->size || range > 1u << 20)
        bench_fail("synthetic: ranges of %zu bytes in %zu: 1 MB at most", range, session->size);
    session->state = s;
    peer_open(&s->peer, session, session->size + (2u << 20));
    s->data = peer_root(&s->peer, session->size);
    s->places = (session->size - range) / 8 + 1;
}

HOT void synthetic_one(struct synthetic *s, struct rng *rng, size_t range, enum durability class)
{
    const uint64_t random = rng_next(rng);
    char *place = s->data + rng_scale((uint32_t)random, (uint32_t)s->places) * (size_t)8;
    struct peer_tx tx;

    peer_begin(&s->peer, &tx, class);
    peer_declare(&tx, place, range);
    peer_ready(&tx);
    memset(place, (int)(random >> 56), range);
    peer_end(&tx);
}

HOT void synthetic_loop(struct synthetic *s, struct lane *lane, unsigned count, size_t range,
                        enum durability class)
{
    struct rng rng = lane->rng;

    *lane->done += count;
    while (count-- > 0)
        synthetic_one(s, &rng, range, class);
    lane->rng = rng;
}

/* Sizes that a program would know when it is compiled are known here. */
HOT void synthetic_sizes(struct synthetic *s, struct lane *lane, unsigned count, size_t range,
                         enum durability class)
{
    if (range == 8)
        synthetic_loop(s, lane, count, 8, class);
    else if (range == 64)
        synthetic_loop(s, lane, count, 64, class);
    else if (range == 256)
        synthetic_loop(s, lane, count, 256, class);
    else
        synthetic_loop(s, lane, count, range, class);
}

static unsigned synthetic_batch(struct session *session, unsigned lane, unsigned count)
{
    struct synthetic *s = session->state;
    const size_t range = session->config->range;

    count = count > 16 && range > 16384 ? 16 : count; /* look at the clock more often */
    if (session->class == CLASS_KILL || session->class == CLASS_NONE)
        synthetic_sizes(s, &session->lanes[lane], count, range, CLASS_KILL);
    else if (session->class == CLASS_LINE)
        synthetic_sizes(s, &session->lanes[lane], count, range, CLASS_LINE);
    else
        synthetic_sizes(s, &session->lanes[lane], count, range, session->class);
    return count;
}

/* One transaction at a random place, aborted; false if anything differs afterwards. */
static bool synthetic_abort(struct session *session, const char *copy)
{
    struct synthetic *s = session->state;
    const size_t range = session->config->range;
    const size_t at =
        rng_scale((uint32_t)rng_next(&session->lanes[0].rng), (uint32_t)s->places) * (size_t)8;
    struct peer_tx tx;

    peer_begin(&s->peer, &tx, session->class);
    peer_declare(&tx, s->data + at, range);
    peer_ready(&tx);
    for (size_t i = 0; i < range; i++)
        s->data[at + i] = (char)~s->data[at + i]; /* no byte stays what it was */
    peer_abort(&tx);
    return memcmp(copy + at, s->data + at, range) == 0;
}

static bool synthetic_check(struct session *session, char *text, size_t size)
{
    struct synthetic *s = session->state;
    char *copy = malloc(session->size);
    unsigned wrong = 0;

    if (copy == NULL)
        bench_fail("out of memory");
    memcpy(copy, s->data, session->size);
    for (unsigned i = 0; PEER_ABORTS && i < SYNTHETIC_ABORTS; i++) {
        wrong += !synthetic_abort(session, copy);
        synthetic_batch(session, 0, 1); /* a commit between, at another place */
        memcpy(copy, s->data, session->size);
    }
    snprintf(text, size, "%u of %u aborts restored less than was there", wrong,
             PEER_ABORTS ? SYNTHETIC_ABORTS : 0);
    free(copy);
    return wrong == 0;
}

static void synthetic_close(struct session *session)
{
    struct synthetic *s = session->state;

    peer_close(&s->peer);
    free(s);
}

const struct driver PEER_SYMBOL(synthetic) = {.workload = "synthetic",
                                              .peer = PEER_NAME,
                                              .classes = PEER_CLASSES,
                                              .one_thread = true,
                                              .open = synthetic_open,
                                              .batch = synthetic_batch,
                                              .check = synthetic_check,
                                              .close = synthetic_close};

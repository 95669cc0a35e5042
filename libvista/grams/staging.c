/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Memory of two sizes is kept when it is free: a mapping a message would cost more than all the rest
 * of its way.  Most messages are small, and where memory is locked all that is mapped is filled.
 */
#include "grams/staging.h"

#include "base/arena.h"
#include "base/error.h"

#define SMALL ((size_t)4 << 10)
#define SPARE ((size_t)72 << 10)
#define ABANDONED \
    ((uint64_t)2 * 1000 * 1000 * 1000) /* a partial message without news for so long */

static struct vi_message *take(vista_endpoint *e, size_t size)
{
    const bool small = size <= SMALL;
    struct vi_message *message = size <= SPARE ? e->spares[small] : NULL;

    size = small ? SMALL : size <= SPARE ? SPARE : size;
    if (message != NULL)
        e->spares[small] = message->next;
    else
        message = vi_reserve(size);
    if (message != NULL)
        message->size = size;
    return message;
}

/* Behind the last lane that was ever used; one that is not used now has nothing staged. */
static const struct vi_lane *lanes_end(const vista_endpoint *e)
{
    return e->lanes + (size_t)e->peers_used * e->table->slots;
}

static void drop_abandoned(vista_endpoint *e)
{
    const uint64_t now = vi_endpoint_now(e);

    for (struct vi_lane *lane = e->lanes; lane < lanes_end(e); lane++)
        if (lane->partial != NULL && now - lane->partial->touched > ABANDONED) {
            vi_staging_free(e, lane->partial);
            lane->partial = NULL;
        }
}

static bool is_large(uint32_t length)
{
    return length > VI_STAGED_MAX / 2;
}

/* One large one has room beside all others, and so neither shuts out the other; and so has what a
 * call waits for, since nothing else may ever be received before that. */
static bool has_room(const vista_endpoint *e, const struct vi_lane *lane, uint32_t length)
{
    if (lane->awaited > 0)
        return true;
    return is_large(length) ? e->large == 0 : e->staged - e->large + length <= VI_STAGED_MAX;
}

struct vi_message *vi_staging_new(vista_endpoint *e, const struct vi_lane *lane, uint32_t length)
{
    struct vi_message *message;

    if (!has_room(e, lane, length))
        drop_abandoned(e);
    if (!has_room(e, lane, length))
        return NULL;
    message = take(e, sizeof *message + length);
    if (message == NULL)
        return NULL;
    *message = (struct vi_message){
        .data = (unsigned char *)(message + 1), .size = message->size, .length = length};
    e->staged += length;
    e->large += is_large(length) ? length : 0;
    return message;
}

void vi_staging_free(vista_endpoint *e, struct vi_message *message)
{
    if (message == NULL)
        return;
    e->staged -= message->length;
    e->large -= is_large(message->length) ? message->length : 0;
    if (message->size > SPARE) {
        vi_release(message, message->size);
        return;
    }
    message->next = e->spares[message->size == SMALL];
    e->spares[message->size == SMALL] = message;
}

/* ---- Queues ------------------------------------------------------------ */

/* Requests come to a server's lanes, responses to a client's. */
static struct vi_queue *queue_of(vista_endpoint *e, const struct vi_lane *lane)
{
    if (lane->peer->role == VI_ROLE_SERVER)
        return &e->requests;
    return lane->stored->state == VI_SLOT_CANCELLED ? &e->unwanted : &e->responses;
}

void vi_staging_queue(vista_endpoint *e, struct vi_lane *lane, bool first)
{
    lane->in = queue_of(e, lane);
    if (first)
        TAILQ_INSERT_HEAD(lane->in, lane, queue);
    else
        TAILQ_INSERT_TAIL(lane->in, lane, queue);
}

void vi_staging_unqueue(struct vi_lane *lane)
{
    if (lane->in != NULL)
        TAILQ_REMOVE(lane->in, lane, queue);
    lane->in = NULL;
}

void vi_staging_drop(vista_endpoint *e, struct vi_lane *lane)
{
    vi_staging_unqueue(lane);
    vi_staging_free(e, lane->staged);
    vi_staging_free(e, lane->partial);
    lane->staged = NULL;
    lane->partial = NULL;
}

void vi_staging_close(vista_endpoint *e)
{
    for (struct vi_lane *lane = e->lanes; lane < lanes_end(e); lane++)
        vi_staging_drop(e, lane);
    for (int small = 0; small < 2; small++)
        while (e->spares[small] != NULL) {
            struct vi_message *message = e->spares[small];

            e->spares[small] = message->next;
            vi_release(message, message->size);
        }
}

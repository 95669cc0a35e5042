/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/tasks.h"

#include <string.h>

#include "grams/handshake.h"
#include "grams/owning.h"
#include "grams/requests.h"
#include "grams/staging.h"
#include "grams/timers.h"

bool vi_tasks_add(vista_endpoint *e, const struct vi_task *task)
{
    if (e->task_count == VI_TASKS)
        return false;
    e->task[(e->task_first + e->task_count++) % VI_TASKS] = *task;
    return true;
}

bool vi_tasks_note(vista_endpoint *e, enum vi_task_kind kind, const struct vi_peer *peer,
                   uint32_t reason)
{
    const struct vi_task task = {
        .kind = kind, .index = peer->index, .id = peer->row->id, .reason = reason};

    return vi_tasks_add(e, &task);
}

/* ---- Rows ---------------------------------------------------------------- */

/* A free entry, or the one where a row of this end is being made; NULL: none. */
static struct vi_peer *choose_row(vista_endpoint *e, const struct vi_task *task)
{
    struct vi_peer *found = NULL;

    for (struct vi_peer *peer = e->peer; peer < e->peer + e->table->peers; peer++) {
        if (peer->row != NULL)
            continue;
        if (peer->owner != NULL && memcmp(peer->uuid, task->hello.uuid, sizeof peer->uuid) == 0)
            return peer;
        if (found == NULL && peer->owner == NULL && e->table->entry[peer->index].next_id != 0)
            found = peer;
    }
    return found;
}

static void make_row(vista_endpoint *e, vista_tx *tx, const struct vi_task *task,
                     struct vi_peer *peer)
{
    struct vi_gram_entry *entry = &e->table->entry[peer->index];
    uint32_t slots = task->hello.slots < e->table->slots ? task->hello.slots : e->table->slots;
    struct vi_gram_row *row;

    slots = slots == 0 ? 1 : slots;
    if (vi_owning_peer(e, tx, peer) != 0)
        return;
    row = vista_calloc(tx, 1, vi_row_size(slots));
    if (row == NULL)
        return;
    memcpy(peer->uuid, task->hello.uuid, sizeof peer->uuid);
    row->magic = VI_ROW_MAGIC;
    row->role = (uint16_t)task->role;
    row->state = VI_ROW_ACTIVE;
    row->session = task->hello.session;
    memcpy(row->uuid, task->hello.uuid, sizeof row->uuid);
    row->id = entry->next_id;
    row->slots = slots;
    row->message_max =
        task->hello.message_max < VISTA_MESSAGE_MAX ? task->hello.message_max : VISTA_MESSAGE_MAX;
    row->class = task->hello.class;
    vi_address_print(&task->address, row->address);
    vi_table_seal(row, sizeof *row, &row->crc);
    entry->row = row;
    entry->next_id = row->id > UINT32_MAX - e->table->peers ? 0 : row->id + e->table->peers;
}

/* An end that says hello twice gets one row, and an answer to each: what is told later may be that
 * the row has been used.  False: not yet. */
static bool store_row(vista_endpoint *e, vista_tx *tx, const struct vi_task *task)
{
    struct vi_peer *peer = vi_endpoint_uuid(e, task->hello.uuid, task->role);

    if (peer == NULL)
        peer = choose_row(e, task);
    if (peer == NULL) {
        vi_handshake_full(e, task);
        return true;
    }
    if (peer->owner != NULL)
        return false;
    peer->welcome = task->attempt;
    if (peer->row == NULL)
        make_row(e, tx, task, peer);
    else if (peer->reason != VI_BROKEN_NOT)
        peer->welcome = 0;
    else if (vi_address_equal(&peer->address, &task->address))
        vi_handshake_stored(e, peer);
    else if (vi_owning_peer(e, tx, peer) == 0)
        vi_row_change(tx, peer->row, peer->row->state, peer->row->reason, &task->address);
    return true;
}

/* ---- All tasks ------------------------------------------------------------- */

/* False: not yet.  What fails is dropped: what led to it will be seen again. */
static bool perform(vista_endpoint *e, vista_tx *tx, const struct vi_task *task)
{
    struct vi_peer *peer = &e->peer[task->index];

    if (task->kind == VI_TASK_ROW)
        return store_row(e, tx, task);
    if (peer->owner != NULL)
        return false;
    if (peer->row == NULL || peer->row->id != task->id)
        return true;
    if (task->kind == VI_TASK_REMOVE)
        vi_request_forget(tx, e, peer); /* if no transaction uses it; else BYE comes again */
    else if (vi_owning_peer(e, tx, peer) == 0)
        vi_row_change(tx, peer->row, VI_ROW_BROKEN, task->reason, NULL);
    return true;
}

/* No more than a log has room for beside the tasks.  One that cannot be dropped keeps no other. */
static void drop_unwanted(vista_endpoint *e, vista_tx *tx)
{
    struct vi_lane *lane;

    for (int most = VI_TASKS; most > 0 && (lane = TAILQ_FIRST(&e->unwanted)) != NULL; most--)
        if (vi_request_drop(tx, e, lane) != 0) {
            TAILQ_REMOVE(&e->unwanted, lane, queue);
            TAILQ_INSERT_TAIL(&e->unwanted, lane, queue);
        }
}

/* True: that may have made way for what could not be done yet. */
static bool perform_all(vista_endpoint *e, vista_tx *tx)
{
    const uint32_t before = e->task_count;

    drop_unwanted(e, tx);
    for (uint32_t left = before; left > 0; left--) {
        const struct vi_task task = e->task[e->task_first];

        e->task_first = (e->task_first + 1) % VI_TASKS;
        e->task_count--;
        if (!perform(e, tx, &task))
            vi_tasks_add(e, &task);
    }
    return e->task_count > 0 && e->task_count < before;
}

void vi_tasks_run(vista_endpoint *e)
{
    bool more = vi_tasks_are_due(e);
    int cancel;

    if (!more)
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    while (more) {
        vista_tx *tx;

        vi_endpoint_unlock(e);
        tx = vista_begin_transaction(e->segment, 0);
        vi_endpoint_lock(e);
        more = tx != NULL && perform_all(e, tx);
        if (tx == NULL || !TAILQ_EMPTY(&e->unwanted)) /* nothing tells when it can be done */
            vi_endpoint_due(e, vi_endpoint_now(e) + VI_TIMEOUT_FIRST);
        if (tx == NULL)
            break;
        vi_endpoint_unlock(e);
        vista_end_transaction(tx, 0);
        vi_endpoint_lock(e);
    }
    pthread_setcancelstate(cancel, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/tasks.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "grams/handshake.h"
#include "grams/outgoing.h"
#include "grams/owning.h"
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
                   uint32_t detail)
{
    const struct vi_task task = {
        .kind = kind, .index = peer->index, .id = peer->row->id, .detail = detail};

    return vi_tasks_add(e, &task);
}

void vi_tasks_finish(vista_endpoint *e, struct vi_lane *lane)
{
    if (!vi_tasks_note(e, VI_TASK_FINISH, lane->peer, (uint32_t)(lane - lane->peer->lane)))
        vi_tasks_unfinished(e, lane);
}

void vi_tasks_unfinished(vista_endpoint *e, struct vi_lane *lane)
{
    vi_staging_drop(e, lane);
    if (lane->peer->reason == VI_BROKEN_NOT)
        vi_timers_restore(e, lane, vi_endpoint_now(e) + VI_TIMEOUT_FIRST);
}

/* ---- Preparing, with the lock: what it changes becomes owned ------------- */

/* A free entry; NULL: none. */
static struct vi_peer *choose_row(vista_endpoint *e)
{
    for (uint32_t i = 0; i < e->table->peers; i++)
        if (e->peer[i].row == NULL && e->peer[i].owner == NULL && e->table->entry[i].next_id != 0)
            return &e->peer[i];
    return NULL;
}

static bool is_being_made(const vista_endpoint *e, const struct vi_task *task)
{
    for (const struct vi_group *group = LIST_FIRST(&e->groups); group != NULL;
         group = LIST_NEXT(group, link))
        if (group->task.kind == VI_TASK_ROW && group->task.role == task->role &&
            memcmp(group->task.hello.uuid, task->hello.uuid, sizeof task->hello.uuid) == 0)
            return true;
    return false;
}

/* An end that says hello twice gets one row, and an answer to each: what is told later may be that
 * the row has been used. */
static bool prepare_row(vista_endpoint *e, struct vi_task *task, struct vi_group *group,
                        bool *later)
{
    struct vi_peer *peer = vi_endpoint_uuid(e, task->hello.uuid, task->role);

    *later = is_being_made(e, task) || (peer != NULL && peer->owner != NULL);
    if (*later)
        return false;
    if (peer != NULL) {
        if (peer->reason == VI_BROKEN_NOT && vi_address_equal(&peer->address, &task->address))
            vi_handshake_stored(e, peer, task);
        return false;
    }
    peer = choose_row(e);
    if (peer == NULL) {
        vi_handshake_full(e, task);
        return false;
    }
    task->index = peer->index;
    vi_owning_add_peer(group, peer);
    return true;
}

/* False: there is nothing to be done any more.  *later: not yet. */
static bool prepare(vista_endpoint *e, struct vi_task *task, struct vi_group *group, bool *later)
{
    struct vi_peer *peer = task->kind != VI_TASK_ROW ? &e->peer[task->index] : NULL;
    struct vi_lane *lane;

    if (peer == NULL)
        return prepare_row(e, task, group, later);
    if (peer->row == NULL || peer->row->id != task->id)
        return false;
    if (task->kind == VI_TASK_FINISH) {
        lane = &peer->lane[task->detail];
        if (lane->owner != NULL || lane->staged == NULL || peer->reason != VI_BROKEN_NOT)
            return false; /* a cancelling transaction, which asks again when it commits */
        vi_owning_add(group, lane, VI_ACT_FINISH);
        return true;
    }
    *later = peer->owner != NULL;
    if (*later)
        return false;
    if (task->kind == VI_TASK_ADDRESS && vi_address_equal(&peer->address, &task->address)) {
        vi_handshake_stored(e, peer, task); /* another has stored it */
        return false;
    }
    for (uint32_t i = 0; task->kind == VI_TASK_REMOVE && i < peer->row->slots; i++)
        if (peer->lane[i].owner != NULL)
            return false; /* BYE comes again */
    vi_owning_add_peer(group, peer);
    return true;
}

/* ---- Running, without the lock ------------------------------------------- */

static int make_row(vista_endpoint *e, vista_tx *tx, struct vi_task *task)
{
    struct vi_gram_entry *entry = &e->table->entry[task->index];
    uint32_t slots = task->hello.slots < e->table->slots ? task->hello.slots : e->table->slots;
    struct vi_gram_row *row;

    slots = slots == 0 ? 1 : slots;
    row = vista_calloc(tx, 1, vi_row_size(slots));
    if (row == NULL || vista_set_range(tx, entry, sizeof *entry) != 0)
        return -1;
    row->magic = VI_ROW_MAGIC;
    row->role = (uint16_t)task->role;
    row->state = VI_ROW_ACTIVE;
    row->session = task->hello.session;
    memcpy(row->uuid, task->hello.uuid, sizeof row->uuid);
    row->id = entry->next_id;
    row->slots = slots;
    row->message_max = task->hello.message_max;
    row->class = task->hello.class;
    vi_address_print(&task->address, row->address);
    vi_table_seal(row, sizeof *row, &row->crc);
    entry->row = row;
    entry->next_id = row->id > UINT32_MAX - e->table->peers ? 0 : row->id + e->table->peers;
    return 0;
}

static int finish_lane(vista_tx *tx, struct vi_lane *lane)
{
    struct vi_gram_slot *slot = lane->stored;

    if (vista_set_range(tx, slot, VI_SLOT_HEADER) != 0 ||
        (slot->body != NULL && vista_free(tx, slot->body) != 0))
        return -1;
    vi_slot_answered(slot, lane->staged->hash);
    return 0;
}

static int change(vista_endpoint *e, vista_tx *tx, struct vi_group *group)
{
    struct vi_task *task = &group->task;
    struct vi_gram_row *row = e->table->entry[task->index].row;
    int result = -1;

    if (task->kind == VI_TASK_ROW)
        result = make_row(e, tx, task);
    else if (task->kind == VI_TASK_FINISH)
        result = finish_lane(tx, group->lanes);
    else if (task->kind == VI_TASK_REMOVE)
        result = vi_row_remove(tx, e->table, task->index);
    else if (task->kind == VI_TASK_BREAK)
        result = vi_row_change(tx, row, VI_ROW_BROKEN, task->detail, NULL);
    else
        result = vi_row_change(tx, row, row->state, row->reason, &task->address);
    return result == 0 ? vista_on_end(tx, vi_owning_ended, group) : -1;
}

/* The transaction's end runs the hook, which deletes the group. */
static bool run(vista_endpoint *e, struct vi_group *group)
{
    vista_tx *tx = vista_begin_transaction(e->segment, 0);

    if (tx == NULL) {
        const bool later = errno == EBUSY;

        group->task.kind = later ? group->task.kind : VI_TASK_NONE;
        vi_owning_ended(group, 0);
        return !later;
    }
    if (change(e, tx, group) == 0) {
        vista_end_transaction(tx, 0);
        return true;
    }
    vista_abort_transaction(tx);
    group->task.kind = VI_TASK_NONE;
    vi_owning_ended(group, 0);
    return true;
}

void vi_tasks_run(vista_endpoint *e)
{
    vi_endpoint_lock(e);
    for (uint32_t left = e->task_count; left > 0 && e->task_count > 0; left--) {
        struct vi_task task = e->task[e->task_first];
        struct vi_group *group = vi_owning_new(e);
        bool later = false, done = true;

        if (group == NULL)
            break;
        e->task_first = (e->task_first + 1) % VI_TASKS;
        e->task_count--;
        if (prepare(e, &task, group, &later)) {
            group->task = task;
            vi_endpoint_unlock(e);
            done = run(e, group);
            vi_endpoint_lock(e);
        } else {
            vi_owning_delete(group);
        }
        if (later || !done)
            vi_tasks_add(e, &task);
        if (!done)
            break;
    }
    vi_endpoint_unlock(e);
}

void vi_tasks_ended(vista_endpoint *e, struct vi_task *task, int outcome)
{
    struct vi_peer *peer = &e->peer[task->index];

    if (outcome != 1)
        return;
    switch (task->kind) {
    case VI_TASK_ROW:
        vi_endpoint_attach(e, peer, e->table->entry[task->index].row);
        vi_handshake_stored(e, peer, task);
        break;
    case VI_TASK_ADDRESS:
        peer->address = task->address;
        vi_handshake_stored(e, peer, task);
        break;
    case VI_TASK_REMOVE:
        vi_handshake_removed(e, peer);
        vi_endpoint_detach(e, peer);
        break;
    default:
        break;
    }
}

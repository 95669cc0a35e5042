/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/forgetting.h"

#include <errno.h>

#include "base/error.h"
#include "grams/owning.h"
#include "grams/requests.h"

static bool is_idle(const struct vi_peer *peer)
{
    for (uint32_t i = 0; i < peer->row->slots; i++)
        if (peer->row->slot[i].state != VI_SLOT_IDLE)
            return false;
    return true;
}

/* Reserves the row and all its lanes; with the lock. */
static struct vi_peer *reserve_peer(vista_endpoint *e, uint32_t id)
{
    struct vi_peer *peer = vi_endpoint_peer(e, id, true);
    bool busy;

    if (peer == NULL)
        return NULL;
    busy = peer->owner != NULL;
    for (uint32_t i = 0; i < peer->row->slots; i++)
        busy = busy || peer->lane[i].owner != NULL;
    if (busy)
        return vi_fail(EBUSY, "%s: an open transaction uses peer %u", e->address, id), NULL;
    peer->owner = &vi_owning_reserved;
    return peer;
}

int vista_forget_peer(vista_tx *tx, vista_endpoint *endpoint, uint32_t id)
{
    vista_endpoint *e = vi_request_check(tx, endpoint, true);
    struct vi_group *group = NULL;
    struct vi_peer *peer;
    bool leave;

    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    peer = reserve_peer(e, id);
    leave = peer != NULL && peer->reason == VI_BROKEN_NOT && peer->row->role == VI_ROLE_CLIENT &&
            peer->row->state == VI_ROW_ACTIVE && is_idle(peer);
    vi_endpoint_unlock(e);
    if (peer == NULL)
        return -1;
    if (vista_set_range(tx, &e->table->entry[peer->index], sizeof e->table->entry[0]) == 0)
        group = vi_owning_group(e, tx);
    if (group != NULL)
        vi_endpoint_unlock(e);
    /* The row goes at once, or when the peer's has gone. */
    if (group == NULL || (leave ? vi_row_set_state(tx, peer->row, VI_ROW_LEAVING, VI_BROKEN_NOT)
                                : vi_row_remove(tx, e->table, peer->index)) != 0) {
        peer->owner = NULL;
        return -1;
    }
    vi_endpoint_lock(e);
    vi_owning_add_peer(group, peer);
    vi_endpoint_unlock(e);
    return 0;
}

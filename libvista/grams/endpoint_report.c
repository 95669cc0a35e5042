/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/endpoint_report.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

static void count_row(const struct vi_peer *peer, struct vista_endpoint_info *out)
{
    out->peers++;
    out->broken += peer->reason != VI_BROKEN_NOT;
    out->leaving += peer->row->state == VI_ROW_LEAVING;
    for (uint32_t i = 0; i < peer->row->slots; i++) {
        if (peer->lane[i].owner != NULL)
            continue;
        out->unanswered += peer->row->slot[i].state == VI_SLOT_SENT ||
                           peer->row->slot[i].state == VI_SLOT_CANCELLED;
        out->executing += peer->row->slot[i].state == VI_SLOT_RECEIVED;
    }
}

int vista_endpoint_info(const vista_endpoint *endpoint, struct vista_endpoint_info *out)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);

    if (out == NULL)
        return vi_fail(EINVAL, "vista_endpoint_info: nowhere to put it");
    memset(out, 0, sizeof *out);
    if (e == NULL)
        return -1;
    vi_endpoint_lock(e);
    *out = e->counts;
    memcpy(out->uuid, e->table->uuid, sizeof out->uuid);
    out->address = e->address;
    out->slots = e->table->slots;
    out->peers_max = e->table->peers;
    out->message_max = e->table->message_max;
    out->staged_bytes = e->staged;
    for (uint32_t i = 0; i < e->peers_used; i++)
        if (e->peer[i].row != NULL)
            count_row(&e->peer[i], out);
    for (const struct vi_agreement *of = e->table->agreements; of != NULL; of = of->next)
        out->agreements++;
    vi_endpoint_unlock(e);
    return 0;
}

static int tell(const struct vi_gram_row *row, uint32_t slot, vista_request_fn visit, void *arg)
{
    const struct vi_gram_slot *of = &row->slot[slot];
    const vista_request request = {row->session, of->generation, slot, row->id};

    return of->state == VI_SLOT_IDLE ? 0 : visit(arg, &request, of->state, of->length);
}

int vi_report_row(const struct vi_gram_row *row, vista_request_fn visit, void *arg)
{
    int result = 0;

    for (uint32_t i = 0; i < row->slots && result == 0; i++)
        result = tell(row, i, visit, arg);
    return result;
}

int vista_each_request(vista_endpoint *endpoint, vista_request_fn visit, void *arg)
{
    vista_endpoint *e = vi_endpoint_check(endpoint);
    int result = 0;

    if (e == NULL)
        return -1;
    if (visit == NULL)
        return vi_fail(EINVAL, "vista_each_request: nothing to call");
    vi_endpoint_lock(e);
    for (uint32_t i = 0; i < e->peers_used && result == 0; i++) {
        const struct vi_peer *peer = &e->peer[i];

        for (uint32_t s = 0; peer->row != NULL && s < peer->row->slots && result == 0; s++)
            if (peer->lane[s].owner == NULL && peer->owner == NULL)
                result = tell(peer->row, s, visit, arg);
    }
    vi_endpoint_unlock(e);
    return result == 0 ? 0 : vi_fail(ECANCELED, "%s: stopped by its caller", e->address);
}

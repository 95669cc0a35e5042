/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/outgoing.h"

#include <string.h>

#include "grams/timers.h"

void vi_out_flush(vista_endpoint *e)
{
    const int count = e->out_count;

    if (count == 0)
        return;
    e->out_count = 0;
    e->counts.datagrams_out += (uint64_t)count;
    for (int i = 0; i < count; i++)
        e->counts.bytes_out += e->out[i].part[0].iov_len + e->out[i].part[1].iov_len;
    e->socket->transport->send(e->socket, e->out, count);
    for (int i = 0; i < count; i++)
        if (e->out[i].length != 0)
            vi_timers_refused(e, &e->envelope[i].header);
}

void vi_out_datagram(vista_endpoint *e, const struct vi_address *to, const struct vi_header *header,
                     const void *payload, size_t length)
{
    const int i = e->out_count;

    if (to->length == 0)
        return;
    if (length > 0 && length <= sizeof e->small[i])
        payload = memcpy(e->small[i], payload, length);
    e->out[i].address = *to;
    e->envelope[i].header = *header;
    e->envelope[i].header.life = e->life;
    vi_wire_seal(&e->out[i], &e->envelope[i], payload, length, e->key, e->socket,
                 e->scratch + (size_t)i * e->socket->datagram_max);
    if (++e->out_count == VI_BATCH)
        vi_out_flush(e);
}

/* ---- Messages ---------------------------------------------------------- */

static struct vi_header header_of(const struct vi_lane *lane, unsigned kind)
{
    const struct vi_gram_slot *slot = lane->stored;

    return (struct vi_header){
        .kind = (uint8_t)kind,
        .slot = (uint16_t)(lane - lane->peer->lane),
        .session = lane->peer->row->session,
        .generation = slot->generation,
        .history = slot->history,
        .flags = kind == VI_REQUEST && slot->flags & VI_SLOT_ONE_WAY ? VI_WIRE_ONE_WAY : 0,
    };
}

/* The last fragment tells the receiver to ask for what it lacks. */
void vi_out_message(vista_endpoint *e, struct vi_lane *lane, uint32_t offset, bool again)
{
    const struct vi_gram_slot *slot = lane->stored;
    const bool asks = lane->peer->role == VI_ROLE_CLIENT;
    struct vi_header header = header_of(lane, asks ? VI_REQUEST : VI_RESPONSE);
    uint32_t count = again && asks ? 1 : e->socket->window, length, left;

    header.length = slot->length;
    do {
        left = slot->length - offset;
        length = left < e->fragment_max ? left : e->fragment_max;
        if ((again && asks) || (count == 1 && length < left) || (offset > 0 && length == left))
            header.flags |= VI_WIRE_AGAIN;
        header.offset = offset;
        vi_out_datagram(e, &lane->peer->address, &header, vi_slot_body(slot) + offset, length);
        offset += length;
    } while (--count > 0 && length < left);
}

void vi_out_pull(vista_endpoint *e, struct vi_lane *lane)
{
    struct vi_header header = header_of(lane, VI_PULL);

    header.generation = lane->partial->generation;
    header.offset = lane->partial->arrived;
    header.flags = lane->peer->role == VI_ROLE_CLIENT ? VI_WIRE_RESPONSE : 0;
    vi_out_datagram(e, &lane->peer->address, &header, NULL, 0);
}

/* ---- The rest ---------------------------------------------------------- */

void vi_out_control(vista_endpoint *e, struct vi_lane *lane, unsigned kind)
{
    const struct vi_header header = header_of(lane, kind);

    vi_out_datagram(e, &lane->peer->address, &header, NULL, 0);
}

void vi_out_reply(vista_endpoint *e, const struct vi_address *to, unsigned kind,
                  const struct vi_header *asked, uint32_t reason)
{
    struct vi_header header = *asked;

    header.kind = (uint8_t)kind;
    header.flags = 0;
    header.length = 0;
    header.offset = reason;
    vi_out_datagram(e, to, &header, NULL, 0);
}

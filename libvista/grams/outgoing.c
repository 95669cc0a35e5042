/* SPDX-License-Identifier: BSD-3-Clause */
#include "grams/outgoing.h"

#include <string.h>

#include "grams/timers.h"

uint32_t vi_out_fragment(const vista_endpoint *e)
{
    const size_t head = e->key != NULL ? VI_WIRE_KEYED_HEADER : sizeof(struct vi_header);

    return (uint32_t)((e->socket->datagram_max - head) & ~(size_t)7);
}

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

static struct vi_header message_header(const struct vi_lane *lane)
{
    const bool client = lane->peer->row->role == VI_ROLE_CLIENT;
    struct vi_header header = header_of(lane, client ? VI_REQUEST : VI_RESPONSE);

    header.length = lane->stored->length;
    return header;
}

static void send_fragment(vista_endpoint *e, const struct vi_lane *lane, struct vi_header *header,
                          uint32_t number)
{
    const struct vi_gram_slot *slot = lane->stored;
    const uint32_t offset = number * e->fragment_max, left = slot->length - offset;

    header->offset = offset;
    vi_out_datagram(e, &lane->peer->address, header, vi_slot_body(slot) + offset,
                    left < e->fragment_max ? left : e->fragment_max);
}

static uint32_t fragments_of(const vista_endpoint *e, const struct vi_lane *lane)
{
    return (lane->stored->length + e->fragment_max - 1) / e->fragment_max;
}

void vi_out_message(vista_endpoint *e, struct vi_lane *lane, bool again)
{
    struct vi_header header = message_header(lane);
    uint32_t count = fragments_of(e, lane);

    if (again)
        header.flags |= VI_WIRE_AGAIN;
    if (again && header.kind == VI_REQUEST)
        count = count < 1 ? count : 1;
    if (count > e->socket->window)
        count = e->socket->window;
    send_fragment(e, lane, &header, 0);
    for (uint32_t i = 1; i < count; i++)
        send_fragment(e, lane, &header, i);
}

void vi_out_pulled(vista_endpoint *e, struct vi_lane *lane, const struct vi_pull *pull)
{
    struct vi_header header = message_header(lane);
    const uint32_t all = fragments_of(e, lane);
    uint32_t sent = 0;

    if (pull->fragment != e->fragment_max || pull->first >= all)
        return;
    for (uint32_t i = 0; i < VI_PULL_BITS && pull->first + i < all; i++)
        if (pull->wanted[i / 64] >> i % 64 & 1 && sent++ < 2 * e->socket->window)
            send_fragment(e, lane, &header, pull->first + i);
}

void vi_out_pull(vista_endpoint *e, struct vi_lane *lane)
{
    struct vi_message *message = lane->partial;
    const uint32_t all = (message->length + message->fragment - 1) / message->fragment;
    struct vi_pull pull = {.fragment = message->fragment};
    const bool client = lane->peer->row->role == VI_ROLE_CLIENT;
    struct vi_header header = header_of(lane, VI_PULL);
    uint32_t asked = 0, first = 0;

    while (first < all && message->have[first / 64] >> first % 64 & 1)
        first++;
    pull.first = first;
    for (uint32_t i = 0; i < VI_PULL_BITS && first + i < all && asked < e->socket->window; i++)
        if (!(message->have[(first + i) / 64] >> (first + i) % 64 & 1)) {
            pull.wanted[i / 64] |= (uint64_t)1 << i % 64;
            asked++;
        }
    message->asked = asked;
    header.generation = message->generation;
    header.flags = client ? VI_WIRE_RESPONSE : 0;
    vi_out_datagram(e, &lane->peer->address, &header, &pull, sizeof pull);
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

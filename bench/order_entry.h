/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry on a peer that keeps its data in memory: included after the peer's own
 * header.  Tables of fixed size are blocks of the heap made when loading; orders,
 * their lines, new-order and history rows are blocks allocated by the transactions,
 * and new-order rows are freed by deliveries.
 *
 * A new-order declares the order's number, the ends of the district's lists and each
 * line's stock: 13 ranges as a rule, and its three blocks need none.  A payment
 * declares 4 or 5, a delivery 13 in each district.
 */
#include <stdlib.h>

#include "orders.h"
#include "peer.h"

#define OE_LOADED 0x796c746e65726f31u
#define OE_TABLES 6u

struct oe_order {
    peer_ref older;
    peer_ref lines; /* struct oe_line[row.lines] */
    struct oe_order_row row;
};

struct oe_new_order {
    peer_ref next;
    peer_ref order;
    struct oe_new_order_row row;
};

struct oe_history {
    peer_ref older;
    struct oe_history_row row;
};

/* A district, its orders and payments (newest first) and the queue of its orders to
 * deliver (oldest first). */
struct oe_place {
    peer_ref queue_first, queue_last, orders, history;
    struct oe_district row;
};

struct oe_root {
    uint64_t loaded; /* stored last */
    uint64_t warehouses;
    peer_ref tables[OE_TABLES];
};

struct oe {
    struct peer peer;
    struct oe_root *root;
    uint32_t warehouses;
    struct oe_warehouse *warehouse;
    struct oe_place *places;       /* by warehouse and district */
    struct oe_customer *customers; /* by place */
    struct oe_names *names;        /* by place */
    struct oe_stock *stock;        /* by warehouse and item */
    struct oe_item *items;
    struct oe_draw draw;
    uint32_t date;
    uint64_t room;  /* bytes that may yet be allocated */
    int64_t result; /* what a terminal would be shown: so that it is computed */
};

/* How many of what were acknowledged, in struct lane's `done`. */
enum { OE_ALL, OE_NEW_ORDERS, OE_PAYMENTS, OE_DELIVERIES, OE_DELIVERED_ORDERS };

/* ---- new-order --------------------------------------------------------- */

struct oe_input_line {
    uint32_t item, supply, quantity;
};

struct oe_input {
    uint32_t warehouse, district, customer, count;
    bool all_local, unused_item;
    struct oe_input_line lines[OE_LINES];
};

static struct oe_input oe_draw_order(struct oe *oe)
{
    struct oe_draw *draw = &oe->draw;
    struct oe_input in;

    in.warehouse = rng_below(&draw->rng, oe->warehouses);
    in.district = rng_below(&draw->rng, OE_DISTRICTS);
    in.customer = oe_draw_customer(draw);
    in.count = rng_between(&draw->rng, 5, OE_LINES);
    in.unused_item = rng_below(&draw->rng, 100) == 0;
    in.all_local = true;
    for (uint32_t i = 0; i < in.count; i++) {
        struct oe_input_line *line = &in.lines[i];

        line->item = oe_draw_item(draw);
        line->supply = oe_draw_warehouse(draw, in.warehouse, oe->warehouses, 1);
        line->quantity = rng_between(&draw->rng, 1, 10);
        in.all_local &= line->supply == in.warehouse;
    }
    if (in.unused_item)
        in.lines[in.count - 1].item = OE_ITEMS; /* no such item */
    return in;
}

HOT struct oe_stock *oe_stock_of(struct oe *oe, const struct oe_input_line *line)
{
    return &oe->stock[(size_t)line->supply * OE_ITEMS + line->item];
}

/* Stores one line and its stock; false if there is no such item. */
HOT bool oe_store_line(struct oe *oe, const struct oe_input *in, uint32_t i, uint32_t id,
                       struct oe_line *line)
{
    const struct oe_input_line *input = &in->lines[i];
    struct oe_stock *stock;

    if (input->item >= OE_ITEMS)
        return false;
    stock = oe_stock_of(oe, input);
    stock->quantity -= (int32_t)input->quantity;
    if (stock->quantity < 10)
        stock->quantity += 91;
    stock->ytd += input->quantity;
    stock->orders++;
    stock->remote += input->supply != in->warehouse;
    *line = (struct oe_line){.order = id,
                             .item = input->item,
                             .amount = (int32_t)input->quantity * oe->items[input->item].price,
                             .warehouse = (uint16_t)in->warehouse,
                             .supply = (uint16_t)input->supply,
                             .district = (uint8_t)in->district,
                             .number = (uint8_t)(i + 1),
                             .quantity = (uint8_t)input->quantity};
    memcpy(line->info, stock->info[in->district], sizeof line->info);
    return true;
}

HOT void oe_declare_order(struct oe *oe, struct peer_tx *tx, struct oe_place *place,
                          const struct oe_input *in)
{
    struct oe_new_order *last = peer_at(&oe->peer, place->queue_last);

    peer_declare(tx, &place->row.next_order, sizeof place->row.next_order);
    peer_declare(tx, &place->queue_last, 2 * sizeof(peer_ref)); /* and orders */
    if (last != NULL)
        peer_declare(tx, &last->next, sizeof last->next);
    else
        peer_declare(tx, &place->queue_first, sizeof place->queue_first);
    for (uint32_t i = 0; i < in->count; i++) {
        if (in->lines[i].item < OE_ITEMS)
            peer_declare(tx, oe_stock_of(oe, &in->lines[i]), OE_STOCK_CHANGES);
    }
}

/* Puts an order at the head of the district's orders and the end of its queue. */
HOT void oe_link_order(struct oe *oe, struct oe_place *place, struct oe_order *order,
                       struct oe_new_order *entry)
{
    struct peer *peer = &oe->peer;
    struct oe_new_order *last = peer_at(peer, place->queue_last);

    order->older = place->orders;
    place->orders = peer_to(peer, order);
    entry->next = peer_to(peer, NULL);
    entry->order = peer_to(peer, order);
    entry->row =
        (struct oe_new_order_row){order->row.id, order->row.warehouse, order->row.district, 0};
    if (last != NULL)
        last->next = peer_to(peer, entry);
    else
        place->queue_first = peer_to(peer, entry);
    place->queue_last = peer_to(peer, entry);
}

/* False: rolled back. */
HOT bool oe_new_order(struct oe *oe, const struct oe_input *in, enum durability class)
{
    const size_t number = in->warehouse * OE_DISTRICTS + in->district;
    struct oe_place *place = &oe->places[number];
    const struct oe_customer *customer = &oe->customers[number * OE_CUSTOMERS + in->customer];
    struct oe_order *order;
    struct oe_new_order *entry;
    struct oe_line *lines;
    struct peer_tx tx;
    int64_t total = 0;
    uint32_t id;

    if (!PEER_ABORTS && in->unused_item)
        return false; /* plain stores cannot be taken back: so it looks before */
    peer_begin(&oe->peer, &tx, class);
    order = peer_malloc(&tx, sizeof *order);
    lines = peer_malloc(&tx, in->count * sizeof *lines);
    entry = peer_malloc(&tx, sizeof *entry);
    oe_declare_order(oe, &tx, place, in);
    peer_ready(&tx);
    id = place->row.next_order++;
    order->lines = peer_to(&oe->peer, lines);
    order->row = (struct oe_order_row){.id = id,
                                       .customer = in->customer,
                                       .entered = ++oe->date,
                                       .warehouse = (uint16_t)in->warehouse,
                                       .district = (uint8_t)in->district,
                                       .lines = (uint8_t)in->count,
                                       .all_local = in->all_local};
    oe_link_order(oe, place, order, entry);
    for (uint32_t i = 0; i < in->count; i++) {
        if (!oe_store_line(oe, in, i, id, &lines[i])) {
            peer_abort(&tx);
            return false;
        }
        total += lines[i].amount;
    }
    oe->result = total * (10000 - customer->discount) / 10000 *
                 (10000 + oe->warehouse[in->warehouse].tax + place->row.tax) / 10000;
    peer_end(&tx);
    return true;
}

/* ---- payment ----------------------------------------------------------- */

/* The middle one, rounded up, of those with a last name. */
static uint32_t oe_by_name(const struct oe_names *names, const char last[16])
{
    uint32_t low = 0, high = OE_NAMES - 1, first, count;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;

        if (memcmp(names->last[middle], last, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    first = names->first[low];
    count = names->first[low + 1] - first;
    return names->customers[first + (count + 1) / 2 - 1];
}

/* TPC-C 2.5.2.2: a bad credit's payments are noted in front of C_DATA. */
HOT void oe_note(struct oe_customer *customer, const struct oe_history_row *row)
{
    char note[64];
    const int length =
        snprintf(note, sizeof note, "%u %u %u %u %u %lld|", row->customer, row->customer_district,
                 row->customer_warehouse, row->district, row->warehouse, (long long)row->amount);

    memmove(customer->data + length, customer->data, OE_DATA - (size_t)length);
    memcpy(customer->data, note, (size_t)length);
}

HOT void oe_payment(struct oe *oe, enum durability class)
{
    struct oe_draw *draw = &oe->draw;
    const uint32_t w = rng_below(&draw->rng, oe->warehouses);
    const uint32_t d = rng_below(&draw->rng, OE_DISTRICTS);
    const uint32_t cw = oe_draw_warehouse(draw, w, oe->warehouses, 15);
    const uint32_t cd = cw == w ? d : rng_below(&draw->rng, OE_DISTRICTS);
    const int64_t amount = rng_between(&draw->rng, 100, 500000);
    struct oe_place *place = &oe->places[w * OE_DISTRICTS + d];
    const size_t customer_place = cw * OE_DISTRICTS + cd;
    struct oe_customer *customer;
    struct oe_history *history;
    struct peer_tx tx;
    char last[16];
    uint32_t number;
    bool bad;

    if (rng_below(&draw->rng, 100) < 60) {
        oe_name(oe_draw_name(draw), last);
        number = oe_by_name(&oe->names[customer_place], last);
    } else {
        number = oe_draw_customer(draw);
    }
    customer = &oe->customers[customer_place * OE_CUSTOMERS + number];
    bad = customer->credit[0] == 'B';
    peer_begin(&oe->peer, &tx, class);
    history = peer_malloc(&tx, sizeof *history);
    peer_declare(&tx, &oe->warehouse[w].ytd, sizeof(int64_t));
    peer_declare(&tx, &place->row.ytd, sizeof(int64_t));
    peer_declare(&tx, &place->history, sizeof place->history);
    peer_declare(&tx, customer, OE_CUSTOMER_CHANGES);
    if (bad)
        peer_declare(&tx, customer->data, OE_DATA);
    peer_ready(&tx);
    oe->warehouse[w].ytd += amount;
    place->row.ytd += amount;
    customer->balance -= amount;
    customer->ytd_payment += amount;
    customer->payments++;
    history->row = (struct oe_history_row){.amount = amount,
                                           .customer = number,
                                           .date = ++oe->date,
                                           .customer_warehouse = (uint16_t)cw,
                                           .warehouse = (uint16_t)w,
                                           .customer_district = (uint8_t)cd,
                                           .district = (uint8_t)d};
    memcpy(history->row.data, oe->warehouse[w].address, 10);
    memcpy(history->row.data + 14, place->row.address, 10);
    history->older = place->history;
    place->history = peer_to(&oe->peer, history);
    if (bad)
        oe_note(customer, &history->row);
    peer_end(&tx);
}

/* ---- delivery ---------------------------------------------------------- */

struct oe_delivery {
    struct oe_place *place;
    struct oe_new_order *entry;
    struct oe_order *order;
    struct oe_line *lines;
    struct oe_customer *customer;
};

/* Declares what the delivery of a district's oldest order will change. */
HOT void oe_declare_delivery(struct peer_tx *tx, const struct oe_delivery *delivery)
{
    peer_free(tx, delivery->entry, sizeof *delivery->entry);
    peer_declare(tx, &delivery->place->queue_first, 2 * sizeof(peer_ref)); /* and queue_last */
    peer_declare(tx, &delivery->order->row.carrier, sizeof(uint8_t));
    for (unsigned i = 0; i < delivery->order->row.lines; i++)
        peer_declare(tx, &delivery->lines[i].delivered, sizeof(uint32_t));
    peer_declare(tx, delivery->customer, OE_CUSTOMER_CHANGES);
}

HOT void oe_deliver(struct oe *oe, const struct oe_delivery *delivery, peer_ref next,
                    uint32_t carrier)
{
    int64_t total = 0;

    delivery->place->queue_first = next;
    if (peer_at(&oe->peer, next) == NULL)
        delivery->place->queue_last = next;
    delivery->order->row.carrier = (uint8_t)carrier;
    for (unsigned i = 0; i < delivery->order->row.lines; i++) {
        delivery->lines[i].delivered = oe->date;
        total += delivery->lines[i].amount;
    }
    delivery->customer->balance += total;
    delivery->customer->deliveries++;
}

/* The number of orders delivered: of districts that have any to deliver. */
HOT unsigned oe_delivery(struct oe *oe, enum durability class)
{
    const uint32_t w = rng_below(&oe->draw.rng, oe->warehouses);
    const uint32_t carrier = rng_between(&oe->draw.rng, 1, 10);
    struct oe_delivery deliveries[OE_DISTRICTS];
    peer_ref next[OE_DISTRICTS];
    struct peer_tx tx;
    unsigned count = 0;

    peer_begin(&oe->peer, &tx, class);
    for (uint32_t d = 0; d < OE_DISTRICTS; d++) {
        const size_t number = w * OE_DISTRICTS + d;
        struct oe_delivery *to = &deliveries[count];

        to->place = &oe->places[number];
        to->entry = peer_at(&oe->peer, to->place->queue_first);
        if (to->entry == NULL)
            continue;
        next[count++] = to->entry->next; /* read before the block is freed */
        to->order = peer_at(&oe->peer, to->entry->order);
        to->lines = peer_at(&oe->peer, to->order->lines);
        to->customer = &oe->customers[number * OE_CUSTOMERS + to->order->row.customer];
        oe_declare_delivery(&tx, to);
    }
    peer_ready(&tx);
    oe->date++;
    for (unsigned i = 0; i < count; i++)
        oe_deliver(oe, &deliveries[i], next[i], carrier);
    peer_end(&tx);
    return count;
}

/* ---- The mix ----------------------------------------------------------- */

/* 45 : 43 : 4 of TPC-C's five types, the two that only read left out. */
#define OE_BLOCK(size) ((size) + (size) / 8 + 16) /* with what a heap adds to it */

HOT void oe_one(struct oe *oe, uint64_t *done, enum durability class)
{
    const uint32_t pick = rng_below(&oe->draw.rng, 92);

    if (pick < 45) {
        const struct oe_input in = oe_draw_order(oe);

        if (oe_new_order(oe, &in, class))
            done[OE_NEW_ORDERS]++;
        oe->room -= OE_BLOCK(sizeof(struct oe_order)) + OE_BLOCK(sizeof(struct oe_new_order)) +
                    OE_BLOCK(in.count * sizeof(struct oe_line));
    } else if (pick < 88) {
        oe_payment(oe, class);
        done[OE_PAYMENTS]++;
        oe->room -= OE_BLOCK(sizeof(struct oe_history));
    } else {
        done[OE_DELIVERED_ORDERS] += oe_delivery(oe, class);
        done[OE_DELIVERIES]++;
    }
    done[OE_ALL]++;
}

/* A transaction allocates less than this. */
#define OE_ROOM (8u << 10)

HOT unsigned oe_loop(struct oe *oe, uint64_t *done, unsigned count, enum durability class)
{
    for (unsigned i = 0; i < count; i++) {
        if (oe->room < OE_ROOM)
            return i;
        oe_one(oe, done, class);
    }
    return count;
}

static unsigned oe_batch(struct session *session, unsigned lane, unsigned count)
{
    struct oe *oe = session->state;
    uint64_t *done = session->lanes[lane].done;

    if (session->class == CLASS_KILL || session->class == CLASS_NONE)
        return oe_loop(oe, done, count, CLASS_KILL);
    if (session->class == CLASS_LINE)
        return oe_loop(oe, done, count, CLASS_LINE);
    return oe_loop(oe, done, count, session->class);
}

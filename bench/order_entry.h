/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry on a peer that keeps its data in memory: included after the peer's own
 * header.  Tables of fixed size are blocks of the heap made when loading; orders,
 * their lines, new-order and history rows are blocks allocated by the transactions,
 * and new-order rows are freed by deliveries.
 *
 * A new-order declares the order's number, the ends of the district's lists and each
 * line's stock: 13 ranges as a rule, and its three blocks need none.  A payment
 * declares 4 or 5, a delivery 13 in each district.  Those of one kind are declared by
 * fours, so that a peer may know their number when it is compiled.
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

/* ---- new-order --------------------------------------------------------- */

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
    oe_take_stock(stock, in, input);
    *line = oe_make_line(in, i, id, oe->items[input->item].price);
    memcpy(line->info, stock->info[in->district], sizeof line->info);
    return true;
}

HOT void oe_declare_order(struct oe *oe, struct peer_tx *tx, struct oe_place *place,
                          const struct oe_input *in)
{
    struct oe_new_order *last = peer_at(&oe->peer, place->queue_last);

    const struct iovec ranges[] = {
        {&place->row.next_order, sizeof place->row.next_order},
        {&place->queue_last, 2 * sizeof(peer_ref)}, /* and orders */
        {last != NULL ? &last->next : &place->queue_first, sizeof(peer_ref)}};
    const uint32_t count = in->count - in->unused_item; /* the last one */
    uint32_t i = 0;

    peer_declare_all(tx, ranges, 3);
    for (; i + 3 < count; i += 4) {
        const struct iovec stock[] = {{oe_stock_of(oe, &in->lines[i]), OE_STOCK_CHANGES},
                                      {oe_stock_of(oe, &in->lines[i + 1]), OE_STOCK_CHANGES},
                                      {oe_stock_of(oe, &in->lines[i + 2]), OE_STOCK_CHANGES},
                                      {oe_stock_of(oe, &in->lines[i + 3]), OE_STOCK_CHANGES}};

        peer_declare_all(tx, stock, 4);
    }
    for (; i < count; i++)
        peer_declare(tx, oe_stock_of(oe, &in->lines[i]), OE_STOCK_CHANGES);
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
    order->row = oe_make_order(in, id, ++oe->date);
    oe_link_order(oe, place, order, entry);
    for (uint32_t i = 0; i < in->count; i++) {
        if (!oe_store_line(oe, in, i, id, &lines[i])) {
            peer_abort(&tx);
            return false;
        }
        total += lines[i].amount;
    }
    oe->result =
        oe_order_total(total, customer->discount, oe->warehouse[in->warehouse].tax, place->row.tax);
    peer_end(&tx);
    return true;
}

/* ---- payment ----------------------------------------------------------- */

/* The middle one, rounded up, of those with a last name. */
static uint32_t oe_by_name(const struct oe_names *names, const char last[16])
{
    uint32_t low = 0, high = OE_NAMES - 1;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;

        if (memcmp(names->last[middle], last, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return oe_middle(names, low);
}

HOT void oe_payment(struct oe *oe, enum durability class)
{
    const struct oe_payment_input in = oe_draw_payment(&oe->draw, oe->warehouses);
    struct oe_warehouse *warehouse = &oe->warehouse[in.warehouse];
    struct oe_place *place = &oe->places[in.warehouse * OE_DISTRICTS + in.district];
    const size_t customer_place = in.customer_warehouse * OE_DISTRICTS + in.customer_district;
    uint32_t number = in.customer;
    struct oe_customer *customer;
    struct oe_history *history;
    struct iovec ranges[4];
    struct peer_tx tx;
    char last[16];
    bool bad;

    if (in.by_name) {
        oe_name(in.name, last);
        number = oe_by_name(&oe->names[customer_place], last);
    }
    customer = &oe->customers[customer_place * OE_CUSTOMERS + number];
    bad = customer->credit[0] == 'B';
    peer_begin(&oe->peer, &tx, class);
    history = peer_malloc(&tx, sizeof *history);
    ranges[0] = (struct iovec){&warehouse->ytd, sizeof warehouse->ytd};
    ranges[1] = (struct iovec){&place->row.ytd, sizeof place->row.ytd};
    ranges[2] = (struct iovec){&place->history, sizeof place->history};
    ranges[3] = (struct iovec){customer, OE_CUSTOMER_CHANGES};
    peer_declare_all(&tx, ranges, 4);
    if (bad)
        peer_declare(&tx, customer->data, OE_DATA);
    peer_ready(&tx);
    warehouse->ytd += in.amount;
    place->row.ytd += in.amount;
    oe_pay(customer, in.amount);
    history->row = oe_make_payment(&in, number, ++oe->date, warehouse->address, place->row.address);
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
    struct oe_line *lines = delivery->lines;
    const struct iovec ranges[] = {
        {&delivery->place->queue_first, 2 * sizeof(peer_ref)}, /* and queue_last */
        {&delivery->order->row.carrier, sizeof(uint8_t)},
        {delivery->customer, OE_CUSTOMER_CHANGES}};
    const unsigned count = delivery->order->row.lines;
    unsigned i = 0;

    peer_free(tx, delivery->entry, sizeof *delivery->entry);
    peer_declare_all(tx, ranges, 3);
    for (; i + 3 < count; i += 4) {
        const struct iovec dates[] = {{&lines[i].delivered, sizeof(uint32_t)},
                                      {&lines[i + 1].delivered, sizeof(uint32_t)},
                                      {&lines[i + 2].delivered, sizeof(uint32_t)},
                                      {&lines[i + 3].delivered, sizeof(uint32_t)}};

        peer_declare_all(tx, dates, 4);
    }
    for (; i < count; i++)
        peer_declare(tx, &lines[i].delivered, sizeof(uint32_t));
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

#define OE_BLOCK(size) ((size) + (size) / 8 + 16) /* with what a heap adds to it */

HOT void oe_one(struct oe *oe, uint64_t *done, enum durability class)
{
    const enum oe_type type = oe_draw_type(&oe->draw);

    if (type == OE_NEW_ORDER) {
        const struct oe_input in = oe_draw_order(&oe->draw, oe->warehouses);

        if (oe_new_order(oe, &in, class))
            done[OE_NEW_ORDERS]++;
        oe->room -= OE_BLOCK(sizeof(struct oe_order)) + OE_BLOCK(sizeof(struct oe_new_order)) +
                    OE_BLOCK(in.count * sizeof(struct oe_line));
    } else if (type == OE_PAYMENT) {
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

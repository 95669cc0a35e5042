/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry: TPC-C's consistency conditions (3.3.2), by their numbers there, and
 * what was acknowledged.  Included after order_entry.h.
 */
#include "orders_check.h"

/* The orders, newest first: ids from next_order - 1 down to 1 (the first half of 2). */
static bool oe_check_orders(struct oe *oe, size_t number, uint32_t *undelivered,
                            struct oe_found *found)
{
    const struct oe_place *place = &oe->places[number];
    const struct oe_order *order = peer_at(&oe->peer, place->orders);
    uint32_t id = place->row.next_order;

    *undelivered = 0;
    for (; order != NULL && id > 1; order = peer_at(&oe->peer, order->older)) {
        if (order->row.id != --id || order->row.lines < 5 || order->row.lines > OE_LINES ||
            order->row.customer >= OE_CUSTOMERS)
            return oe_wrong(found, 2, number, "an order is not the one it should be");
        if (!oe_check_lines(&order->row, peer_at(&oe->peer, order->lines), number, found))
            return false;
        *undelivered += order->row.carrier == 0;
    }
    if (order != NULL || id != 1)
        return oe_wrong(found, 2, number, "D_NEXT_O_ID - 1 is not the newest order");
    found->new_orders += place->row.next_order - 1 - OE_LOADED_ORDERS;
    found->delivered_orders += place->row.next_order - 1 - *undelivered - OE_DELIVERED;
    return true;
}

/* The queue, oldest first: contiguous (3), ending with the newest order (2); one for
 * each order without a carrier (5). */
static bool oe_check_queue(struct oe *oe, size_t number, uint32_t undelivered,
                           struct oe_found *found)
{
    const struct oe_place *place = &oe->places[number];
    const struct oe_new_order *entry = peer_at(&oe->peer, place->queue_first);
    const struct oe_new_order *last = NULL;
    uint32_t count = 0;

    for (; entry != NULL && count <= undelivered; entry = peer_at(&oe->peer, entry->next)) {
        const struct oe_order *order = peer_at(&oe->peer, entry->order);

        if (last != NULL && entry->row.id != last->row.id + 1)
            return oe_wrong(found, 3, number, "new-order ids are not contiguous");
        if (order->row.id != entry->row.id || order->row.carrier != 0)
            return oe_wrong(found, 5, number, "a delivered order is in new-order");
        last = entry;
        count++;
    }
    if (count != undelivered || entry != NULL)
        return oe_wrong(found, 5, number, "new-order is not what has no carrier");
    if (peer_at(&oe->peer, place->queue_last) != last ||
        (last != NULL && last->row.id != place->row.next_order - 1))
        return oe_wrong(found, 2, number, "new-order does not end with the newest order");
    return true;
}

static bool oe_check_history(struct oe *oe, size_t number, struct oe_found *found)
{
    const struct oe_place *place = &oe->places[number];
    const struct oe_history *history = peer_at(&oe->peer, place->history);

    for (; history != NULL; history = peer_at(&oe->peer, history->older)) {
        const struct oe_history_row *row = &history->row;
        const size_t at = row->customer_warehouse * OE_DISTRICTS + row->customer_district;

        if (row->warehouse * OE_DISTRICTS + row->district != number ||
            row->customer_district >= OE_DISTRICTS || row->customer_warehouse >= oe->warehouses ||
            row->customer >= OE_CUSTOMERS)
            return oe_wrong(found, 9, number, "a payment is not this district's");
        found->paid[at * OE_CUSTOMERS + row->customer] += row->amount;
        found->place_paid[number] += row->amount;
        found->warehouse_paid[number / OE_DISTRICTS] += row->amount;
        found->payments++;
    }
    return true;
}

/* 1, 8, 9, 10 and 12. */
static bool oe_check_sums(const struct oe *oe, struct oe_found *found)
{
    const size_t places = (size_t)oe->warehouses * OE_DISTRICTS;

    for (uint32_t w = 0; w < oe->warehouses; w++) {
        int64_t districts = 0;

        for (uint32_t d = 0; d < OE_DISTRICTS; d++)
            districts += oe->places[w * OE_DISTRICTS + d].row.ytd;
        if (oe->warehouse[w].ytd != districts)
            return oe_wrong(found, 1, w * OE_DISTRICTS, "W_YTD is not the districts' sum");
        if (oe->warehouse[w].ytd != found->warehouse_paid[w])
            return oe_wrong(found, 8, w * OE_DISTRICTS, "W_YTD is not what was paid");
    }
    for (size_t i = 0; i < places; i++) {
        if (oe->places[i].row.ytd != found->place_paid[i])
            return oe_wrong(found, 9, i, "D_YTD is not what was paid");
    }
    for (size_t i = 0; i < places * OE_CUSTOMERS; i++) {
        const struct oe_customer *customer = &oe->customers[i];

        if (customer->balance != found->delivered[i] - found->paid[i])
            return oe_wrong(found, 10, i / OE_CUSTOMERS, "C_BALANCE is not delivered less paid");
        if (customer->balance + customer->ytd_payment != found->delivered[i])
            return oe_wrong(found, 12, i / OE_CUSTOMERS,
                            "C_BALANCE + C_YTD_PAYMENT is not what was delivered");
    }
    return true;
}

/* Beyond TPC-C: the stock was taken by the lines of the orders since loading. */
static bool oe_check_stock(const struct oe *oe, struct oe_found *found)
{
    uint64_t orders = 0, ytd = 0;

    for (size_t i = 0; i < (size_t)oe->warehouses * OE_ITEMS; i++) {
        orders += oe->stock[i].orders;
        ytd += oe->stock[i].ytd;
    }
    if (found->stock_ytd != ytd)
        return oe_wrong(found, 0, 0, "S_YTD is not what the lines took");
    /* S_ORDER_CNT is kept in 16 bits. */
    return (uint16_t)orders == (uint16_t)found->stock_orders ||
           oe_wrong(found, 0, 0, "S_ORDER_CNT is not the number of lines");
}

static bool oe_walk(struct oe *oe, struct oe_found *found)
{
    for (size_t i = 0; i < (size_t)oe->warehouses * OE_DISTRICTS; i++) {
        uint32_t undelivered;

        if (!oe_check_orders(oe, i, &undelivered, found) ||
            !oe_check_queue(oe, i, undelivered, found) || !oe_check_history(oe, i, found))
            return false;
    }
    found->payments -= (uint64_t)oe->warehouses * OE_DISTRICTS * OE_CUSTOMERS;
    return true;
}

/* For a run that goes on with an older one's file. */
static void oe_count(struct oe *oe, uint64_t *done)
{
    char text[VERDICT_SIZE];
    struct oe_found found = oe_found_make(oe->warehouses, text, sizeof text);

    if (!oe_walk(oe, &found))
        bench_fail("%s", text);
    done[OE_NEW_ORDERS] = found.new_orders;
    done[OE_PAYMENTS] = found.payments;
    done[OE_DELIVERED_ORDERS] = found.delivered_orders;
    oe_found_free(&found);
}

static bool oe_check(struct session *session, char *text, size_t size)
{
    struct oe *oe = session->state;
    struct oe_found found;
    bool sound;

    if (oe->root->loaded != OE_LOADED) {
        snprintf(text, size, "killed before it was loaded: nothing to check");
        return true;
    }
    found = oe_found_make(oe->warehouses, text, size);
    sound = oe_walk(oe, &found) && oe_check_sums(oe, &found) && oe_check_stock(oe, &found) &&
            oe_check_acknowledged(session, &found);
    if (sound)
        oe_tell(&found);
    oe_found_free(&found);
    return sound;
}

static void oe_close(struct session *session)
{
    struct oe *oe = session->state;

    peer_close(&oe->peer);
    free(oe);
}

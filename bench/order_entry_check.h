/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry: TPC-C's consistency conditions (3.3.2), by their numbers there, and
 * what was acknowledged.  Included after order_entry.h.
 */

/* What the walk over a database finds. */
struct oe_found {
    int64_t *delivered; /* by customer: amounts of delivered lines */
    int64_t *paid;      /* by customer: H_AMOUNT */
    int64_t *warehouse_paid, *place_paid;
    uint64_t new_orders, payments, delivered_orders; /* since loading */
    uint64_t stock_orders, stock_ytd;                /* what the lines since loading took */
    char *text;
    size_t size;
};

static bool oe_wrong(struct oe_found *found, unsigned condition, size_t place, const char *what)
{
    snprintf(found->text, found->size, "condition %u, warehouse %zu, district %zu: %s", condition,
             place / OE_DISTRICTS, place % OE_DISTRICTS, what);
    return false;
}

/* 4 and 6: as many lines as the order says, each its own; 7: their date tells of
 * delivery as the order's carrier does. */
static bool oe_check_lines(struct oe *oe, size_t number, const struct oe_order *order,
                           struct oe_found *found)
{
    const struct oe_line *lines = peer_at(&oe->peer, order->lines);
    int64_t total = 0;

    for (unsigned i = 0; i < order->row.lines; i++) {
        if (lines[i].order != order->row.id || lines[i].number != i + 1 ||
            lines[i].warehouse != order->row.warehouse || lines[i].district != order->row.district)
            return oe_wrong(found, 6, number, "a line is not its order's");
        if ((lines[i].delivered == 0) != (order->row.carrier == 0))
            return oe_wrong(found, 7, number, "a line's date and its order's carrier differ");
        total += lines[i].amount;
        if (order->row.id > OE_LOADED_ORDERS) {
            found->stock_orders++;
            found->stock_ytd += lines[i].quantity;
        }
    }
    if (order->row.carrier != 0)
        found->delivered[number * OE_CUSTOMERS + order->row.customer] += total;
    return true;
}

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
        if (!oe_check_lines(oe, number, order, found))
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

/* Of acknowledged transactions all, and when killed at most one more, of one kind; a
 * delivery more is up to ten orders. */
static bool oe_check_acknowledged(const struct session *session, struct oe_found *found)
{
    const uint64_t *done = session->lanes[0].done;
    const uint64_t more = session->killed ? 1 : 0;
    uint64_t orders, payments, delivered;

    if (done == NULL)
        return true;
    orders = found->new_orders - done[OE_NEW_ORDERS];
    payments = found->payments - done[OE_PAYMENTS];
    delivered = found->delivered_orders - done[OE_DELIVERED_ORDERS];
    if (orders <= more && payments <= more && delivered <= more * OE_DISTRICTS &&
        orders + payments + (delivered != 0) <= more)
        return true;
    snprintf(found->text, found->size,
             "%llu, %llu, %llu new-orders, payments, delivered orders; acknowledged %llu, %llu, "
             "%llu",
             (unsigned long long)found->new_orders, (unsigned long long)found->payments,
             (unsigned long long)found->delivered_orders, (unsigned long long)done[OE_NEW_ORDERS],
             (unsigned long long)done[OE_PAYMENTS], (unsigned long long)done[OE_DELIVERED_ORDERS]);
    return false;
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

static struct oe_found oe_found_make(const struct oe *oe, char *text, size_t size)
{
    const size_t places = (size_t)oe->warehouses * OE_DISTRICTS;
    struct oe_found found = {.text = text, .size = size};

    found.delivered = calloc(places * OE_CUSTOMERS, sizeof *found.delivered);
    found.paid = calloc(places * OE_CUSTOMERS, sizeof *found.paid);
    found.warehouse_paid = calloc(oe->warehouses, sizeof *found.warehouse_paid);
    found.place_paid = calloc(places, sizeof *found.place_paid);
    if (found.delivered == NULL || found.paid == NULL || found.warehouse_paid == NULL ||
        found.place_paid == NULL)
        bench_fail("out of memory");
    return found;
}

static void oe_found_free(struct oe_found *found)
{
    free(found->delivered);
    free(found->paid);
    free(found->warehouse_paid);
    free(found->place_paid);
}

/* For a run that goes on with an older one's file. */
static void oe_count(struct oe *oe, uint64_t *done)
{
    char text[VERDICT_SIZE];
    struct oe_found found = oe_found_make(oe, text, sizeof text);

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
    found = oe_found_make(oe, text, size);
    sound = oe_walk(oe, &found) && oe_check_sums(oe, &found) && oe_check_stock(oe, &found) &&
            oe_check_acknowledged(session, &found);
    if (sound)
        snprintf(text, size,
                 "%llu new-orders, %llu payments, %llu delivered orders; conditions 1-10, 12 hold",
                 (unsigned long long)found.new_orders, (unsigned long long)found.payments,
                 (unsigned long long)found.delivered_orders);
    oe_found_free(&found);
    return sound;
}

static void oe_close(struct session *session)
{
    struct oe *oe = session->state;

    peer_close(&oe->peer);
    free(oe);
}

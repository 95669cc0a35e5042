/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry: what a check finds, apart from how a peer stores it.
 */
#ifndef BENCH_ORDERS_CHECK_H
#define BENCH_ORDERS_CHECK_H

#include "bench.h"
#include "orders.h"

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
static bool oe_check_lines(const struct oe_order_row *order, const struct oe_line *lines,
                           size_t place, struct oe_found *found)
{
    int64_t total = 0;

    for (unsigned i = 0; i < order->lines; i++) {
        if (lines[i].order != order->id || lines[i].number != i + 1 ||
            lines[i].warehouse != order->warehouse || lines[i].district != order->district)
            return oe_wrong(found, 6, place, "a line is not its order's");
        if ((lines[i].delivered == 0) != (order->carrier == 0))
            return oe_wrong(found, 7, place, "a line's date and its order's carrier differ");
        total += lines[i].amount;
        if (order->id > OE_LOADED_ORDERS) {
            found->stock_orders++;
            found->stock_ytd += lines[i].quantity;
        }
    }
    if (order->carrier != 0)
        found->delivered[place * OE_CUSTOMERS + order->customer] += total;
    return true;
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

static struct oe_found oe_found_make(uint32_t warehouses, char *text, size_t size)
{
    const size_t places = (size_t)warehouses * OE_DISTRICTS;
    struct oe_found found = {.text = text, .size = size};

    found.delivered = calloc(places * OE_CUSTOMERS, sizeof *found.delivered);
    found.paid = calloc(places * OE_CUSTOMERS, sizeof *found.paid);
    found.warehouse_paid = calloc(warehouses, sizeof *found.warehouse_paid);
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

static void oe_tell(const struct oe_found *found)
{
    snprintf(found->text, found->size,
             "%llu new-orders, %llu payments, %llu delivered orders; conditions 1-10, 12 hold",
             (unsigned long long)found->new_orders, (unsigned long long)found->payments,
             (unsigned long long)found->delivered_orders);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry on a peer that is a database: included after the peer's own header.  The
 * draws and the rows are those of order_entry.h; what is a list there is a range of
 * keys here:
 *
 *     warehouse   w                          order     place << 32 | id
 *     district    place = w * 10 + d         lines     the same: all lines of the order
 *     customer    place * 3000 + c           new-order the same
 *     stock       w * 100000 + i             history   a running number
 *     item        i                          names     place * 1000 + last name
 *
 * The lines of an order are one row, as they are one block in memory; a name's row
 * tells the customer that by-name lookup is to find, who never changes.
 */
#include "orders.h"
#include "rows.h"

enum {
    OE_T_WAREHOUSE,
    OE_T_DISTRICT,
    OE_T_CUSTOMER,
    OE_T_STOCK,
    OE_T_ITEM,
    OE_T_ORDER,
    OE_T_LINES,
    OE_T_NEW_ORDER,
    OE_T_HISTORY,
    OE_T_NAMES,
    OE_T_LOADED, /* a row, when loading is done */
    OE_TABLES
};

struct oe_order_wide { /* rows begin with a number */
    int64_t place;
    struct oe_order_row row;
};

struct oe_lines {
    int64_t count;
    struct oe_line lines[OE_LINES];
};
#define OE_LINES_SIZE(count) (sizeof(int64_t) + (count) * sizeof(struct oe_line))

struct oe {
    struct rows rows;
    uint32_t warehouses, date;
    struct oe_draw draw;
    uint64_t payments; /* the next history row's number */
    uint64_t room;
    int64_t result;
    bool loaded;
};

static uint64_t oe_key(uint64_t place, uint32_t id)
{
    return place << 32 | id;
}

static void rows_must_get(struct rows *rows, unsigned table, uint64_t key, void *row, size_t size)
{
    if (!rows_get(rows, table, key, row, size))
        bench_fail("order-entry: no row %llu in table %u", (unsigned long long)key, table);
}

/* ---- new-order --------------------------------------------------------- */

/* False if there is no such item. */
static bool oe_store_line(struct oe *oe, const struct oe_input *in, uint32_t i, uint32_t id,
                          struct oe_line *line)
{
    const struct oe_input_line *input = &in->lines[i];
    const uint64_t key = (uint64_t)input->supply * OE_ITEMS + input->item;
    struct oe_stock stock;
    struct oe_item item;

    if (!rows_get(&oe->rows, OE_T_ITEM, input->item, &item, sizeof item))
        return false;
    rows_must_get(&oe->rows, OE_T_STOCK, key, &stock, sizeof stock);
    oe_take_stock(&stock, in, input);
    rows_update(&oe->rows, OE_T_STOCK, key, &stock, sizeof stock);
    *line = oe_make_line(in, i, id, item.price);
    memcpy(line->info, stock.info[in->district], sizeof line->info);
    return true;
}

/* False: rolled back. */
static bool oe_new_order(struct oe *oe, const struct oe_input *in)
{
    struct rows *rows = &oe->rows;
    const uint64_t place = in->warehouse * OE_DISTRICTS + in->district;
    struct oe_district district;
    struct oe_customer customer;
    struct oe_warehouse warehouse;
    struct oe_lines lines = {.count = in->count};
    struct oe_order_wide order = {.place = (int64_t)place};
    int64_t total = 0;
    uint64_t key;

    rows_begin(rows);
    rows_must_get(rows, OE_T_WAREHOUSE, in->warehouse, &warehouse, sizeof warehouse);
    rows_must_get(rows, OE_T_CUSTOMER, place * OE_CUSTOMERS + in->customer, &customer,
                  sizeof customer);
    rows_must_get(rows, OE_T_DISTRICT, place, &district, sizeof district);
    order.row = oe_make_order(in, district.next_order++, ++oe->date);
    key = oe_key(place, order.row.id);
    rows_update(rows, OE_T_DISTRICT, place, &district, sizeof district);
    rows_insert(rows, OE_T_ORDER, key, &order, sizeof order);
    rows_insert(rows, OE_T_NEW_ORDER, key, &order.place, sizeof order.place);
    for (uint32_t i = 0; i < in->count; i++) {
        if (!oe_store_line(oe, in, i, order.row.id, &lines.lines[i])) {
            rows_abort(rows);
            return false;
        }
        total += lines.lines[i].amount;
    }
    rows_insert(rows, OE_T_LINES, key, &lines, OE_LINES_SIZE(in->count));
    oe->result = oe_order_total(total, customer.discount, warehouse.tax, district.tax);
    rows_commit(rows);
    return true;
}

/* ---- payment ----------------------------------------------------------- */

static void oe_payment(struct oe *oe)
{
    struct rows *rows = &oe->rows;
    const struct oe_payment_input in = oe_draw_payment(&oe->draw, oe->warehouses);
    const uint64_t place = in.warehouse * OE_DISTRICTS + in.district;
    const uint64_t customer_place = in.customer_warehouse * OE_DISTRICTS + in.customer_district;
    struct oe_warehouse warehouse;
    struct oe_district district;
    struct oe_customer customer;
    struct oe_history_row history;
    int64_t number = in.customer;

    rows_begin(rows);
    if (in.by_name)
        rows_must_get(rows, OE_T_NAMES, customer_place * OE_NAMES + in.name, &number,
                      sizeof number);
    rows_must_get(rows, OE_T_WAREHOUSE, in.warehouse, &warehouse, sizeof warehouse);
    rows_must_get(rows, OE_T_DISTRICT, place, &district, sizeof district);
    rows_must_get(rows, OE_T_CUSTOMER, customer_place * OE_CUSTOMERS + (uint64_t)number, &customer,
                  sizeof customer);
    history =
        oe_make_payment(&in, (uint32_t)number, ++oe->date, warehouse.address, district.address);
    rows_add(rows, OE_T_WAREHOUSE, in.warehouse, in.amount, sizeof warehouse);
    rows_add(rows, OE_T_DISTRICT, place, in.amount, sizeof district);
    oe_pay(&customer, in.amount);
    if (customer.credit[0] == 'B')
        oe_note(&customer, &history);
    rows_update(rows, OE_T_CUSTOMER, customer_place * OE_CUSTOMERS + (uint64_t)number, &customer,
                sizeof customer);
    rows_append(rows, OE_T_HISTORY, oe->payments++, &history, sizeof history);
    rows_commit(rows);
}

/* ---- delivery ---------------------------------------------------------- */

/* Delivers a district's oldest order; false: it has none. */
static bool oe_deliver(struct oe *oe, uint64_t place, uint32_t carrier)
{
    struct rows *rows = &oe->rows;
    struct oe_order_wide order;
    struct oe_lines lines;
    struct oe_customer customer;
    int64_t total = 0;
    uint64_t key, customer_key;

    if (!rows_first(rows, OE_T_NEW_ORDER, oe_key(place, 0), oe_key(place + 1, 0), &key))
        return false;
    rows_delete(rows, OE_T_NEW_ORDER, key);
    rows_must_get(rows, OE_T_ORDER, key, &order, sizeof order);
    order.row.carrier = (uint8_t)carrier;
    rows_update(rows, OE_T_ORDER, key, &order, sizeof order);
    rows_must_get(rows, OE_T_LINES, key, &lines, OE_LINES_SIZE(order.row.lines));
    for (unsigned i = 0; i < order.row.lines; i++) {
        lines.lines[i].delivered = oe->date;
        total += lines.lines[i].amount;
    }
    rows_update(rows, OE_T_LINES, key, &lines, OE_LINES_SIZE(order.row.lines));
    customer_key = place * OE_CUSTOMERS + order.row.customer;
    rows_must_get(rows, OE_T_CUSTOMER, customer_key, &customer, sizeof customer);
    customer.balance += total;
    customer.deliveries++;
    rows_update(rows, OE_T_CUSTOMER, customer_key, &customer, sizeof customer);
    return true;
}

static unsigned oe_delivery(struct oe *oe)
{
    const uint32_t w = rng_below(&oe->draw.rng, oe->warehouses);
    const uint32_t carrier = rng_between(&oe->draw.rng, 1, 10);
    unsigned count = 0;

    oe->date++;
    rows_begin(&oe->rows);
    for (uint32_t d = 0; d < OE_DISTRICTS; d++)
        count += oe_deliver(oe, w * OE_DISTRICTS + d, carrier);
    rows_commit(&oe->rows);
    return count;
}

/* ---- The mix ----------------------------------------------------------- */

static void oe_one(struct oe *oe, uint64_t *done)
{
    const enum oe_type type = oe_draw_type(&oe->draw);

    if (type == OE_NEW_ORDER) {
        const struct oe_input in = oe_draw_order(&oe->draw, oe->warehouses);

        done[OE_NEW_ORDERS] += oe_new_order(oe, &in);
        oe->room -= 2 * (sizeof(struct oe_order_wide) + OE_LINES_SIZE(in.count) + 64);
    } else if (type == OE_PAYMENT) {
        oe_payment(oe);
        done[OE_PAYMENTS]++;
        oe->room -= 2 * sizeof(struct oe_history_row);
    } else {
        done[OE_DELIVERED_ORDERS] += oe_delivery(oe);
        done[OE_DELIVERIES]++;
    }
    done[OE_ALL]++;
}

static unsigned oe_batch(struct session *session, unsigned lane, unsigned count)
{
    struct oe *oe = session->state;
    const unsigned now = count < ROWS_BATCH ? count : ROWS_BATCH;

    for (unsigned i = 0; i < now; i++) {
        if (oe->room < (8u << 10))
            return i;
        oe_one(oe, session->lanes[lane].done);
    }
    return now;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry on a database: making it, opening it, TPC-C's consistency conditions.
 * Included after order_entry_rows.h.
 */
#include "orders_check.h"
#include "orders_make.h"

/* ---- Loading: one transaction, tables in the order of their keys ------- */

static void oe_load_orders(struct oe *oe, uint32_t w, uint32_t d)
{
    const uint64_t place = w * OE_DISTRICTS + d;
    struct rng *rng = &oe->draw.rng;
    uint16_t customers[OE_CUSTOMERS];

    oe_permute(rng, customers);
    for (uint32_t id = 1; id <= OE_LOADED_ORDERS; id++) {
        const uint32_t count = rng_between(rng, 5, OE_LINES);
        const struct oe_order_wide order = {
            (int64_t)place, oe_make_loaded_order(rng, id, customers[id - 1], w, d, count)};
        struct oe_lines lines = {.count = count};

        oe_make_loaded_lines(rng, &order.row, lines.lines);
        rows_append(&oe->rows, OE_T_ORDER, oe_key(place, id), &order, sizeof order);
        rows_append(&oe->rows, OE_T_LINES, oe_key(place, id), &lines, OE_LINES_SIZE(count));
        if (order.row.carrier == 0)
            rows_append(&oe->rows, OE_T_NEW_ORDER, oe_key(place, id), &order.place,
                        sizeof order.place);
    }
    for (uint32_t i = 0; i < OE_CUSTOMERS; i++) {
        const struct oe_history_row row = oe_make_loaded_payment(rng, i, w, d);

        rows_append(&oe->rows, OE_T_HISTORY, oe->payments++, &row, sizeof row);
    }
}

static void oe_load_district(struct oe *oe, uint32_t w, uint32_t d)
{
    const uint64_t place = w * OE_DISTRICTS + d;
    struct oe_customer *customers = calloc(OE_CUSTOMERS, sizeof *customers);
    struct oe_names *names = calloc(1, sizeof *names);
    struct oe_district district = {0};

    if (customers == NULL || names == NULL)
        bench_fail("out of memory");
    oe_make_district(&oe->draw.rng, &district, w, d);
    rows_append(&oe->rows, OE_T_DISTRICT, place, &district, sizeof district);
    for (uint32_t i = 0; i < OE_CUSTOMERS; i++) {
        oe_make_customer(&oe->draw.rng, &customers[i], i,
                         i < OE_NAMES ? i : oe_draw_name(&oe->draw));
        rows_append(&oe->rows, OE_T_CUSTOMER, place * OE_CUSTOMERS + i, &customers[i],
                    sizeof customers[i]);
    }
    oe_make_names(customers, names);
    for (uint32_t i = 0; i < OE_NAMES; i++) { /* in alphabetical order, so not by number */
        const int64_t customer = oe_middle(names, i);
        const uint64_t number = oe_name_number(names->last[i]);

        rows_insert(&oe->rows, OE_T_NAMES, place * OE_NAMES + number, &customer, sizeof customer);
    }
    free(customers);
    free(names);
    oe_load_orders(oe, w, d);
}

static void oe_load(struct oe *oe)
{
    const int64_t loaded = oe->warehouses;
    struct rng *rng = &oe->draw.rng;

    rows_begin(&oe->rows);
    for (uint32_t i = 0; i < OE_ITEMS; i++) {
        struct oe_item item = {0};

        oe_make_item(rng, &item);
        rows_append(&oe->rows, OE_T_ITEM, i, &item, sizeof item);
    }
    for (uint32_t w = 0; w < oe->warehouses; w++) {
        struct oe_warehouse warehouse = {0};

        oe_make_warehouse(rng, &warehouse, w);
        rows_append(&oe->rows, OE_T_WAREHOUSE, w, &warehouse, sizeof warehouse);
        for (uint32_t i = 0; i < OE_ITEMS; i++) {
            struct oe_stock stock = {0};

            oe_make_stock(rng, &stock, w);
            rows_append(&oe->rows, OE_T_STOCK, (uint64_t)w * OE_ITEMS + i, &stock, sizeof stock);
        }
        for (uint32_t d = 0; d < OE_DISTRICTS; d++)
            oe_load_district(oe, w, d);
    }
    rows_append(&oe->rows, OE_T_LOADED, 0, &loaded, sizeof loaded);
    rows_commit(&oe->rows);
}

/* ---- Checks ------------------------------------------------------------ */

struct oe_check {
    struct oe *oe;
    struct oe_found *found;
    bool sound;
    struct oe_seen { /* of a district */
        uint32_t orders, undelivered, queued, last_queued;
        uint32_t next_order;
        int64_t ytd;
    } * seen;
    int64_t *warehouse_ytd;
    uint64_t stock_orders, stock_ytd;
};

static void oe_see_district(void *context, uint64_t key, const void *row, size_t size)
{
    struct oe_check *check = context;
    struct oe_district district;

    (void)size;
    memcpy(&district, row, sizeof district);
    check->seen[key].next_order = district.next_order;
    check->seen[key].ytd = district.ytd;
}

static void oe_see_warehouse(void *context, uint64_t key, const void *row, size_t size)
{
    struct oe_check *check = context;

    (void)size;
    memcpy(&check->warehouse_ytd[key], row, sizeof(int64_t));
}

/* The first half of 2, and 4, 6 and 7. */
static void oe_see_order(void *context, uint64_t key, const void *row, size_t size)
{
    struct oe_check *check = context;
    struct oe_seen *seen = &check->seen[key >> 32];
    struct oe_order_wide order;
    struct oe_lines lines;

    if (!check->sound || size != sizeof order)
        return;
    memcpy(&order, row, sizeof order);
    if (order.row.id != (uint32_t)key || order.row.id != ++seen->orders ||
        order.row.lines > OE_LINES || order.row.customer >= OE_CUSTOMERS) {
        check->sound = oe_wrong(check->found, 2, key >> 32, "an order is not the one it should be");
        return;
    }
    seen->undelivered += order.row.carrier == 0;
    if (!rows_get(&check->oe->rows, OE_T_LINES, key, &lines, OE_LINES_SIZE(order.row.lines)))
        check->sound = oe_wrong(check->found, 4, key >> 32, "an order has no lines");
    else
        check->sound = oe_check_lines(&order.row, lines.lines, key >> 32, check->found);
}

/* 3: the queue is contiguous. */
static void oe_see_queued(void *context, uint64_t key, const void *row, size_t size)
{
    struct oe_check *check = context;
    struct oe_seen *seen = &check->seen[key >> 32];

    (void)row, (void)size;
    if (check->sound && seen->queued++ > 0 && (uint32_t)key != seen->last_queued + 1)
        check->sound = oe_wrong(check->found, 3, key >> 32, "new-order ids are not contiguous");
    seen->last_queued = (uint32_t)key;
}

static void oe_see_payment(void *context, uint64_t key, const void *row, size_t size)
{
    struct oe_check *check = context;
    struct oe_found *found = check->found;
    struct oe_history_row paid;
    size_t customer;

    (void)key, (void)size;
    memcpy(&paid, row, sizeof paid);
    customer = (paid.customer_warehouse * OE_DISTRICTS + paid.customer_district) * OE_CUSTOMERS +
               paid.customer;
    found->paid[customer] += paid.amount;
    found->place_paid[paid.warehouse * OE_DISTRICTS + paid.district] += paid.amount;
    found->warehouse_paid[paid.warehouse] += paid.amount;
    found->payments++;
}

/* 10 and 12. */
static void oe_see_customer(void *context, uint64_t key, const void *row, size_t size)
{
    struct oe_check *check = context;
    const struct oe_found *found = check->found;
    struct oe_customer customer;

    (void)size;
    memcpy(&customer, row, sizeof customer);
    if (check->sound && customer.balance != found->delivered[key] - found->paid[key])
        check->sound =
            oe_wrong(check->found, 10, key / OE_CUSTOMERS, "C_BALANCE is not delivered less paid");
    if (check->sound && customer.balance + customer.ytd_payment != found->delivered[key])
        check->sound = oe_wrong(check->found, 12, key / OE_CUSTOMERS,
                                "C_BALANCE + C_YTD_PAYMENT is not what was delivered");
}

static void oe_see_stock(void *context, uint64_t key, const void *row, size_t size)
{
    struct oe_check *check = context;
    struct oe_stock stock;

    (void)key, (void)size;
    memcpy(&stock, row, sizeof stock);
    check->stock_orders += stock.orders;
    check->stock_ytd += stock.ytd;
}

/* The second half of 2; 5; 9. */
static bool oe_check_district(struct oe_check *check, size_t place)
{
    const struct oe_seen *seen = &check->seen[place];
    struct oe_found *found = check->found;

    if (seen->orders + 1 != seen->next_order)
        return oe_wrong(found, 2, place, "D_NEXT_O_ID - 1 is not the newest order");
    if (seen->queued != seen->undelivered)
        return oe_wrong(found, 5, place, "new-order is not what has no carrier");
    if (seen->queued != 0 && seen->last_queued != seen->orders)
        return oe_wrong(found, 2, place, "new-order does not end with the newest order");
    if (seen->ytd != found->place_paid[place])
        return oe_wrong(found, 9, place, "D_YTD is not what was paid");
    found->new_orders += seen->orders - OE_LOADED_ORDERS;
    found->delivered_orders += seen->orders - seen->undelivered - OE_DELIVERED;
    return true;
}

/* 1 and 8. */
static bool oe_check_warehouse(struct oe_check *check, uint32_t w)
{
    int64_t districts = 0;

    for (uint32_t d = 0; d < OE_DISTRICTS; d++)
        districts += check->seen[w * OE_DISTRICTS + d].ytd;
    if (check->warehouse_ytd[w] != districts)
        return oe_wrong(check->found, 1, w * OE_DISTRICTS, "W_YTD is not the districts' sum");
    return check->warehouse_ytd[w] == check->found->warehouse_paid[w] ||
           oe_wrong(check->found, 8, w * OE_DISTRICTS, "W_YTD is not what was paid");
}

static bool oe_walk(struct oe *oe, struct oe_found *found)
{
    const size_t places = (size_t)oe->warehouses * OE_DISTRICTS;
    struct oe_check check = {.oe = oe, .found = found, .sound = true};

    check.seen = calloc(places, sizeof *check.seen);
    check.warehouse_ytd = calloc(oe->warehouses, sizeof *check.warehouse_ytd);
    if (check.seen == NULL || check.warehouse_ytd == NULL)
        bench_fail("out of memory");
    rows_begin(&oe->rows);
    rows_each(&oe->rows, OE_T_WAREHOUSE, oe_see_warehouse, &check);
    rows_each(&oe->rows, OE_T_DISTRICT, oe_see_district, &check);
    rows_each(&oe->rows, OE_T_ORDER, oe_see_order, &check);
    rows_each(&oe->rows, OE_T_NEW_ORDER, oe_see_queued, &check);
    rows_each(&oe->rows, OE_T_HISTORY, oe_see_payment, &check);
    rows_each(&oe->rows, OE_T_CUSTOMER, oe_see_customer, &check);
    rows_each(&oe->rows, OE_T_STOCK, oe_see_stock, &check);
    rows_commit(&oe->rows);
    for (size_t i = 0; i < places; i++)
        check.sound = check.sound && oe_check_district(&check, i);
    for (uint32_t w = 0; w < oe->warehouses; w++)
        check.sound = check.sound && oe_check_warehouse(&check, w);
    if (check.sound && (check.stock_ytd != found->stock_ytd ||
                        (uint16_t)check.stock_orders != (uint16_t)found->stock_orders))
        check.sound = oe_wrong(found, 0, 0, "the stock is not what the lines took");
    found->payments -= places * OE_CUSTOMERS;
    free(check.seen);
    free(check.warehouse_ytd);
    return check.sound;
}

static bool oe_check(struct session *session, char *text, size_t size)
{
    struct oe *oe = session->state;
    struct oe_found found;
    bool sound;

    if (!oe->loaded) {
        snprintf(text, size, "killed before it was loaded: nothing to check");
        return true;
    }
    found = oe_found_make(oe->warehouses, text, size);
    sound = oe_walk(oe, &found) && oe_check_acknowledged(session, &found);
    if (sound)
        oe_tell(&found);
    oe_found_free(&found);
    return sound;
}

/* ---- Opening ----------------------------------------------------------- */

static void oe_count_payment(void *context, uint64_t key, const void *row, size_t size)
{
    (void)row, (void)size;
    *(uint64_t *)context = key + 1;
}

/* Goes on with what is there. */
static void oe_resume(struct oe *oe, uint64_t *done)
{
    char text[VERDICT_SIZE];
    struct oe_found found = oe_found_make(oe->warehouses, text, sizeof text);

    if (!oe_walk(oe, &found))
        bench_fail("%s", text);
    done[OE_NEW_ORDERS] = found.new_orders;
    done[OE_PAYMENTS] = found.payments;
    done[OE_DELIVERED_ORDERS] = found.delivered_orders;
    oe_found_free(&found);
    rows_begin(&oe->rows);
    rows_each(&oe->rows, OE_T_HISTORY, oe_count_payment, &oe->payments);
    rows_commit(&oe->rows);
}

static void oe_open(struct session *session)
{
    static const char *const tables[OE_TABLES] = {"warehouse", "district", "customer", "stock",
                                                  "item",      "orders",   "lines",    "new_order",
                                                  "history",   "names",    "loaded"};
    struct oe *oe = calloc(1, sizeof *oe);
    int64_t loaded = 0;

    if (oe == NULL)
        bench_fail("out of memory");
    session->state = oe;
    oe->warehouses = oe_warehouses(session->size);
    oe->draw = oe_draw_start(session->lanes[0].rng.state);
    oe->room = oe_growth(session->config->seconds, 0.2);
    session->grows = oe->room;
    rows_open(&oe->rows, session, tables, OE_TABLES);
    if (!session->existing)
        oe_load(oe);
    rows_begin(&oe->rows);
    oe->loaded = rows_get(&oe->rows, OE_T_LOADED, 0, &loaded, sizeof loaded);
    rows_commit(&oe->rows);
    if (!oe->loaded && !session->killed)
        bench_fail("%s: killed before it was loaded", session->path);
    if (oe->loaded)
        oe->warehouses = (uint32_t)loaded;
    if (session->existing && !session->killed)
        oe_resume(oe, session->lanes[0].done);
}

static void oe_close(struct session *session)
{
    struct oe *oe = session->state;

    rows_close(&oe->rows);
    free(oe);
}

const struct driver ROWS_SYMBOL(order_entry) = {.workload = "order-entry",
                                                .peer = ROWS_NAME,
                                                .classes = ROWS_CLASSES,
                                                .one_thread = true,
                                                .verifies = true,
                                                .open = oe_open,
                                                .batch = oe_batch,
                                                .check = oe_check,
                                                .close = oe_close};

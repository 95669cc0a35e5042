/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry: making the database (TPC-C 4.3.3), opening it again.  Included
 * after order_entry.h and order_entry_check.h.
 */
#include "orders_make.h"

#define OE_LOAD_BATCH 50u /* orders or payments a transaction */

/* Where the tables are, from the root. */
static void oe_find(struct oe *oe)
{
    void **tables[] = {(void **)&oe->warehouse, (void **)&oe->places, (void **)&oe->customers,
                       (void **)&oe->names,     (void **)&oe->stock,  (void **)&oe->items};

    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        *tables[i] = peer_at(&oe->peer, oe->root->tables[i]);
}

static void oe_load_district(struct oe *oe, uint32_t w, uint32_t d)
{
    const size_t number = w * OE_DISTRICTS + d;
    struct oe_customer *customers = &oe->customers[number * OE_CUSTOMERS];

    oe_make_district(&oe->draw.rng, &oe->places[number].row, w, d);
    for (uint32_t i = 0; i < OE_CUSTOMERS; i++)
        oe_make_customer(&oe->draw.rng, &customers[i], i,
                         i < OE_NAMES ? i : oe_draw_name(&oe->draw));
    oe_make_names(customers, &oe->names[number]);
}

static void oe_load_warehouse(struct oe *oe, uint32_t w)
{
    struct rng *rng = &oe->draw.rng;

    oe_make_warehouse(rng, &oe->warehouse[w], w);
    for (uint32_t i = 0; i < OE_ITEMS; i++)
        oe_make_stock(rng, &oe->stock[(size_t)w * OE_ITEMS + i], w);
}

/* Allocates and fills every table in one transaction. */
static void oe_load_tables(struct oe *oe, enum durability class)
{
    const size_t places = (size_t)oe->warehouses * OE_DISTRICTS;
    const size_t sizes[OE_TABLES] = {oe->warehouses * sizeof *oe->warehouse,
                                     places * sizeof *oe->places,
                                     places * OE_CUSTOMERS * sizeof *oe->customers,
                                     places * sizeof *oe->names,
                                     (size_t)oe->warehouses * OE_ITEMS * sizeof *oe->stock,
                                     OE_ITEMS * sizeof *oe->items};
    void *tables[OE_TABLES];
    struct peer_tx tx;

    peer_begin(&oe->peer, &tx, class);
    for (size_t i = 0; i < OE_TABLES; i++)
        tables[i] = peer_malloc(&tx, sizes[i]);
    peer_declare(&tx, oe->root->tables, sizeof oe->root->tables);
    peer_ready(&tx);
    for (size_t i = 0; i < OE_TABLES; i++) {
        memset(tables[i], 0, sizes[i]);
        oe->root->tables[i] = peer_to(&oe->peer, tables[i]);
    }
    oe_find(oe);
    for (uint32_t i = 0; i < OE_ITEMS; i++)
        oe_make_item(&oe->draw.rng, &oe->items[i]);
    for (uint32_t w = 0; w < oe->warehouses; w++) {
        oe_load_warehouse(oe, w);
        for (uint32_t d = 0; d < OE_DISTRICTS; d++)
            oe_load_district(oe, w, d);
    }
    peer_end(&tx);
}

/* ---- Orders and payments, in the heap ---------------------------------- */

struct oe_loading {
    struct oe_order *order;
    struct oe_line *lines;
    struct oe_new_order *entry;
    uint32_t count;
};

/* The orders with ids from `first` on, `customers` a permutation. */
static void oe_load_orders(struct oe *oe, struct oe_place *place, uint32_t first,
                           const uint16_t *customers, enum durability class)
{
    struct oe_loading loading[OE_LOAD_BATCH];
    const bool delivered = first <= OE_DELIVERED;
    struct oe_new_order *last = peer_at(&oe->peer, place->queue_last);
    struct peer_tx tx;

    peer_begin(&oe->peer, &tx, class);
    for (uint32_t i = 0; i < OE_LOAD_BATCH; i++) {
        loading[i].count = rng_between(&oe->draw.rng, 5, OE_LINES);
        loading[i].order = peer_malloc(&tx, sizeof *loading[i].order);
        loading[i].lines = peer_malloc(&tx, loading[i].count * sizeof *loading[i].lines);
        if (!delivered)
            loading[i].entry = peer_malloc(&tx, sizeof *loading[i].entry);
    }
    peer_declare(&tx, place, offsetof(struct oe_place, history));
    if (last != NULL)
        peer_declare(&tx, &last->next, sizeof last->next);
    peer_ready(&tx);
    for (uint32_t i = 0; i < OE_LOAD_BATCH; i++) {
        struct oe_order *order = loading[i].order;

        order->row = oe_make_loaded_order(&oe->draw.rng, first + i, customers[first + i - 1],
                                          place->row.warehouse, place->row.id, loading[i].count);
        order->lines = peer_to(&oe->peer, loading[i].lines);
        oe_make_loaded_lines(&oe->draw.rng, &order->row, loading[i].lines);
        if (delivered) {
            order->older = place->orders;
            place->orders = peer_to(&oe->peer, order);
        } else {
            oe_link_order(oe, place, order, loading[i].entry);
        }
    }
    peer_end(&tx);
}

/* The payments of the customers from `first` on. */
static void oe_load_payments(struct oe *oe, struct oe_place *place, uint32_t first,
                             enum durability class)
{
    struct oe_history *rows[OE_LOAD_BATCH];
    struct peer_tx tx;

    peer_begin(&oe->peer, &tx, class);
    for (uint32_t i = 0; i < OE_LOAD_BATCH; i++)
        rows[i] = peer_malloc(&tx, sizeof *rows[i]);
    peer_declare(&tx, &place->history, sizeof place->history);
    peer_ready(&tx);
    for (uint32_t i = 0; i < OE_LOAD_BATCH; i++) {
        rows[i]->row =
            oe_make_loaded_payment(&oe->draw.rng, first + i, place->row.warehouse, place->row.id);
        rows[i]->older = place->history;
        place->history = peer_to(&oe->peer, rows[i]);
    }
    peer_end(&tx);
}

static void oe_load_lists(struct oe *oe, struct oe_place *place, enum durability class)
{
    uint16_t customers[OE_CUSTOMERS];

    oe_permute(&oe->draw.rng, customers);
    for (uint32_t id = 1; id <= OE_LOADED_ORDERS; id += OE_LOAD_BATCH)
        oe_load_orders(oe, place, id, customers, class);
    for (uint32_t i = 0; i < OE_CUSTOMERS; i += OE_LOAD_BATCH)
        oe_load_payments(oe, place, i, class);
}

static void oe_load(struct oe *oe, enum durability class)
{
    struct peer_tx tx;

    oe->root = peer_root(&oe->peer, sizeof *oe->root);
    oe_load_tables(oe, class);
    for (uint32_t i = 0; i < oe->warehouses * OE_DISTRICTS; i++)
        oe_load_lists(oe, &oe->places[i], class);
    peer_begin(&oe->peer, &tx, class);
    peer_declare(&tx, oe->root, 2 * sizeof(uint64_t));
    peer_ready(&tx);
    oe->root->warehouses = oe->warehouses;
    oe->root->loaded = OE_LOADED;
    peer_end(&tx);
}

static void oe_open(struct session *session)
{
    struct oe *oe = calloc(1, sizeof *oe);

    if (oe == NULL)
        bench_fail("out of memory");
    session->state = oe;
    oe->warehouses = oe_warehouses(session->size);
    oe->draw = oe_draw_start(session->lanes[0].rng.state);
    oe->room = oe_growth(session->config->seconds,
                         session->class == CLASS_LINE ? PEER_PACE / 2 : PEER_PACE);
    session->grows = oe->room;
    if (!PEER_ABORTS && session->existing)
        bench_fail("%s: nothing of it can be found again without transactions", PEER_NAME);
    peer_open(&oe->peer, session,
              (size_t)oe->warehouses * (OE_WAREHOUSE_BYTES + (8u << 20)) + OE_ITEM_BYTES +
                  oe->room);
    if (!session->existing) {
        oe_load(oe, session->class);
        return;
    }
    oe->root = peer_root(&oe->peer, sizeof *oe->root);
    if (oe->root->loaded != OE_LOADED)
        return;
    oe->warehouses = (uint32_t)oe->root->warehouses;
    oe_find(oe);
    if (!session->killed)
        oe_count(oe, session->lanes[0].done);
}

const struct driver PEER_SYMBOL(order_entry) = {.workload = "order-entry",
                                                .peer = PEER_NAME,
                                                .classes = PEER_CLASSES,
                                                .one_thread = true, /* serial by definition */
                                                .verifies = true,
                                                .open = oe_open,
                                                .batch = oe_batch,
                                                .check = oe_check,
                                                .close = oe_close};

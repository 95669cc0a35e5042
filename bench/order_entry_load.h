/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry: making the database (TPC-C 4.3.3), opening it again.  Included
 * after order_entry.h and order_entry_check.h.
 */
#define OE_LOAD_BATCH 50u /* orders or payments a transaction */
#define OE_MOST_GROWTH (UINT64_C(3) << 29)
#define OE_GROWTH_PER_SECOND 1100e6 /* what plain stores have been seen to fill, and a quarter */

static void oe_fill(struct rng *rng, char *text, size_t length)
{
    for (size_t i = 0; i < length; i += 8) {
        const uint64_t letters = (rng_next(rng) & 0x0f0f0f0f0f0f0f0fu) + 0x6161616161616161u;

        memcpy(text + i, &letters, length - i < 8 ? length - i : 8);
    }
}

/* Where the tables are, from the root. */
static void oe_find(struct oe *oe)
{
    void **tables[] = {(void **)&oe->warehouse, (void **)&oe->places, (void **)&oe->customers,
                       (void **)&oe->names,     (void **)&oe->stock,  (void **)&oe->items};

    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        *tables[i] = peer_at(&oe->peer, oe->root->tables[i]);
}

static void oe_load_customer(struct rng *rng, struct oe_customer *customer, uint32_t id,
                             uint32_t name)
{
    customer->balance = -1000;
    customer->ytd_payment = 1000;
    customer->payments = 1;
    customer->id = id;
    customer->credit_limit = 5000000;
    customer->discount = (uint16_t)rng_below(rng, 5001);
    memcpy(customer->credit, rng_below(rng, 10) == 0 ? "BC" : "GC", 2);
    oe_fill(rng, customer->first, sizeof customer->first);
    memcpy(customer->middle, "OE", 2);
    oe_name(name, customer->last);
    oe_fill(rng, customer->data, sizeof customer->data + sizeof customer->address);
}

static const struct oe_customer *oe_sorted; /* what oe_compare compares: qsort takes no argument */

static int oe_compare(const void *a, const void *b)
{
    const struct oe_customer *x = &oe_sorted[*(const uint16_t *)a];
    const struct oe_customer *y = &oe_sorted[*(const uint16_t *)b];
    const int last = memcmp(x->last, y->last, sizeof x->last);

    return last != 0 ? last : memcmp(x->first, y->first, sizeof x->first);
}

static void oe_load_names(const struct oe_customer *customers, struct oe_names *names)
{
    uint32_t name = 0;

    for (uint32_t i = 0; i < OE_CUSTOMERS; i++)
        names->customers[i] = (uint16_t)i;
    oe_sorted = customers;
    qsort(names->customers, OE_CUSTOMERS, sizeof names->customers[0], oe_compare);
    for (uint32_t i = 0; i < OE_CUSTOMERS; i++) {
        const char *last = customers[names->customers[i]].last;

        if (i > 0 && memcmp(last, names->last[name], sizeof names->last[0]) == 0)
            continue;
        name += i > 0;
        memcpy(names->last[name], last, sizeof names->last[0]);
        names->first[name] = (uint16_t)i;
    }
    names->first[OE_NAMES] = OE_CUSTOMERS; /* all names occur: the first thousand see to it */
}

static void oe_load_district(struct oe *oe, uint32_t w, uint32_t d)
{
    const size_t number = w * OE_DISTRICTS + d;
    struct oe_customer *customers = &oe->customers[number * OE_CUSTOMERS];
    struct oe_place *place = &oe->places[number];

    place->row.ytd = 3000000;
    place->row.next_order = OE_LOADED_ORDERS + 1;
    place->row.warehouse = (uint16_t)w;
    place->row.tax = (uint16_t)rng_below(&oe->draw.rng, 2001);
    place->row.id = (uint8_t)d;
    oe_fill(&oe->draw.rng, place->row.address, sizeof place->row.address);
    for (uint32_t i = 0; i < OE_CUSTOMERS; i++)
        oe_load_customer(&oe->draw.rng, &customers[i], i,
                         i < OE_NAMES ? i : oe_draw_name(&oe->draw));
    oe_load_names(customers, &oe->names[number]);
}

static void oe_load_warehouse(struct oe *oe, uint32_t w)
{
    struct rng *rng = &oe->draw.rng;

    oe->warehouse[w].ytd = 30000000;
    oe->warehouse[w].id = (uint16_t)w;
    oe->warehouse[w].tax = (uint16_t)rng_below(rng, 2001);
    oe_fill(rng, oe->warehouse[w].address, sizeof oe->warehouse[w].address);
    for (uint32_t i = 0; i < OE_ITEMS; i++) {
        struct oe_stock *stock = &oe->stock[(size_t)w * OE_ITEMS + i];

        stock->quantity = (int32_t)rng_between(rng, 10, 100);
        stock->warehouse = (uint16_t)w;
        oe_fill(rng, stock->info[0], sizeof stock->info + sizeof stock->data);
    }
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
    for (uint32_t i = 0; i < OE_ITEMS; i++) {
        oe->items[i].price = (int32_t)rng_between(&oe->draw.rng, 100, 10000);
        oe_fill(&oe->draw.rng, oe->items[i].name, 24 + 50);
    }
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

static void oe_load_lines(struct oe *oe, const struct oe_order *order, struct oe_line *lines)
{
    struct rng *rng = &oe->draw.rng;
    const bool delivered = order->row.carrier != 0;

    for (uint32_t i = 0; i < order->row.lines; i++) {
        lines[i] = (struct oe_line){.delivered = delivered ? 1 : 0,
                                    .order = order->row.id,
                                    .item = rng_below(rng, OE_ITEMS),
                                    .amount = delivered ? 0 : (int32_t)rng_between(rng, 1, 999999),
                                    .warehouse = order->row.warehouse,
                                    .supply = order->row.warehouse,
                                    .district = order->row.district,
                                    .number = (uint8_t)(i + 1),
                                    .quantity = 5};
        oe_fill(rng, lines[i].info, sizeof lines[i].info);
    }
}

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

        order->row = (struct oe_order_row){
            .id = first + i,
            .customer = customers[first + i - 1],
            .entered = 1,
            .warehouse = place->row.warehouse,
            .district = place->row.id,
            .carrier = (uint8_t)(delivered ? rng_between(&oe->draw.rng, 1, 10) : 0),
            .lines = (uint8_t)loading[i].count,
            .all_local = 1};
        order->lines = peer_to(&oe->peer, loading[i].lines);
        oe_load_lines(oe, order, loading[i].lines);
        if (delivered) {
            order->older = place->orders;
            place->orders = peer_to(&oe->peer, order);
        } else {
            oe_link_order(oe, place, order, loading[i].entry);
        }
    }
    peer_end(&tx);
}

/* The payment of 10.00 that each customer has made, those from `first` on. */
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
        rows[i]->row = (struct oe_history_row){.amount = 1000,
                                               .customer = first + i,
                                               .date = 1,
                                               .customer_warehouse = place->row.warehouse,
                                               .warehouse = place->row.warehouse,
                                               .customer_district = place->row.id,
                                               .district = place->row.id};
        oe_fill(&oe->draw.rng, rows[i]->row.data, sizeof rows[i]->row.data);
        rows[i]->older = place->history;
        place->history = peer_to(&oe->peer, rows[i]);
    }
    peer_end(&tx);
}

static void oe_load_lists(struct oe *oe, struct oe_place *place, enum durability class)
{
    uint16_t customers[OE_CUSTOMERS];

    for (uint32_t i = 0; i < OE_CUSTOMERS; i++)
        customers[i] = (uint16_t)i;
    for (uint32_t i = OE_CUSTOMERS; i-- > 1;) {
        const uint32_t j = rng_below(&oe->draw.rng, i + 1);
        const uint16_t moved = customers[i];

        customers[i] = customers[j];
        customers[j] = moved;
    }
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

/* What the run will allocate: its database and then as fast as it may, up to a limit
 * at which it ends early. */
static uint64_t oe_growth(const struct config *config)
{
    /* warm-up and latencies take a fifth each */
    const double wanted = 64e6 + OE_GROWTH_PER_SECOND * 1.4 * config->seconds;

    return wanted < (double)OE_MOST_GROWTH ? (uint64_t)wanted : OE_MOST_GROWTH;
}

static void oe_open(struct session *session)
{
    struct oe *oe = calloc(1, sizeof *oe);

    if (oe == NULL)
        bench_fail("out of memory");
    session->state = oe;
    oe->warehouses = oe_warehouses(session->size);
    oe->draw = oe_draw_start(session->lanes[0].rng.state);
    oe->room = oe_growth(session->config);
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

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry: the rows of a database as it is loaded (TPC-C 4.3.3), apart from how a peer
 * stores them.
 */
#ifndef BENCH_ORDERS_MAKE_H
#define BENCH_ORDERS_MAKE_H

#include <stdlib.h>

#include "orders.h"

#define OE_MOST_GROWTH (UINT64_C(3) << 29)
#define OE_GROWTH_PER_SECOND 1100e6 /* what plain stores have been seen to fill, and a quarter */

/* What the run will allocate: its database and then as fast as it may, up to a limit
 * at which it ends early. */
static inline uint64_t oe_growth(double seconds, double pace)
{
    /* warm-up and latencies take a fifth each */
    const double wanted = 32e6 + OE_GROWTH_PER_SECOND * pace * 1.4 * seconds;

    return wanted < (double)OE_MOST_GROWTH ? (uint64_t)wanted : OE_MOST_GROWTH;
}

static inline void oe_fill(struct rng *rng, char *text, size_t length)
{
    for (size_t i = 0; i < length; i += 8) {
        const uint64_t letters = (rng_next(rng) & 0x0f0f0f0f0f0f0f0fu) + 0x6161616161616161u;

        memcpy(text + i, &letters, length - i < 8 ? length - i : 8);
    }
}

static inline void oe_make_customer(struct rng *rng, struct oe_customer *customer, uint32_t id,
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

static inline void oe_make_district(struct rng *rng, struct oe_district *district, uint32_t w,
                                    uint32_t d)
{
    district->ytd = 3000000;
    district->next_order = OE_LOADED_ORDERS + 1;
    district->warehouse = (uint16_t)w;
    district->tax = (uint16_t)rng_below(rng, 2001);
    district->id = (uint8_t)d;
    oe_fill(rng, district->address, sizeof district->address);
}

static inline void oe_make_warehouse(struct rng *rng, struct oe_warehouse *warehouse, uint32_t w)
{
    warehouse->ytd = 30000000;
    warehouse->id = (uint16_t)w;
    warehouse->tax = (uint16_t)rng_below(rng, 2001);
    oe_fill(rng, warehouse->address, sizeof warehouse->address);
}

static inline void oe_make_stock(struct rng *rng, struct oe_stock *stock, uint32_t w)
{
    stock->quantity = (int32_t)rng_between(rng, 10, 100);
    stock->warehouse = (uint16_t)w;
    oe_fill(rng, stock->info[0], sizeof stock->info + sizeof stock->data);
}

static inline void oe_make_item(struct rng *rng, struct oe_item *item)
{
    item->price = (int32_t)rng_between(rng, 100, 10000);
    oe_fill(rng, item->name, sizeof item->name + sizeof item->data);
}

/* An order as it is loaded, `delivered` or not. */
static inline struct oe_order_row oe_make_loaded_order(struct rng *rng, uint32_t id,
                                                       uint32_t customer, uint32_t w, uint32_t d,
                                                       uint32_t lines)
{
    return (struct oe_order_row){.id = id,
                                 .customer = customer,
                                 .entered = 1,
                                 .warehouse = (uint16_t)w,
                                 .district = (uint8_t)d,
                                 .carrier =
                                     (uint8_t)(id <= OE_DELIVERED ? rng_between(rng, 1, 10) : 0),
                                 .lines = (uint8_t)lines,
                                 .all_local = 1};
}

static inline void oe_make_loaded_lines(struct rng *rng, const struct oe_order_row *order,
                                        struct oe_line *lines)
{
    const bool delivered = order->carrier != 0;

    for (uint32_t i = 0; i < order->lines; i++) {
        lines[i] = (struct oe_line){.delivered = delivered ? 1 : 0,
                                    .order = order->id,
                                    .item = rng_below(rng, OE_ITEMS),
                                    .amount = delivered ? 0 : (int32_t)rng_between(rng, 1, 999999),
                                    .warehouse = order->warehouse,
                                    .supply = order->warehouse,
                                    .district = order->district,
                                    .number = (uint8_t)(i + 1),
                                    .quantity = 5};
        oe_fill(rng, lines[i].info, sizeof lines[i].info);
    }
}

/* The payment of 10.00 that each customer has made. */
static inline struct oe_history_row oe_make_loaded_payment(struct rng *rng, uint32_t customer,
                                                           uint32_t w, uint32_t d)
{
    struct oe_history_row row = {.amount = 1000,
                                 .customer = customer,
                                 .date = 1,
                                 .customer_warehouse = (uint16_t)w,
                                 .warehouse = (uint16_t)w,
                                 .customer_district = (uint8_t)d,
                                 .district = (uint8_t)d};

    oe_fill(rng, row.data, sizeof row.data);
    return row;
}

static inline void oe_permute(struct rng *rng, uint16_t customers[OE_CUSTOMERS])
{
    for (uint32_t i = 0; i < OE_CUSTOMERS; i++)
        customers[i] = (uint16_t)i;
    for (uint32_t i = OE_CUSTOMERS; i-- > 1;) {
        const uint32_t j = rng_below(rng, i + 1);
        const uint16_t moved = customers[i];

        customers[i] = customers[j];
        customers[j] = moved;
    }
}

static const struct oe_customer *oe_sorted; /* what oe_compare compares: qsort takes no argument */

static inline int oe_compare(const void *a, const void *b)
{
    const struct oe_customer *x = &oe_sorted[*(const uint16_t *)a];
    const struct oe_customer *y = &oe_sorted[*(const uint16_t *)b];
    const int last = memcmp(x->last, y->last, sizeof x->last);

    return last != 0 ? last : memcmp(x->first, y->first, sizeof x->first);
}

/* The names of a district's customers, all of which occur: the first thousand see to it. */
static inline void oe_make_names(const struct oe_customer *customers, struct oe_names *names)
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
    names->first[OE_NAMES] = OE_CUSTOMERS;
}

#endif

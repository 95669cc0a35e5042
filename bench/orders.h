/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Order-entry, TPC-C's new-order, payment and delivery as the dissertation has them
 * (3.5.1), apart from how a peer stores them: rows, sizes, draws.  Serial, without
 * terminals, and so never to be called tpmC.  Money is in cents.
 */
#ifndef BENCH_ORDERS_H
#define BENCH_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "random.h"

#define OE_DISTRICTS 10u   /* a warehouse */
#define OE_CUSTOMERS 3000u /* a district */
#define OE_ITEMS 100000u
#define OE_LOADED_ORDERS 3000u /* a district */
#define OE_DELIVERED 2100u     /* of those */
#define OE_NAMES 1000u
#define OE_LINES 15u /* of an order, at most */
#define OE_DATA 500u /* C_DATA */

/* The rows; what one transaction changes together stands together. */
struct oe_warehouse {
    int64_t ytd;
    uint16_t id, tax;
    char address[77];
} __attribute__((packed));

struct oe_district {
    int64_t ytd;
    uint32_t next_order;
    uint16_t warehouse, tax;
    uint8_t id;
    char address[78];
} __attribute__((packed));

struct oe_customer {
    int64_t balance;
    int64_t ytd_payment;
    uint16_t payments, deliveries;
    uint32_t id;
    int64_t credit_limit;
    uint16_t discount;
    char credit[2];
    char first[16], middle[2], last[16];
    char data[OE_DATA];
    char address[85];
} __attribute__((packed));
#define OE_CUSTOMER_CHANGES (offsetof(struct oe_customer, id))

struct oe_history_row {
    int64_t amount;
    uint32_t customer, date;
    uint16_t customer_warehouse, warehouse;
    uint8_t customer_district, district;
    char data[24];
} __attribute__((packed));

struct oe_order_row {
    uint32_t id, customer, entered;
    uint16_t warehouse;
    uint8_t district, carrier, lines, all_local;
    char pad[6];
} __attribute__((packed));

struct oe_new_order_row {
    uint32_t id;
    uint16_t warehouse;
    uint8_t district, pad;
} __attribute__((packed));

struct oe_line {
    uint32_t delivered; /* date; 0: not yet */
    uint32_t order, item;
    int32_t amount;
    uint16_t warehouse, supply;
    uint8_t district, number, quantity;
    char info[24];
    char pad[7];
} __attribute__((packed));

struct oe_stock {
    int32_t quantity;
    uint32_t ytd;
    uint16_t orders, remote;
    uint16_t warehouse;
    char info[OE_DISTRICTS][24];
    char data[52];
} __attribute__((packed));
#define OE_STOCK_CHANGES (offsetof(struct oe_stock, warehouse))

struct oe_item {
    int32_t price;
    uint32_t image;
    char name[24];
    char data[50];
} __attribute__((packed));

_Static_assert(sizeof(struct oe_warehouse) == 89, "row size");
_Static_assert(sizeof(struct oe_district) == 95, "row size");
_Static_assert(sizeof(struct oe_customer) == 655, "row size");
_Static_assert(sizeof(struct oe_history_row) == 46, "row size");
_Static_assert(sizeof(struct oe_order_row) == 24, "row size");
_Static_assert(sizeof(struct oe_new_order_row) == 8, "row size");
_Static_assert(sizeof(struct oe_line) == 54, "row size");
_Static_assert(sizeof(struct oe_stock) == 306, "row size");
_Static_assert(sizeof(struct oe_item) == 82, "row size");

/* A district's customers by last name, then first name: a search among the names,
 * which are in alphabetical order, then a run of customers. */
struct oe_names {
    char last[OE_NAMES][16];
    uint16_t first[OE_NAMES + 1]; /* of its customers, below */
    uint16_t customers[OE_CUSTOMERS];
};

/* Of the customers with the `number`th name, by first name: the middle one, rounded up. */
static inline uint32_t oe_middle(const struct oe_names *names, uint32_t number)
{
    const uint32_t first = names->first[number], count = names->first[number + 1] - first;

    return names->customers[first + (count + 1) / 2 - 1];
}

/* What a database of `warehouses` holds after loading, in bytes. */
#define OE_WAREHOUSE_BYTES (69u << 20)
#define OE_ITEM_BYTES (8u << 20)

static inline uint32_t oe_warehouses(size_t size)
{
    const size_t fit = size < OE_ITEM_BYTES ? 0 : (size - OE_ITEM_BYTES) / OE_WAREHOUSE_BYTES;

    return fit < 1 ? 1 : fit > 1000 ? 1000 : (uint32_t)fit;
}

/* TPC-C 2.1.6, its constants drawn from the seed. */
struct oe_draw {
    struct rng rng;
    uint32_t c_name, c_customer, c_item;
};

static inline uint32_t oe_nurand(struct oe_draw *draw, uint32_t a, uint32_t c, uint32_t low,
                                 uint32_t high)
{
    const uint32_t mixed = rng_between(&draw->rng, 0, a) | rng_between(&draw->rng, low, high);

    return (mixed + c) % (high - low + 1) + low;
}

static inline struct oe_draw oe_draw_start(uint64_t seed)
{
    struct oe_draw draw = {.rng = {seed}};

    draw.c_name = rng_below(&draw.rng, 256);
    draw.c_customer = rng_below(&draw.rng, 1024);
    draw.c_item = rng_below(&draw.rng, 8192);
    return draw;
}

static inline uint32_t oe_draw_customer(struct oe_draw *draw)
{
    return oe_nurand(draw, 1023, draw->c_customer, 0, OE_CUSTOMERS - 1);
}

static inline uint32_t oe_draw_item(struct oe_draw *draw)
{
    return oe_nurand(draw, 8191, draw->c_item, 0, OE_ITEMS - 1);
}

static inline uint32_t oe_draw_name(struct oe_draw *draw)
{
    return oe_nurand(draw, 255, draw->c_name, 0, OE_NAMES - 1);
}

/* TPC-C 4.3.2.3: three syllables, padded with zeros. */
static inline void oe_name(uint32_t number, char name[16])
{
    static const char *const syllables[] = {"BAR", "OUGHT", "ABLE",  "PRI",   "PRES",
                                            "ESE", "ANTI",  "CALLY", "ATION", "EING"};
    const uint32_t digits[] = {number / 100, number / 10 % 10, number % 10};
    size_t at = 0;

    memset(name, 0, 16);
    for (int i = 0; i < 3; i++) {
        const size_t length = strlen(syllables[digits[i]]);

        memcpy(name + at, syllables[digits[i]], length); /* 3 * 5 at most */
        at += length;
    }
}

/* The number that oe_name makes this of. */
static inline uint32_t oe_name_number(const char name[16])
{
    char other[16];
    uint32_t number = 0;

    while (number < OE_NAMES && (oe_name(number, other), memcmp(name, other, 16) != 0))
        number++;
    return number;
}

/* A warehouse other than `home` in `percent` of 100. */
static inline uint32_t oe_draw_warehouse(struct oe_draw *draw, uint32_t home, uint32_t warehouses,
                                         uint32_t percent)
{
    uint32_t other;

    if (warehouses == 1 || rng_below(&draw->rng, 100) >= percent)
        return home;
    other = rng_below(&draw->rng, warehouses - 1);
    return other + (other >= home);
}

/* ---- new-order --------------------------------------------------------- */

struct oe_input_line {
    uint32_t item, supply, quantity;
};

struct oe_input {
    uint32_t warehouse, district, customer, count;
    bool all_local, unused_item;
    struct oe_input_line lines[OE_LINES];
};

static inline struct oe_input oe_draw_order(struct oe_draw *draw, uint32_t warehouses)
{
    struct oe_input in;

    in.warehouse = rng_below(&draw->rng, warehouses);
    in.district = rng_below(&draw->rng, OE_DISTRICTS);
    in.customer = oe_draw_customer(draw);
    in.count = rng_between(&draw->rng, 5, OE_LINES);
    in.unused_item = rng_below(&draw->rng, 100) == 0;
    in.all_local = true;
    for (uint32_t i = 0; i < in.count; i++) {
        struct oe_input_line *line = &in.lines[i];

        line->item = oe_draw_item(draw);
        line->supply = oe_draw_warehouse(draw, in.warehouse, warehouses, 1);
        line->quantity = rng_between(&draw->rng, 1, 10);
        in.all_local &= line->supply == in.warehouse;
    }
    if (in.unused_item)
        in.lines[in.count - 1].item = OE_ITEMS; /* no such item */
    return in;
}

static inline void oe_take_stock(struct oe_stock *stock, const struct oe_input *in,
                                 const struct oe_input_line *input)
{
    stock->quantity -= (int32_t)input->quantity;
    if (stock->quantity < 10)
        stock->quantity += 91;
    stock->ytd += input->quantity;
    stock->orders++;
    stock->remote += input->supply != in->warehouse;
}

/* Line `i` of order `id`, but for the stock's info. */
static inline struct oe_line oe_make_line(const struct oe_input *in, uint32_t i, uint32_t id,
                                          int32_t price)
{
    const struct oe_input_line *input = &in->lines[i];

    return (struct oe_line){.order = id,
                            .item = input->item,
                            .amount = (int32_t)input->quantity * price,
                            .warehouse = (uint16_t)in->warehouse,
                            .supply = (uint16_t)input->supply,
                            .district = (uint8_t)in->district,
                            .number = (uint8_t)(i + 1),
                            .quantity = (uint8_t)input->quantity};
}

static inline struct oe_order_row oe_make_order(const struct oe_input *in, uint32_t id,
                                                uint32_t date)
{
    return (struct oe_order_row){.id = id,
                                 .customer = in->customer,
                                 .entered = date,
                                 .warehouse = (uint16_t)in->warehouse,
                                 .district = (uint8_t)in->district,
                                 .lines = (uint8_t)in->count,
                                 .all_local = in->all_local};
}

/* What the terminal would show. */
static inline int64_t oe_order_total(int64_t sum, uint16_t discount, uint16_t tax1, uint16_t tax2)
{
    return sum * (10000 - discount) / 10000 * (10000 + tax1 + tax2) / 10000;
}

/* ---- payment ----------------------------------------------------------- */

struct oe_payment_input {
    uint32_t warehouse, district, customer_warehouse, customer_district;
    uint32_t name, customer; /* which of the two: by_name */
    int64_t amount;
    bool by_name;
};

static inline struct oe_payment_input oe_draw_payment(struct oe_draw *draw, uint32_t warehouses)
{
    struct oe_payment_input in = {.warehouse = rng_below(&draw->rng, warehouses),
                                  .district = rng_below(&draw->rng, OE_DISTRICTS)};

    in.customer_warehouse = oe_draw_warehouse(draw, in.warehouse, warehouses, 15);
    in.customer_district =
        in.customer_warehouse == in.warehouse ? in.district : rng_below(&draw->rng, OE_DISTRICTS);
    in.amount = rng_between(&draw->rng, 100, 500000);
    in.by_name = rng_below(&draw->rng, 100) < 60;
    if (in.by_name)
        in.name = oe_draw_name(draw);
    else
        in.customer = oe_draw_customer(draw);
    return in;
}

static inline void oe_pay(struct oe_customer *customer, int64_t amount)
{
    customer->balance -= amount;
    customer->ytd_payment += amount;
    customer->payments++;
}

static inline struct oe_history_row oe_make_payment(const struct oe_payment_input *in,
                                                    uint32_t customer, uint32_t date,
                                                    const char *warehouse, const char *district)
{
    struct oe_history_row row = {.amount = in->amount,
                                 .customer = customer,
                                 .date = date,
                                 .customer_warehouse = (uint16_t)in->customer_warehouse,
                                 .warehouse = (uint16_t)in->warehouse,
                                 .customer_district = (uint8_t)in->customer_district,
                                 .district = (uint8_t)in->district};

    memcpy(row.data, warehouse, 10);
    memcpy(row.data + 14, district, 10);
    return row;
}

/* TPC-C 2.5.2.2: a bad credit's payments are noted in front of C_DATA. */
static inline void oe_note(struct oe_customer *customer, const struct oe_history_row *row)
{
    char note[64];
    const int length =
        snprintf(note, sizeof note, "%u %u %u %u %u %lld|", row->customer, row->customer_district,
                 row->customer_warehouse, row->district, row->warehouse, (long long)row->amount);

    memmove(customer->data + length, customer->data, OE_DATA - (size_t)length);
    memcpy(customer->data, note, (size_t)length);
}

/* ---- The mix ----------------------------------------------------------- */

/* How many of what were acknowledged, in struct lane's `done`. */
enum { OE_ALL, OE_NEW_ORDERS, OE_PAYMENTS, OE_DELIVERIES, OE_DELIVERED_ORDERS };

enum oe_type { OE_NEW_ORDER, OE_PAYMENT, OE_DELIVERY };

/* 45 : 43 : 4 of TPC-C's five types, the two that only read left out. */
static inline enum oe_type oe_draw_type(struct oe_draw *draw)
{
    const uint32_t pick = rng_below(&draw->rng, 92);

    return pick < 45 ? OE_NEW_ORDER : pick < 88 ? OE_PAYMENT : OE_DELIVERY;
}

#endif

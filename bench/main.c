/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench: the commands, and the table of what runs on what.
 */
#include <string.h>

#include "bench.h"

extern const struct driver debit_credit_plain, debit_credit_floor, debit_credit_vista;
extern const struct driver order_entry_plain, order_entry_floor, order_entry_vista;
#ifdef HAVE_LIBPMEMOBJ
extern const struct driver debit_credit_pmemobj, order_entry_pmemobj;
#endif

static const struct driver *const drivers[] = {
    &debit_credit_vista, &debit_credit_plain, &debit_credit_floor,
    &order_entry_vista,  &order_entry_plain,  &order_entry_floor,
#ifdef HAVE_LIBPMEMOBJ
    &debit_credit_pmemobj, &order_entry_pmemobj,
#endif
};

const struct driver *bench_driver(const char *workload, const char *peer)
{
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (strcmp(drivers[i]->workload, workload) == 0 && strcmp(drivers[i]->peer, peer) == 0)
            return drivers[i];
    }
    return NULL;
}

static const struct {
    const char *name;
    int (*run)(struct config *config);
} commands[] = {
    {"main", bench_main_table},
    {"debit-credit", bench_one},
    {"order-entry", bench_one},
};

int main(int argc, char **argv)
{
    struct config config = bench_options(argc, argv);

    if (config.worker)
        return bench_worker(&config);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, config.command) == 0)
            return commands[i].run(&config);
    }
    bench_usage_error("no command '%s'", config.command);
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-bench: the commands, and the table of what runs on what.
 */
#include <string.h>

#include "bench.h"

#define MEMORY_WORKLOADS(peer) \
    extern const struct driver debit_credit_##peer, order_entry_##peer, synthetic_##peer;
#define HEAP_WORKLOADS(peer) \
    extern const struct driver heap_64_##peer, heap_mixed_##peer, heap_map_##peer, \
        heap_small_##peer;

#define ROWS_WORKLOADS(peer) \
    extern const struct driver debit_credit_##peer, order_entry_##peer, synthetic_##peer, \
        heap_map_##peer;

MEMORY_WORKLOADS(vista)
MEMORY_WORKLOADS(vista_auto)
MEMORY_WORKLOADS(floor)
MEMORY_WORKLOADS(plain)
HEAP_WORKLOADS(vista)
HEAP_WORKLOADS(plain)
extern const struct driver recovery_vista, recovery_heap_vista, recovery_plain;
extern const struct driver debit_credit_vista_two, synthetic_copy, debit_credit_faults,
    synthetic_faults;
MEMORY_WORKLOADS(vista_disk)
MEMORY_WORKLOADS(vista_disk_8)
MEMORY_WORKLOADS(vista_disk_64)
MEMORY_WORKLOADS(vista_disk_lazy)
MEMORY_WORKLOADS(vista_disk_everysec)
HEAP_WORKLOADS(vista_disk)
HEAP_WORKLOADS(vista_disk_lazy)
MEMORY_WORKLOADS(rvm)
MEMORY_WORKLOADS(rvm_8)
MEMORY_WORKLOADS(rvm_64)
MEMORY_WORKLOADS(rvm_lazy)
extern const struct driver debit_credit_floor_sync, synthetic_floor_sync, debit_credit_floor_ring,
    synthetic_floor_ring;
#ifdef HAVE_LIBPMEMOBJ
MEMORY_WORKLOADS(pmemobj)
HEAP_WORKLOADS(pmemobj)
#endif
#ifdef HAVE_LMDB
ROWS_WORKLOADS(lmdb)
#endif
#ifdef HAVE_SQLITE
ROWS_WORKLOADS(sqlite)
#endif

extern const struct driver latency_quiet_vista, latency_truncating_vista, latency_truncating_floor,
    latency_fresh_vista, latency_fresh_floor, recovery_disk_vista, recovery_disk_floor,
    map_sparse_vista, malloc_large_vista, footprint_vista;

static const struct driver *const drivers[] = {
    &latency_quiet_vista,
    &latency_truncating_vista,
    &latency_truncating_floor,
    &latency_fresh_vista,
    &latency_fresh_floor,
    &recovery_disk_vista,
    &recovery_disk_floor,
    &map_sparse_vista,
    &malloc_large_vista,
    &footprint_vista,
    &debit_credit_vista,
    &order_entry_vista,
    &synthetic_vista,
    &heap_64_vista,
    &heap_mixed_vista,
    &heap_map_vista,
    &recovery_vista,
    &recovery_heap_vista,
    &heap_small_vista,
    &recovery_plain,
    &synthetic_copy,
    &debit_credit_floor,
    &order_entry_floor,
    &synthetic_floor,
    &debit_credit_plain,
    &order_entry_plain,
    &synthetic_plain,
    &heap_64_plain,
    &heap_mixed_plain,
    &heap_map_plain,
    &heap_small_plain,
    &debit_credit_vista_auto,
    &order_entry_vista_auto,
    &synthetic_vista_auto,
    &debit_credit_vista_two,
    &debit_credit_faults,
    &synthetic_faults,
    &debit_credit_vista_disk,
    &order_entry_vista_disk,
    &synthetic_vista_disk,
    &heap_64_vista_disk,
    &heap_mixed_vista_disk,
    &heap_map_vista_disk,
    &heap_small_vista_disk,
    &debit_credit_vista_disk_8,
    &order_entry_vista_disk_8,
    &synthetic_vista_disk_8,
    &debit_credit_vista_disk_64,
    &order_entry_vista_disk_64,
    &synthetic_vista_disk_64,
    &debit_credit_vista_disk_lazy,
    &order_entry_vista_disk_lazy,
    &synthetic_vista_disk_lazy,
    &heap_64_vista_disk_lazy,
    &heap_mixed_vista_disk_lazy,
    &heap_map_vista_disk_lazy,
    &heap_small_vista_disk_lazy,
    &debit_credit_vista_disk_everysec,
    &order_entry_vista_disk_everysec,
    &synthetic_vista_disk_everysec,
    &debit_credit_rvm,
    &order_entry_rvm,
    &synthetic_rvm,
    &debit_credit_rvm_8,
    &order_entry_rvm_8,
    &synthetic_rvm_8,
    &debit_credit_rvm_64,
    &order_entry_rvm_64,
    &synthetic_rvm_64,
    &debit_credit_rvm_lazy,
    &order_entry_rvm_lazy,
    &synthetic_rvm_lazy,
    &debit_credit_floor_sync,
    &synthetic_floor_sync,
    &debit_credit_floor_ring,
    &synthetic_floor_ring,
#ifdef HAVE_LIBPMEMOBJ
    &debit_credit_pmemobj,
    &order_entry_pmemobj,
    &synthetic_pmemobj,
    &heap_64_pmemobj,
    &heap_mixed_pmemobj,
    &heap_map_pmemobj,
    &heap_small_pmemobj,
#endif
#ifdef HAVE_LMDB
    &debit_credit_lmdb,
    &order_entry_lmdb,
    &synthetic_lmdb,
    &heap_map_lmdb,
#endif
#ifdef HAVE_SQLITE
    &debit_credit_sqlite,
    &order_entry_sqlite,
    &synthetic_sqlite,
    &heap_map_sqlite,
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

bool bench_peer_built(const char *peer)
{
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        if (strcmp(drivers[i]->peer, peer) == 0)
            return true;
    }
    return false;
}

static const struct {
    const char *name;
    int (*run)(struct config *config);
} commands[] = {
    {"main", bench_main_table},
    {"debit-credit", bench_one},
    {"order-entry", bench_one},
    {"synthetic", bench_synthetic},
    {"heap", bench_heap},
    {"recovery", bench_recovery},
    {"threads", bench_threads},
    {"sizes", bench_sizes},
    {"disk", bench_disk},
    {"segments", bench_segments},
    {"all", bench_all},
    {"grams", bench_grams},
    {"checkpoint", bench_checkpoint},
    {"protocols", bench_protocols},
    {"failures", bench_failures},
    {"rvm", bench_rvm},
};

int main(int argc, char **argv)
{
    struct config config = bench_options(argc, argv);

    if (config.worker)
        return bench_worker(&config);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, config.command) != 0)
            continue;
        if (config.verify != NULL && commands[i].run != bench_one)
            bench_usage_error("--verify wants debit-credit or order-entry");
        return commands[i].run(&config);
    }
    bench_usage_error("no command '%s'", config.command);
}

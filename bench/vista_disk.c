/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on vista's disk class, each commit flushed.
 */
#define PEER_NAME "vista-disk"
#define PEER_SYMBOL(workload) workload##_vista_disk
#define PEER_CLASSES (1u << CLASS_SYNC)
#define VISTA_GROUP 1u
#define VISTA_FLUSH_MS 0
#include "peer_vista_disk.h"

#include "debit_credit.h"
#include "heap_rows.h"
#include "heap_small.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

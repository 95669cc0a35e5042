/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on vista's disk class, no commit flushed (VISTA_NO_FLUSH).
 */
#define PEER_NAME "vista-disk-lazy"
#define PEER_SYMBOL(workload) workload##_vista_disk_lazy
#define PEER_CLASSES (1u << CLASS_KILL)
#define VISTA_GROUP 0u
#define VISTA_FLUSH_MS 0
#include "peer_vista_disk.h"

#include "debit_credit.h"
#include "heap_rows.h"
#include "heap_small.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

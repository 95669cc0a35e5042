/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on vista's disk class, flushed each second (flush_ms), no commit by itself.
 */
#define PEER_NAME "vista-disk-everysec"
#define PEER_SYMBOL(workload) workload##_vista_disk_everysec
#define PEER_CLASSES (1u << CLASS_KILL)
#define VISTA_GROUP 0u
#define VISTA_FLUSH_MS 1000
#include "peer_vista_disk.h"

#include "debit_credit.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

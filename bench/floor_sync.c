/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on an undo log and one synced write: the floor of the disk class.
 */
#define PEER_NAME "floor-sync"
#define PEER_SYMBOL(workload) workload##_floor_sync
#define PEER_CLASSES (1u << CLASS_SYNC)
#define REDO_SYNC 1
#include "peer_redo.h"

#include "debit_credit.h"
#include "synthetic.h"

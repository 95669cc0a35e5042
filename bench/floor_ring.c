/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on an undo log and a ring: the floor of the disk class without flushes.
 */
#define PEER_NAME "floor-ring"
#define PEER_SYMBOL(workload) workload##_floor_ring
#define PEER_CLASSES (1u << CLASS_KILL)
#define REDO_SYNC 0
#include "peer_redo.h"

#include "debit_credit.h"
#include "synthetic.h"

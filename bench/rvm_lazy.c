/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on RVM, no commit flushed (no_flush).
 */
#define PEER_NAME "rvm-lazy"
#define PEER_SYMBOL(workload) workload##_rvm_lazy
#define PEER_CLASSES (1u << CLASS_KILL)
#define RVM_GROUP 0u
#include "peer_rvm.h"

#include "debit_credit.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

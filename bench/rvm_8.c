/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on RVM, of eight commits the last one flushed.
 */
#define PEER_NAME "rvm-8"
#define PEER_SYMBOL(workload) workload##_rvm_8
#define PEER_CLASSES (1u << CLASS_SYNC)
#define RVM_GROUP 8u
#include "peer_rvm.h"

#include "debit_credit.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on vista.
 */
#include "peer_vista.h"

#include "debit_credit.h"
#include "heap_rows.h"
#include "heap_small.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

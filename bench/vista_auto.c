/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on vista with automatic ranges: nothing is declared.
 */
#include "peer_vista_auto.h"

#include "debit_credit.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workload on vista with two segments and transactions over both.
 */
#include "peer_vista_two.h"

#include "debit_credit.h"

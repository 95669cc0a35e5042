/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on a bare loop of page protection.
 */
#include "peer_faults.h"

#include "debit_credit.h"
#include "synthetic.h"

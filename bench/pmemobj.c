/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on libpmemobj.
 */
#ifdef HAVE_LIBPMEMOBJ
#include "peer_pmemobj.h"

#include "debit_credit.h"
#include "heap_rows.h"
#include "heap_small.h"
#include "order_entry.h"
#include "order_entry_check.h"
#include "order_entry_load.h"
#include "synthetic.h"
#else
typedef int bench_nothing_here; /* a translation unit is never empty */
#endif

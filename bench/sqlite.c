/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The workloads on sqlite.
 */
#ifdef HAVE_SQLITE
#include "rows_sqlite.h"

#include "debit_credit_rows.h"
#include "map_rows.h"
#include "order_entry_rows.h"
#include "order_entry_rows_load.h"
#include "synthetic_rows.h"
#else
typedef int bench_no_sqlite; /* a translation unit is never empty */
#endif

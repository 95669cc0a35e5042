/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a peer that is a database gives to a workload: tables of rows with 64-bit
 * keys.  Each rows_*.h defines these; the workloads in *_rows.h, included after it,
 * are the same for all of them.
 *
 *     struct rows                    an open database, one thread
 *     ROWS_NAME, ROWS_SYMBOL(workload), ROWS_CLASSES
 *
 *     rows_open(rows, session, tables, count)     names of tables; creates the file, or
 *                                                 opens the one there
 *     rows_close(rows)
 *     rows_begin(rows), rows_commit(rows), rows_abort(rows)
 *     rows_insert(rows, table, key, row, size)    a key that is not there
 *     rows_append(rows, table, key, row, size)    a key above all that are there
 *     rows_update(rows, table, key, row, size)    one that is
 *     rows_fill(rows, table, key, byte, size)     the same with `size` equal bytes
 *     rows_add(rows, table, key, delta, size)     to the number that a row begins with
 *     rows_get(rows, table, key, row, size)       false: no such key
 *     rows_first(rows, table, low, high, &key)    the least key in it; false: none
 *     rows_delete(rows, table, key)
 *     rows_each(rows, table, visit, context)      every row, by key, in a transaction
 *
 * A row is a struct of the workload's that begins with an int64_t; a row's length
 * does not change.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define UNUSED __attribute__((unused))

#define ROWS_BATCH 16u          /* transactions between two looks at the clock */
#define ROWS_MAX 11             /* tables */
#define ROWS_LONGEST (1u << 20) /* bytes of a row */

/* `row` is good until this returns. */
typedef void rows_visit(void *context, uint64_t key, const void *row, size_t size);

#endif

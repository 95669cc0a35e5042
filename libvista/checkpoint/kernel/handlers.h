/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The handlers of the table's rows, declared by the rows themselves: a handler takes the guest's call,
 * does what vista-run makes of it, and returns its result, minus an errno, or one of trap.h's.
 */
#ifndef VI_CHECKPOINT_HANDLERS_H
#define VI_CHECKPOINT_HANDLERS_H

#include "checkpoint/kernel/table_rows.h"
#include "checkpoint/trap/trap.h"

/* A row is a declarator; rows that have no handler of their own repeat that of vi_pass. */
#define CALL(class, name, handler) vi_call_##handler(struct vi_call *call)
#define CALL_FD(class, name, handler) vi_call_##handler(struct vi_call *call)
#define PASS(class, name) vi_pass(struct vi_call *call)
#define PASS_FD(class, name) vi_pass(struct vi_call *call)
#define EMPTY(name) vi_pass(struct vi_call *call)

long VISIBLE_ROWS, FILE_ROWS, UNDETERMINED_ROWS, STATE_ROWS;

#undef CALL
#undef CALL_FD
#undef PASS
#undef PASS_FD
#undef EMPTY

#endif

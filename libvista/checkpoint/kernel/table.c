/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of system calls: see table.h.
 */
#include "checkpoint/kernel/table.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "checkpoint/engine/run_report.h"
#include "checkpoint/files/descriptors.h"
#include "checkpoint/kernel/dc_call.h"
#include "checkpoint/kernel/guest_process.h"
#include "checkpoint/kernel/handlers.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/kernel/table_rows.h"
#include "checkpoint/kernel/terminal.h"
#include "checkpoint/kernel/wait.h"
#include "checkpoint/libdc/dc_protocol.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/protocol/trace.h"
#include "checkpoint/trap/kills.h"
#include "checkpoint/trap/signals.h"

/* What the runtime has to do with it is done. */
static long nothing(struct vi_call *call)
{
    (void)call;
    return 0;
}

/* Rows of the table: a call of a descriptor, and of none; with a handler, or made as it is; refused. */
#define ROW(class, name, handler, descriptor) \
    [SYS_##name] = {#name, VI_CLASS_##class, handler, descriptor, 0}
#define CALL_FD(class, name, handler) ROW(class, name, vi_call_##handler, true)
#define CALL(class, name, handler) ROW(class, name, vi_call_##handler, false)
#define PASS_FD(class, name) ROW(class, name, vi_pass, true)
#define PASS(class, name) ROW(class, name, vi_pass, false)
#define EMPTY(name) ROW(STATE, name, nothing, false)
#define REFUSED_WITH(error, name) [SYS_##name] = {#name, VI_CLASS_REFUSED, NULL, false, error}
#define REFUSED(name) REFUSED_WITH(ENOSYS, name)
#define FORBIDDEN(name) REFUSED_WITH(EPERM, name)
#define ABSENT(name) [SYS_##name] = {#name, VI_CLASS_ABSENT, NULL, false, ENOSYS}

static const struct vi_row rows[VI_ROWS] = {
    VISIBLE_ROWS, FILE_ROWS, UNDETERMINED_ROWS, STATE_ROWS, ABSENT_ROWS, REFUSED_ROWS,
};

const struct vi_row *vi_table_row(long number)
{
    return number >= 0 && number < VI_ROWS && rows[number].name != NULL ? &rows[number] : NULL;
}

static long refuse_unknown(long number)
{
    static bool told;

    if (!told)
        vi_say("system call %ld is refused: ENOSYS, it is not known", number);
    told = true;
    return -ENOSYS;
}

static long make_undetermined(const struct vi_row *row, struct vi_call *call)
{
    long result;
    bool logged;

    if (vi_protocol_replay(call, &result))
        return result;
    result = row->handler(call);
    if (vi_protocol_defers(result))
        return result;
    logged = vi_protocol_log(call, result);
    vi_trace_after(call, result, logged);
    if (!logged)
        vi_protocol_undetermined(row->name);
    return result;
}

long vi_table_call(struct vi_call *call)
{
    const struct vi_row *row = vi_kill_row(vi_table_row(call->number));
    long result;

    if (call->number == VI_DC_CALL)
        return vi_call_dc(call);
    if (row == NULL)
        return refuse_unknown(call->number);
    if (row->handler == NULL) {
        if (row->class == VI_CLASS_REFUSED)
            vi_refuse(row->name, strerrorname_np(row->error));
        return -row->error;
    }
    if (row->descriptor && (int)call->arguments[0] >= VI_DESCRIPTORS)
        return -EBADF;
    vi_trace_before(call, row->descriptor);
    if (row->class == VI_CLASS_UNDETERMINED ||
        (row->class == VI_CLASS_READ && !vi_files_is_own(call->arguments[0])))
        return make_undetermined(row, call);
    result = row->handler(call);
    vi_trace_after(call, result, false);
    return result;
}

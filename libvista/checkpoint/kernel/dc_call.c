/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libdc's call: see dc_call.h.
 */
#include "checkpoint/kernel/dc_call.h"

#include <errno.h>

#include "checkpoint/engine/guest_memory.h"
#include "checkpoint/kernel/memory_calls.h"
#include "checkpoint/libdc/dc_protocol.h"
#include "checkpoint/protocol/protocol.h"
#include "checkpoint/trap/signals.h"
#include "dc.h"

static bool resumed;

static long init(uint64_t interval, uint64_t number)
{
    if (interval > 1000000 || number > 63)
        return -EINVAL;
    vi_engine.control->recovery_signal = number;
    if (interval != 0)
        vi_signals_restart(interval);
    return 0;
}

static long tell(uint64_t to)
{
    if (!vi_memory_writable(to, sizeof(struct dc_info)))
        return -EFAULT;
    vi_protocol_undetermined("dc_info");
    *(struct dc_info *)to =
        (struct dc_info){.commits = vi_engine.header->commits, .resumes = resumed};
    return 0;
}

long vi_call_dc(struct vi_call *call)
{
    const uint64_t *a = call->arguments;

    switch (a[0]) {
    case VI_DC_INIT:
        return init(a[1], a[2]);
    case VI_DC_CHECKPOINT:
        vi_trap_commit(call);
        return 0;
    case VI_DC_INFO:
        return tell(a[1]);
    default:
        return -ENOSYS;
    }
}

void vi_dc_resumed(void)
{
    resumed = true;
    if (vi_engine.control->recovery_signal != 0)
        vi_signals_raise((int)vi_engine.control->recovery_signal);
}

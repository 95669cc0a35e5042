/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The runtime from its start to the guest's first instruction, or its next.
 */
#ifndef VI_CHECKPOINT_RUNTIME_H
#define VI_CHECKPOINT_RUNTIME_H

#include "checkpoint/tool/run_options.h"

/* Runs in a process of its own, a child of the supervisor. */
_Noreturn void vi_runtime_run(const struct vi_options *options);

#endif

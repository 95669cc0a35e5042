/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The supervisor: starts the runtime, resumes it when it is killed, and ends as the program does.
 */
#ifndef VI_CHECKPOINT_SUPERVISOR_H
#define VI_CHECKPOINT_SUPERVISOR_H

#include "checkpoint/tool/run_options.h"

/* Returns the status to exit with. */
int vi_supervisor_run(const struct vi_options *options);
/* Tells the supervisor of a file to stop; waits until it has. */
int vi_supervisor_stop(const char *file);

#endif

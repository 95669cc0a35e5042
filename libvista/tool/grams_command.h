/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Endpoints, as `vista grams` lists them and `vista check` judges them.
 */
#ifndef VI_TOOL_GRAMS_COMMAND_H
#define VI_TOOL_GRAMS_COMMAND_H

#include "tool/main.h"
#include "vista.h"

/* Checks the tables of all endpoints of a clean segment, and reports.  -1: EBADMSG. */
int tool_grams_check(const char *path, vista_report_fn report, void *arg);

/* Breaks all sessions of a segment that may be torn, which is mapped, at its own address or not. */
int tool_grams_break(vista_segment *segment);

#endif

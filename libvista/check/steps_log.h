/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steps: the log's slots with their chains of chunks, and the records of those that are not idle.
 */
#ifndef VI_CHECK_STEPS_LOG_H
#define VI_CHECK_STEPS_LOG_H

#include "check/findings.h"

void vi_check_slots(struct vi_check *check);
void vi_check_records(struct vi_check *check);

#endif

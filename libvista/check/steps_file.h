/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steps: the state of the superblock, and the file's size.
 */
#ifndef VI_CHECK_STEPS_FILE_H
#define VI_CHECK_STEPS_FILE_H

#include "check/findings.h"

void vi_check_state(struct vi_check *check);
void vi_check_size(struct vi_check *check);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The step of a check that looks at a redo log.
 */
#ifndef VI_CHECK_STEPS_REDO_H
#define VI_CHECK_STEPS_REDO_H

struct vi_check;

void vi_check_redo(struct vi_check *check);

#endif

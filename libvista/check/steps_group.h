/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The step of a check that looks at what a file says of a group; and its members, when a log that
 * is not idle names them.
 */
#ifndef VI_CHECK_STEPS_GROUP_H
#define VI_CHECK_STEPS_GROUP_H

#include "check/findings.h"
#include "core/members.h"

void vi_check_group(struct vi_check *check);

/* The file's table of members, for what looks for one in it. */
struct vi_logs vi_check_logs(const struct vi_check *check);

/* The check of the member with an address in a record, which has looked at its file; `offset` is
 * made that of its data.  NULL: there is none; or it could not be looked at, which was noted:
 * `*left`. */
const struct vi_check *vi_check_member(struct vi_check *check, const struct vi_member *entry,
                                       bool *left);

void vi_check_members_close(struct vi_check *check);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Child processes of the guest.
 *
 *     supervisor ------------------ supervisor of the child
 *         |       copies FILE           |
 *      runtime     to FILE.pid       runtime
 *
 * Before a fork is a checkpoint.  The supervisor copies its file and starts another supervisor, of the copy:
 * the child is a run that is resumed from there, behind the call.  So it is recovered as its parent is.  The
 * fork is known by its number among its parent's, and made once however often it is asked for.
 * A child that has ended is kept until the parent has committed that it was told of it.
 */
#ifndef VI_CHECKPOINT_CHILDREN_H
#define VI_CHECKPOINT_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>

/* Of a run that is resumed: what is its own and not its parent's, if it is a child.  True: it begins only
 * now.  The run ends when it had children that its supervisor does not have. */
bool vi_children_resumed(void);
/* The program has just opened this.  What it appends to parent and children may have opened by its name, too:
 * to undo what one has written would cut off what the others have. */
void vi_children_opened(uint64_t fd);
/* Has the supervisor one, of whose end no checkpoint tells? */
bool vi_children_any(void);
/* A checkpoint is made. */
void vi_children_settle(void);

#endif

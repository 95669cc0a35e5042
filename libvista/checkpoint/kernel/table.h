/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The table of system calls: of each its class and what the runtime does.  A call that is not in
 * it is refused, not passed on.
 */
#ifndef VI_CHECKPOINT_TABLE_H
#define VI_CHECKPOINT_TABLE_H

#include "checkpoint/trap/trap.h"

enum vi_class {
    VI_CLASS_REFUSED,      /* with an error that the program is told, and a line for the user */
    VI_CLASS_ABSENT,       /* refused without a word: programs try it and do without */
    VI_CLASS_STATE,        /* of the process alone: its result is the same each time */
    VI_CLASS_UNDETERMINED, /* its result may differ when it is made again */
    VI_CLASS_READ,         /* so, but of a file of the program's own */
    VI_CLASS_FILE,         /* changes files: undone */
    VI_CLASS_VISIBLE       /* others see it at once */
};

struct vi_row {
    const char *name;
    enum vi_class class;
    long (*handler)(struct vi_call *call);
    bool descriptor; /* the first argument is one, and the runtime's are not there */
    int error;       /* of what is refused */
};

#define VI_ROWS 512

/* The row of a call; NULL: there is none. */
const struct vi_row *vi_table_row(long number);
long vi_table_call(struct vi_call *call);

#endif

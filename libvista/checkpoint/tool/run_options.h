/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The command line of vista-run.
 */
#ifndef VI_CHECKPOINT_RUN_OPTIONS_H
#define VI_CHECKPOINT_RUN_OPTIONS_H

#include <limits.h>
#include <stdbool.h>

struct vi_options {
    char file[PATH_MAX];
    char program[PATH_MAX]; /* found in PATH */
    char **arguments;       /* of the program, its name first */
    const char *trace, *output;
    int protocol; /* -1: that of the file, or the first */
    bool fresh, info, stop, accept_changed, late;
    unsigned every; /* milliseconds; 0: never for time's sake */
    int retries;
};

/* Reads the command line; an exit status, or -1 when there is something to run. */
int vi_options_read(struct vi_options *options, int argc, char **argv);

#endif

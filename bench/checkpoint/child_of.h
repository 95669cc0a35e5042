/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The process that a supervisor runs, for those that kill it: the bench, and the tests.
 */
#ifndef BENCH_CHILD_OF_H
#define BENCH_CHILD_OF_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

/* The first child of a process, or 0. */
static inline pid_t child_of(pid_t pid)
{
    char name[64], text[32] = "";
    FILE *children;

    snprintf(name, sizeof name, "/proc/%d/task/%d/children", pid, pid);
    children = fopen(name, "re");
    if (children != NULL) {
        if (fgets(text, sizeof text, children) == NULL)
            text[0] = '\0';
        fclose(children);
    }
    return (pid_t)atoi(text);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What `vista-bench checkpoint` and `vista-bench protocols` have in common: the interactive programs,
 * vista-run, its checkpoint file, and a terminal.
 */
#ifndef BENCH_INTERACTIVE_H
#define BENCH_INTERACTIVE_H

#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../bench.h"

enum interactive { NVI, SC, MAGIC, INTERACTIVES };

static const struct {
    const char *name;
    const char *command[6];
} interactive[INTERACTIVES] = {
    {"nvi", {"/usr/bin/nvi", NULL}},
    {"sc", {"/usr/bin/sc", NULL}},
    {"magic",
     {"/usr/lib/x86_64-linux-gnu/magic/tcl/magicdnull", "-nowrapper", "-dnull", "-noconsole",
      NULL}},
};

static char folder[PATH_MAX]; /* of this program */
static char runner[PATH_MAX + 16], file[PATH_MAX];

#define MEMBERS 4 /* of a group of processes, each with a checkpoint file of its own */

struct names {
    char file[PATH_MAX + 4], undo[PATH_MAX + 16], trace[PATH_MAX + 16];
};

/* Of a member's files, or, of -1, of a process that runs by itself. */
static struct names names_of(int member)
{
    struct names names;
    char suffix[4] = "";

    if (member >= 0)
        snprintf(suffix, sizeof suffix, ".%d", member % MEMBERS);
    snprintf(names.file, sizeof names.file, "%s%s", file, suffix);
    snprintf(names.undo, sizeof names.undo, "%s%s.undo", file, suffix);
    snprintf(names.trace, sizeof names.trace, "%s%s.trace", file, suffix);
    return names;
}

/* A run that fails leaves its files. */
static void remove_files(void)
{
    for (int member = -1; member < MEMBERS; member++) {
        const struct names names = names_of(member);

        (void)unlink(names.file);
        (void)unlink(names.undo);
        (void)unlink(names.trace);
    }
}

/* vista-run, beside this program, and the names of its files. */
static void find_runner(const char *path)
{
    const ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);

    if (length < 0)
        bench_fail("cannot find this program");
    folder[length] = '\0';
    dirname(folder);
    snprintf(runner, sizeof runner, "%s/../vista-run", folder);
    if (access(runner, X_OK) != 0)
        bench_fail("vista-run is not built beside this program");
    snprintf(file, sizeof file, "%s/bench-%d.dc", path != NULL ? path : "/dev/shm", (int)getpid());
    atexit(remove_files);
}

/* Reads until nothing came for `quiet` ms. */
static inline void drain(int master, int quiet)
{
    struct pollfd ready = {.fd = master, .events = POLLIN};
    char bytes[4096];

    while (poll(&ready, 1, quiet) == 1 && read(master, bytes, sizeof bytes) > 0)
        continue;
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Sessions: a program under vista-run on a pseudo-terminal, typed at, killed where the test says,
 * and what came of it.
 */
#ifndef VISTA_TEST_SESSION_H
#define VISTA_TEST_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "screen.h"

#define SESSION_EVENTS 20000
#define SESSION_BREACH 320

struct session_event {
    uint64_t message;
    int64_t result;
    uint32_t descriptor;
    bool resumed; /* since the event before */
};

struct session_result {
    int status; /* as waitpid tells */
    struct screen screen;
    struct session_event events[SESSION_EVENTS];
    unsigned count;
    unsigned resumes, commits;
    uint64_t calls;
    uint64_t quick_kills;        /* at calls that went without the trap */
    char breach[SESSION_BREACH]; /* of the Save-work rule, in words; empty: there is none */
};

struct session_script {
    const char *name;
    const char *const *arguments;
    const char *const *keys; /* typed one after the other, each when the program waits */
    const char *protocol;    /* NULL: as vista-run has it */
};

/* Runs a script in the present folder with vista-run `runner`.  `kills` as in VISTA_KILLS, or NULL;
 * `random_us`: besides, the process is killed by chance at intervals of so many microseconds on
 * average, 0: it is not.  False: it did not end, or was never ready. */
bool session_run(const char *runner, const struct session_script *script, const char *kills,
                 unsigned random_us, uint64_t seed, struct session_result *result);

/* Are the events of `run` those of `reference`, but for events that a resumption repeats? */
bool session_same_events(const struct session_result *reference, const struct session_result *run);

#endif

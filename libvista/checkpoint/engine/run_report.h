/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the runtime tells its supervisor: a page that both have mapped, and that outlives the
 * runtime's process.  And how the runtime speaks to the user.
 */
#ifndef VI_CHECKPOINT_RUN_REPORT_H
#define VI_CHECKPOINT_RUN_REPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "checkpoint/engine/layout.h"

/* A child process of the guest, which has a supervisor of its own. */
struct vi_child {
    uint64_t birth; /* which of its parent's children it is, the first is 1; 0: unused */
    int32_t pid;    /* of its supervisor, by which the guest knows it */
    int32_t status; /* as of waitpid(2), when it has ended */
    uint32_t ended;
    uint32_t reaped; /* that the parent has been told, and will not ask again, is committed */
};

struct vi_report {
    uint64_t ended;           /* the guest is about to exit: its status plus 1, and the file goes */
    uint64_t stopped;         /* the run ends, and the file stays */
    uint64_t refused;         /* the runtime, or a child's, could not go on: nor could another */
    uint64_t commits;         /* since the process was started */
    uint64_t calls;           /* of the guest, without those that a kill took back */
    uint64_t committed_calls; /* of them, before the last checkpoint */
    uint64_t kills;           /* that a test has made */
    int32_t pid, parent;      /* of the supervisor, and its parent's at the start */
    struct vi_report *first;  /* that of the run's first process, which all of them see */
    int32_t sends_to_group;   /* in it: the process that has last sent a signal to a group */
    int32_t ends;             /* an eventfd that counts ends of children */
    struct vi_child children[VI_CHILDREN];
    /* What is to be written for the guest, or was read for it; of the event with this key so much has been
     * written, and by group so much was read. */
    uint64_t sent_key, sent;
    uint64_t received[VI_DESCRIPTORS];
    unsigned char bytes[VI_SENT_AT_ONCE], read_bytes[VI_ZONE_SIZE];
    uint64_t read_size;
};

extern struct vi_report *vi_report;

/* Writes a line to the standard error of the run, whatever the guest did to its own. */
void vi_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, once for each `subject`, which must be a string constant. */
void vi_refuse(const char *subject, const char *why);
/* The same, and the run ends with what was committed. */
_Noreturn void vi_give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Moves a descriptor to a number that the guest does not see; -1 stays -1. */
int vi_report_raise(int fd);
/* Keeps the standard error there. */
void vi_report_keep_stderr(void);

#endif

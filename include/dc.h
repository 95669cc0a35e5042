/* SPDX-License-Identifier: BSD-3-Clause
 *
 * dc.h - Discount Checking for a program that asks for it: two lines of source, and it survives
 * kill -9 at any instruction.
 *
 *     #include <dc.h>
 *
 *     int main(void)
 *     {
 *         dc_init("simulation.dc", NULL);
 *         ...
 *     }
 *
 * The design is that of Lowell and Chen ("Discount Checking: Transparent, Low-Overhead Recovery for
 * General Applications", 1998; Lowell's dissertation, 1999, chapter 5).  The program runs under
 * vista-run(1), and what holds there holds here: see vista-checkpoint(7).
 */
#ifndef DC_H
#define DC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of the run. */
struct dc_info {
    uint64_t commits; /* checkpoints so far, of all processes that the run has had */
    uint64_t resumes; /* 1 if this process was resumed from one, 0 if it has begun */
    uint64_t reserved[6];
};

struct dc_options {
    const char *protocol; /* when to commit: "cpvs", before every visible event; NULL: it */
    unsigned interval_ms; /* and every so many milliseconds; 0: not for time's sake */
    unsigned reserved0;   /* zero */
    void *argument;       /* of the two functions */
    /* Called by dc_checkpoint before it commits; NULL: nothing is. */
    void (*before_checkpoint)(void *argument);
    /* Called when the program goes on after a kill, on its own stack, as a signal's handler is (on
     * SIGRTMAX-2, which the program then leaves alone); NULL: nothing is. */
    void (*after_recovery)(void *argument, const struct dc_info *info);
    uint64_t reserved[8]; /* zero */
};

/*
 * To be called first in main.  In a program that was started by itself it executes the same
 * program under vista-run, with the checkpoint file `path`, and does not return; if that file is there
 * already the program goes on from it.  Under vista-run, whose file it then uses, it takes the
 * options and returns 0.
 *
 * vista-run is found by the environment variable VISTA_RUN or in PATH.  `options` may be NULL; what it
 * points to is copied.
 *
 * -1 with errno: EINVAL an unknown protocol, reserved words that are not zero, or a null path; ENOENT and the
 * like from execve(2), vista-run cannot be run.  The program may go on without checkpoints.
 */
int dc_init(const char *path, const struct dc_options *options);

/*
 * Commits now.  0 when the checkpoint is made, also in a process that was resumed from it; -1 with errno
 * ENOSYS when the program does not run under vista-run.
 */
int dc_checkpoint(void);

/* Tells what there is to know: 0, or -1 with errno ENOSYS as above or EFAULT. */
int dc_get_info(struct dc_info *info);

#ifdef __cplusplus
}
#endif

#endif

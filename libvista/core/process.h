/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What a process has mapped.  The one place for what happens to that in a forked
 * child: every handle of the parent's ends there, and its files are closed, so
 * that the child can neither store beside the parent nor hold its locks.
 */
#ifndef VI_CORE_PROCESS_H
#define VI_CORE_PROCESS_H

#include <pthread.h>

#include "media/persist.h"

struct vi_segment;
struct vi_tx;

/* Segments are given the handles of a thread in turns: so four logs have one each. */
#define VI_THREAD_HANDLES 4

/* The process's own state; lives in the arena. */
struct vi_process {
    pthread_mutex_t lock;
    struct vi_segment *mapped;
    struct vi_segment *closed; /* to be used again, oldest first */
    struct vi_segment **closed_end;
    unsigned closed_count;
    uint64_t last_number;         /* of a segment; never used again */
    struct vi_tx *spare;          /* handles of no segment */
    enum vista_class force_class; /* of vista_init */
    bool host_faults;             /* of vista_init: the program has the signals */
    pthread_key_t exit_key;       /* its destructor calls at_thread_exit */
    /* Of handles.c, which sets them when it first has a segment to serve; under `lock`: */
    void (*at_thread_exit)(void *value);
    void (*after_fork)(struct vi_segment *mapped); /* in the child */
};

/* NULL with ENOMEM. */
struct vi_process *vi_process(void);

/* A cleared segment, closed. */
struct vi_segment *vi_process_new_segment(void);

/* Gives it its number: transactions can begin. */
void vi_process_add(struct vi_segment *segment);

/* Its handle ends; the segment stays for its members. */
void vi_process_detach(struct vi_segment *segment);

/* Closed: not used again before many others are. */
void vi_process_remove(struct vi_segment *segment);

/* The mapped segment whose data `address` is in; NULL with EINVAL. */
struct vi_segment *vi_process_find(const void *address);

/* The segment behind a handle if it is mapped here, else NULL with EINVAL or EPERM. */
struct vi_segment *vi_segment_check(const vista_segment *handle);

#endif

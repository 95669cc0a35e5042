/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A redo log in use.  A commit builds its record in the ring by plain stores, which survive the
 * death of the process; whoever wants it durable waits until one thread, the leader, has written
 * the ring's new part to the log with one synced write, for all that wait.
 *
 *      head            durable         written            tail
 *   ----+-----------------+----------------+----------------+---->  the stream
 *       | in the log, to be applied to     | in the ring    |
 *       | the data by truncation           | alone          |
 *
 * head <= durable <= written <= tail; tail - written <= ring_size; tail - head <= log_size.
 *
 * `lock` guards all of it; it comes after every other lock of the library.  Nothing is written
 * while it is held but a record too large for the ring.  disk_log.c appends records, lead.c makes
 * them durable, truncate.c applies them and makes the log shorter by them.
 */
#ifndef VI_DISK_DISK_STATE_H
#define VI_DISK_DISK_STATE_H

#include <pthread.h>

#include "disk/stream.h"

#define VI_DISK_MEMBERS 256u /* the log's own segment and 255 */

/* A member's file, and the parts of it that items may change.  All zero: there is none. */
struct vi_disk_target {
    bool exists;
    bool abandoned; /* what items say of it is passed over */
    bool touched;   /* written to, and not yet synced */
    int fd;
    struct {
        uint64_t from, to;
    } part[2];
};

/* A place in the stream where something has come to. */
struct vi_disk_reached {
    uint64_t lsn;
    uint64_t last;    /* LSN of the newest record below; 0: none of this epoch */
    uint64_t end;     /* behind that record: `lsn` without what is skipped */
    uint64_t commits; /* transactions below, counted */
};

/* The record that is being appended. */
struct vi_disk_writer {
    uint64_t most; /* bytes that it has at most */
    uint64_t lsn;
    bool large;                    /* that is more than half a ring */
    struct vi_redo_record *record; /* in the ring; a large one in memory of its own */
    unsigned char *to;             /* where the next item goes */
    uint32_t items;
    /* The ring begins at LSN `lap` now, and a record that is not large and ends at `limit` or before can
     * follow the tail at once.  Up to `quiet` the log's thread has nothing to do.  Both may be too low, as
     * 0 is. */
    uint64_t lap, limit, quiet;
};

struct vi_disk_log {
    struct vi_disk_area area;
    unsigned char *ring;
    struct vi_disk_target *target; /* VI_DISK_MEMBERS; one at a time truncates and has them */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything below */
    pthread_cond_t work;    /* for the log's thread */
    struct vi_disk_point head;
    struct vi_disk_reached durable, written, tail;
    bool leading;    /* a thread is writing */
    bool unsynced;   /* something below `written` was written without a sync */
    bool truncating; /* a thread is */
    bool growing;    /* the log is made larger: nothing is appended */
    bool wanted;     /* truncation, of the log's thread */
    bool stopping;   /* that thread is to end */
    bool has_thread;
    int failed; /* errno: a write or sync failed, nothing is promised any more */
    /* Flushed by time each so many ms, 0: not; how full the log's thread lets the log become. */
    unsigned flush_ms, truncate_percent;
    pthread_t thread;
    struct vi_disk_writer writer; /* of the thread that has called vi_disk_begin */
};

#endif

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
 * while it is held but a record too large for the ring.
 */
#ifndef VI_DISK_DISK_LOG_H
#define VI_DISK_DISK_LOG_H

#include <pthread.h>

#include "disk/stream.h"
#include "media/file.h"

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

struct vi_disk_log {
    struct vi_disk_area area;
    unsigned char *ring;
    struct vi_disk_target *target; /* VI_DISK_MEMBERS; one at a time truncates and has them */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything below */
    pthread_cond_t work;    /* for the log's thread */
    struct vi_disk_point head;
    uint64_t durable;
    uint64_t written;
    uint64_t tail;
    uint64_t last;         /* LSN of the newest record; 0: none of this epoch */
    uint64_t last_written; /* of the newest below `written` */
    uint64_t last_durable; /* of the newest below `durable` */
    uint64_t end;          /* of the newest record: `tail` without what is skipped */
    uint64_t end_durable;  /* of the newest below `durable` */
    bool leading;          /* a thread is writing */
    bool unsynced;         /* something below `written` was written without a sync */
    bool truncating;       /* a thread is */
    bool growing;          /* the log is made larger: nothing is appended */
    bool wanted;           /* truncation, of the log's thread */
    bool stopping;         /* that thread is to end */
    bool has_thread;
    bool wants_thread;
    int failed; /* errno: a write or sync failed, nothing is promised any more */
    /* Flushed by time each so many ms, 0: not; how full the log's thread lets the log become. */
    unsigned flush_ms, truncate_percent;
    pthread_t thread;
    uint64_t committed;                 /* transactions, counted */
    uint64_t durable_commits;           /* of these, synced */
    unsigned char first[VI_REDO_BLOCK]; /* the first block of a large record */
};

/* With the lock, if there is anyone else: the log is empty from here on. */
static inline void vi_disk_log_empty(struct vi_disk_log *redo, struct vi_disk_point from)
{
    redo->head = from;
    redo->durable = redo->written = redo->tail = redo->end = redo->end_durable = from.lsn;
    redo->last = redo->last_written = redo->last_durable = from.previous;
    redo->unsynced = false;
}

/* Begins to use an area whose header says that the log is empty from `head` on. */
int vi_disk_log_open(struct vi_disk_log *redo, const struct vi_disk_area *area,
                     struct vi_disk_point head, struct vi_disk_target *target);
/* The log's thread ends, the ring is unmapped; nothing is written. */
void vi_disk_log_close(struct vi_disk_log *redo);

/* ---- Appending --------------------------------------------------------- */

struct vi_disk_writer {
    struct vi_disk_log *redo;
    uint64_t lsn;      /* of the record */
    uint64_t at;       /* where the next byte goes */
    unsigned char *to; /* and where that is in the ring, of one that is not large */
    uint64_t end;      /* of the stream with it */
    uint64_t bytes;    /* of the record */
    uint32_t crc;      /* of a large one, so far */
    bool large;
    bool is_commit;
    int error; /* errno: a large one could not be written */
};

/* Takes the lock and waits for room for a record of `bytes` bytes and `items` items: 0, and the
 * lock is held until vi_disk_end.  -1 without it: EIO the log has failed, ENOSPC it is larger
 * than vi_disk_record_max. */
int vi_disk_begin(struct vi_disk_log *redo, uint64_t bytes, struct vi_disk_writer *writer);
/* Writes the record's head, then, in order, its items. */
void vi_disk_head(struct vi_disk_writer *writer, uint32_t items);
void vi_disk_put(struct vi_disk_writer *writer, unsigned member, uint64_t offset, const void *from,
                 uint32_t length);
/* The record counts, unless this fails: EIO, and the log has failed.  Gives the lock back. */
int vi_disk_end(struct vi_disk_writer *writer);

/* ---- Making durable, truncating ---------------------------------------- */

/* The stream up to `lsn`, UINT64_MAX: all of it, is durable on return; -1 with EIO when the log has
 * failed. */
int vi_disk_flush(struct vi_disk_log *redo, uint64_t lsn);

/* The stream up to `lsn` survives the death of the process on return: there is nothing to do,
 * unless the ring is memory of the process's own.  -1 with EIO. */
int vi_disk_keep(struct vi_disk_log *redo, uint64_t lsn);

/* Makes the data the same as the log's durable part, and that part free.  -1 with errno: it
 * stays in the log. */
int vi_disk_truncate(struct vi_disk_log *redo);

/* Starts the log's thread: it truncates when the log is half full, writes when the ring is, and
 * flushes every `flush_ms` milliseconds, unless that is 0.  -1 with errno. */
int vi_disk_start_thread(struct vi_disk_log *redo, unsigned flush_ms);

/* The same, if the log was found half full and has no thread. */
void vi_disk_start_wanted_thread(struct vi_disk_log *redo);

/* Makes the log large enough for a record of `bytes` bytes, up to `end` of the file.  -1: ENOSPC,
 * EIO. */
int vi_disk_grow(struct vi_disk_log *redo, const struct vi_file *file, uint64_t end,
                 uint64_t bytes);

#endif

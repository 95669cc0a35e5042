/* SPDX-License-Identifier: BSD-3-Clause
 *
 * RVM's log file: made, found sound, recovered, used.  Nothing here is the process's; several can be
 * open.  Calls that can fail return -1 with errno and a message.
 */
#ifndef VI_RVM_LOG_H
#define VI_RVM_LOG_H

#include <limits.h>
#include <sys/stat.h>

#include "disk/disk_log.h"
#include "rvm/rvm_format.h"

struct vi_rvm_log {
    struct vi_disk_log redo;
    struct vi_file file;
    char path[PATH_MAX]; /* absolute */
    struct vi_disk_target target[VI_DISK_MEMBERS];
    struct vi_member member[VI_RVM_MEMBERS]; /* as in the file */
};

/* Makes a log for transactions of `bytes` bytes, durably, name and all. */
int vi_rvm_log_create(const char *path, uint64_t bytes, mode_t mode);

/* Opens and locks the file, and reads its header and its members; nothing is changed.  EPERM: it is
 * not to be trusted; EBADMSG: it is no log, or damaged; EPROTO: it is one of another version; else as open. */
int vi_rvm_log_read(struct vi_rvm_log *log, const char *path, bool read_only,
                    struct vi_disk_area *area);

/* The same, carries what is in it to the segments, and begins to use it. */
int vi_rvm_log_open(struct vi_rvm_log *log, const char *path);
/* Nothing is written. */
void vi_rvm_log_close(struct vi_rvm_log *log);
/* In a forked child: its duplicates of the parent's descriptors would keep the file locked. */
void vi_rvm_log_forget(struct vi_rvm_log *log);

/* Opens a segment that an entry names, if it is the same still: its descriptor. */
int vi_rvm_member_open(const struct vi_rvm_log *log, unsigned member, int flags);

/* The member of a segment that is open at `fd`, whose entry is durable on return; its descriptor is the
 * log's from then on.  0 with ENFILE: the table is full. */
unsigned vi_rvm_member_join(struct vi_rvm_log *log, int fd, const char *path,
                            const struct stat *st);
/* Its file may have become longer: the entry says so, durably, before a record may be of the new part.  Of the
 * page only the first sector changes, so that a crash leaves the old entry or the new one. */
int vi_rvm_member_grow(struct vi_rvm_log *log, unsigned member, const struct stat *st);
/* No record is of it any more; its descriptor is closed. */
void vi_rvm_member_leave(struct vi_rvm_log *log, unsigned member);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A traced child executes one operation an instruction at a time.  Whenever a file of its
 * segments has changed, what SIGKILL would have left there is copied, recovered and
 * compared with how it was before the operation and how it is after it: it must be the one
 * or the other, and once the latter never again the former.
 */
#ifndef VISTA_TEST_STEP_H
#define VISTA_TEST_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STEP_FILES 2
#define STEP_SLOTS 4 /* of the log that are watched */

/* Where a file's segment lies, and how large it may become. */
struct step_file {
    const char *path, *copy;
    void *address;
    size_t max_size;
    bool flat;
    unsigned members; /* entries of home's table that are watched */
    unsigned chunks;  /* of 64 KiB */
    bool redo;        /* of the disk class, where stores reach the ring of the redo log alone */
};

struct step {
    struct step_file file[STEP_FILES];
    int files;
    void (*prepare)(void), (*act)(void); /* in the child */
    /* What a kill now would leave, recovered; for each number another.  The files are at
     * their copies' paths. */
    uint64_t (*view)(uint64_t number);
    void (*changed)(void); /* each time that a file has; NULL: nothing */
    unsigned every;        /* states that one is recovered of, drawn by the seed; 0: all are */
};

/* STAYS: not a byte of the files changes. */
enum step_outcome { STEP_CHANGES, STEP_KEEPS, STEP_STAYS };

/* The first files of `step` are there before `prepare`, and whole after it. */
void step_through(const struct step *step, const char *name, enum step_outcome outcome);

/* A hash, of more bytes: for `view`. */
uint64_t step_mix(uint64_t hash, const void *bytes, size_t length);

/* ---- In parts ---------------------------------------------------------- */

/* A child that has run `prepare`; -1: tracing is not allowed here.  It is the one that is watched
 * from then on. */
int step_begin(const struct step *step, const char *name);

/* Watches the files from here on. */
void step_watch(const struct step *step);
/* Whether they are as they never were before. */
bool step_has_changed(void);
uint64_t step_states(void);
/* Nothing was stored where no one looked; ends the watching. */
void step_watch_end(void);

/* Bytes of a file as they are now, at an offset that is watched. */
const void *step_bytes(int file, uint64_t offset);

/* Makes the copies of what is there now. */
void step_copy(const struct step *step);

/* The entry of a member, or of home, at an offset of a file has this path from now on, and a checksum that is
 * right. */
void step_name_entry(const char *path, uint64_t offset, const char *name);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * VISTA_CHECK_RANGES: on the machinery of automatic ranges, what a transaction may
 * store to is marked, byte by byte, and what it has stored to is found: at the fault
 * when it is the first store to a page, with the place in the program; else at the end,
 * when each touched page is compared with its image in the log.
 */
#ifndef VI_RANGES_UNDECLARED_H
#define VI_RANGES_UNDECLARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vi_log;

/* A store that was not declared. */
struct vi_note {
    uintptr_t address;
    uintptr_t code;   /* the instruction; 0: not known */
    uintptr_t caller; /* what lies on its stack: whoever called, if that is a leaf */
};
#define VI_NOTES 8

struct vi_undeclared {
    uint64_t *allowed; /* a bit for each byte of data; NULL: nothing is checked */
    struct vi_note notes[VI_NOTES];
    atomic_uint count; /* of stores noted, kept or not */
};

/* `size`: bytes that the data may grow to.  -1 with ENOMEM. */
int vi_undeclared_open(struct vi_undeclared *check, size_t size);
void vi_undeclared_close(struct vi_undeclared *check, size_t size);

/* Bytes of data may be stored to, until vi_undeclared_forget. */
void vi_undeclared_allow(struct vi_undeclared *check, uint64_t offset, uint64_t length);
void vi_undeclared_forget(struct vi_undeclared *check, size_t size);

/* A store faulted at `offset` of the data at `base`: notes it if it may not be.  For
 * signal handlers. */
void vi_undeclared_store(struct vi_undeclared *check, uint64_t offset, struct vi_note store);

/* Compares all pages that the log has; true if nothing was ever noted, else the
 * message says what, of the segment at `path`. */
bool vi_undeclared_none(struct vi_undeclared *check, const struct vi_log *log,
                        const unsigned char *base, const char *path);

/* The same message again, with another errno; returns -1. */
int vi_undeclared_report(const struct vi_undeclared *check, int error, const unsigned char *base,
                         const char *path);

#endif

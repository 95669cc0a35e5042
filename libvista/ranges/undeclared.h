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

struct vi_item;
struct vi_segment;

/* A store that was not declared. */
struct vi_note {
    uintptr_t address;
    uintptr_t code;   /* the instruction; 0: not known */
    uintptr_t caller; /* what lies on its stack: whoever called, if that is a leaf */
};

struct vi_undeclared {
    uint64_t *allowed;          /* a bit for each byte that data may have; NULL: nothing is
                                   checked */
    struct vi_undeclared *home; /* of its group, where stores are noted: */
    struct vi_note first;
    atomic_uint count; /* of all */
};

/* Bytes of data may be stored to, until vi_undeclared_forget with the most of them that there
 * may be. */
void vi_undeclared_allow(struct vi_undeclared *check, uint64_t offset, uint64_t length);
void vi_undeclared_forget(struct vi_undeclared *check, size_t size);

/* A store faulted at `offset` of the data at `base`: notes it if it may not be.  For
 * signal handlers. */
void vi_undeclared_store(struct vi_undeclared *check, uint64_t offset, struct vi_note store);

/* Notes what differs between a page's image in the log and the data at `base`. */
void vi_undeclared_compare(struct vi_undeclared *check, const struct vi_item *page,
                           const unsigned char *base);

/* Was anything noted with home?  errno and the message then say what. */
bool vi_undeclared_found(const struct vi_undeclared *check, int error, struct vi_segment *home);

#endif

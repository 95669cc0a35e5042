/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The verifier behind vista_check, the `vista` command and VISTA_ACCEPT_TORN.  It
 * only reads, believes no number before it has compared it with its bounds, and
 * passes over holes in the file, so that a large and empty segment is quick.
 */
#ifndef VI_CHECK_CHECK_H
#define VI_CHECK_CHECK_H

#include <stdbool.h>

#include "media/file.h"
#include "media/format.h"
#include "vista.h"

/* What a check counted on its way; of a damaged file, what it could make out. */
struct vi_check_totals {
    struct vi_superblock superblock; /* all zero: none was found */
    bool may_be_torn;
    uint64_t slots;      /* log slots ever used */
    uint64_t open;       /* transactions that recovery would roll back */
    uint64_t finishing;  /* committed ones whose frees it would finish */
    uint64_t log_bytes;  /* in slots and their chunks */
    struct vi_root root; /* as it is after recovery */
    uint64_t small_spans;
    uint64_t large_spans;
    uint64_t blocks; /* allocated, as stored: recovery may change that */
    uint64_t block_bytes;
    uint64_t free_units;
    uint64_t largest_free; /* units */
};

/* Checks an open, locked file.  `report` and `totals` may be NULL.  0 when it is
 * sound; -1: EBADMSG, ENOTSUP another version or feature, ECANCELED stopped by
 * `report`, ENOMEM, EIO. */
int vi_check_file(const struct vi_file *file, vista_report_fn report, void *arg,
                  struct vi_check_totals *totals);

/* The same for a segment whose metadata is mapped at `meta` and whose superblock
 * has been read and found good; no transaction may be running. */
int vi_check_mapped(const struct vi_file *file, const struct vi_superblock *superblock,
                    const unsigned char *meta, vista_report_fn report, void *arg);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The verifier behind vista_check, the `vista` command and VISTA_ACCEPT_TORN.  It
 * only reads, believes no number before it has compared it with its bounds, and
 * passes over holes in the file, so that a large and empty segment is quick.
 */
#ifndef VI_CHECK_CHECK_H
#define VI_CHECK_CHECK_H

#include <stdbool.h>

#include "core/log.h"
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

/* What a check passes by, for callers that want to see more than the verdict.  NULL
 * functions are not called.  Offsets and lengths are of data, in bytes. */
struct vi_check_visitor {
    void *arg;
    /* A record of a log that is not idle, in the order written.  `finishing`: it is of
     * a committed transaction.  `file_offset`: where it is stored. */
    void (*record)(void *arg, uint64_t slot, bool finishing, const struct vi_item *item,
                   uint64_t file_offset);
    /* A sound span, in the order of addresses.  `block_size`: of its blocks; a large
     * one is one block. */
    void (*span)(void *arg, uint64_t offset, uint64_t length, uint64_t block_size);
    /* An allocated block, after its span: first the large ones, then the small ones,
     * each in the order of addresses. */
    void (*block)(void *arg, uint64_t offset, uint64_t size);
    /* How far a step has come that may take long: `done` of `all`. */
    void (*progress)(void *arg, const char *step, uint64_t done, uint64_t all);
};

/* Checks an open, locked file.  `report` and `totals` may be NULL.  0 when it is
 * sound; -1: EBADMSG, ENOTSUP another version or feature, ECANCELED stopped by
 * `report`, ENOMEM, EIO. */
int vi_check_file(const struct vi_file *file, vista_report_fn report, void *arg,
                  struct vi_check_totals *totals);

/* The same, and shows what it passes by.  `visitor` may be NULL. */
int vi_check_visit(const struct vi_file *file, vista_report_fn report, void *arg,
                   struct vi_check_totals *totals, const struct vi_check_visitor *visitor);

/* The same for a segment whose metadata is mapped at `meta` and whose superblock
 * has been read and found good; no transaction may be running. */
int vi_check_mapped(const struct vi_file *file, const struct vi_superblock *superblock,
                    const unsigned char *meta, vista_report_fn report, void *arg);

#endif

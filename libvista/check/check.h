/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The verifier behind vista_check, the `vista` command and VISTA_ACCEPT_TORN.  It
 * only reads, believes no number before it has compared it with its bounds, and
 * passes over holes in the file, so that a large and empty segment is quick.
 */
#ifndef VI_CHECK_CHECK_H
#define VI_CHECK_CHECK_H

#include "check/totals.h"
#include "media/file.h"
#include "vista.h"

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

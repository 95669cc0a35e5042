/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What vista_map is made of: segments.c has what each segment needs, groups.c what those
 * need that share a log.
 */
#ifndef VI_API_SEGMENTS_H
#define VI_API_SEGMENTS_H

#include "core/segment.h"

extern const struct vista_map_options vi_default_options;

/* Opened, with what its records mean, and not yet recovered. */
struct vi_segment *vi_open_segment(const char *path, size_t size, unsigned flags,
                                   const struct vista_map_options *options);
int vi_close_segment(struct vi_segment *segment, bool clean);

/* vista_map, with arguments that make sense, for the `deep`th home of a home. */
struct vi_segment *vi_map_segment(const char *path, size_t size, unsigned flags,
                                  const struct vista_map_options *options, int deep);

/* For vi_recover: opens a member that home's log names. */
int vi_attach_member(struct vi_segment *home, const struct vi_member *entry);
/* What recovery has attached is given back. */
int vi_release_members(struct vi_segment *home, bool clean);

/* A member that was left open is its home's to recover: the segment, opened again then, or
 * NULL with errno. */
struct vi_segment *vi_after_home(struct vi_segment *segment, size_t size, unsigned flags,
                                 const struct vista_map_options *options, int deep);

/* The segment, mapped with these flags, is to use the log of `log`, unless that is NULL. */
int vi_join(struct vi_segment *segment, unsigned flags, vista_segment *log);

#endif

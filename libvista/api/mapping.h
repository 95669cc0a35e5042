/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Mapping and unmapping: groups are recovered together, joined and left.
 */
#ifndef VI_API_MAPPING_H
#define VI_API_MAPPING_H

#include "core/segment.h"

extern const struct vista_map_options vi_default_options;

/* vista_map, with arguments that make sense; `depth`: of homes of homes that it is mapped to
 * recover. */
struct vi_segment *vi_map_segment(const char *path, size_t size, unsigned flags,
                                  const struct vista_map_options *options, int depth);

/* vista_unmap, when no transaction is open on its log. */
int vi_unmap_segment(struct vi_segment *segment);

#endif

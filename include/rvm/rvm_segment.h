/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments that say themselves where their regions are mapped.  Link with -lseg -lrvm.
 *
 * The first page of the file has the list of regions; these lie behind it.  Such a segment is loaded at the
 * same addresses each time, so that it may have pointers into itself.
 */
#ifndef RVM_RVM_SEGMENT_H
#define RVM_RVM_SEGMENT_H

#include <rvm/rvm.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RVM_ESEGMENT_HDR 2000 /* the file's first page is no such list */

#define RVM_SEGMENT_HDR_SIZE RVM_PAGE_SIZE

typedef struct {
    rvm_offset_t offset; /* in the file; a multiple of the page size, not 0 */
    rvm_length_t length; /* likewise */
    char *vmaddr;        /* likewise */
} rvm_region_def_t;

/* Makes the file, if it is not there or too short, long enough for the regions, and writes their list,
 * in a flushed transaction of its own.  `dev_length`: as in rvm_region_t; `options`: as in rvm_map.  RVM_ERANGE
 * a number is no multiple or 0, or there are no regions or more than 168; RVM_EOVERLAP, RVM_EVM_OVERLAP two
 * of them overlap; else as rvm_map. */
rvm_return_t rvm_create_segment(char *dev_name, rvm_offset_t dev_length, rvm_options_t *options,
                                rvm_length_t nregions, rvm_region_def_t *regions);

/* Maps all regions of the list.  *regions becomes an array of them, for rvm_release_segment.
 * RVM_ESEGMENT_HDR; else as rvm_map, and then none is mapped. */
rvm_return_t rvm_load_segment(char *dev_name, rvm_offset_t dev_length, rvm_options_t *options,
                              rvm_length_t *nregions, rvm_region_def_t **regions);

/* Unmaps them, memory and all, and frees the array.  RVM_EREGION_DEF there is none; else as rvm_unmap, and then
 * the regions before that one are unmapped, their vmaddr is NULL, and another call goes on with the rest. */
rvm_return_t rvm_release_segment(rvm_length_t nregions, rvm_region_def_t **regions);

#ifdef __cplusplus
}
#endif

#endif

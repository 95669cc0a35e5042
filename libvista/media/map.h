/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A segment in memory: its data at the address it has for life, its metadata
 * elsewhere between guard pages, so that a store that runs off the data cannot
 * reach it.
 */
#ifndef VI_MEDIA_MAP_H
#define VI_MEDIA_MAP_H

#include <stdbool.h>

#include "media/file.h"

struct vi_map {
    unsigned char *meta;
    size_t meta_size;
    unsigned char *data;
    size_t data_size;
    size_t reserved; /* address space held from data on, for growth */
    bool map_sync;   /* granted for both mappings */
    bool writable;
    bool unprotected; /* while it is mapped: not yet to be touched */
    bool is_lazy;     /* and one that is hardly read */
    bool is_private;  /* an image of the file: what is stored to it stays in memory */
};

/* Reserves `size` bytes of address space at `address`, or, when that is 0, at a
 * random address from the window that suits the size.  -1 with EADDRINUSE (the
 * message says what is there) or ENOMEM. */
int vi_map_reserve(struct vi_map *map, const char *path, uint64_t address, size_t size);

/* The same at any address that is congruent to `address` modulo 2 MiB. */
int vi_map_reserve_anywhere(struct vi_map *map, const char *path, uint64_t address, size_t size);

/* Does the file system grant MAP_SYNC for the file? */
bool vi_map_sync_granted(const struct vi_file *file);

/* Maps the file: `meta_size` bytes from its beginning, `data_size` from
 * `data_offset` into the reservation. */
int vi_map_file(struct vi_map *map, const struct vi_file *file, size_t meta_size,
                uint64_t data_offset, size_t data_size);

/* Of a private image: memory takes the place of a part of the metadata, all zero. */
int vi_map_scratch(const struct vi_map *map, const struct vi_file *file, uint64_t from,
                   uint64_t to);

/* Maps the file's part from `old` to `size` of the data, into the reservation. */
int vi_map_extend(struct vi_map *map, const struct vi_file *file, uint64_t data_offset, size_t old,
                  size_t size);

/* The data from `size` to `old` is a reservation again. */
void vi_map_cut(const struct vi_map *map, size_t size, size_t old);

/* Undoes what was done so far of the above.  The last call on it. */
void vi_map_undo(struct vi_map *map);

#endif

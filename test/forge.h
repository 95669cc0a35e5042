/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Forged segment files: images of files that the library made, and what a hostile hand may
 * write into them, with every checksum right.
 */
#ifndef VISTA_TEST_FORGE_H
#define VISTA_TEST_FORGE_H

#include "disk/stream.h"
#include "support.h"

/* The pages of a file that are not all zero. */
struct forge_image {
    uint64_t size;
    size_t count;
    struct forge_page {
        uint64_t at;
        unsigned char bytes[VI_PAGE];
    } * pages;
};

/* A file that is forged again and again. */
struct forge {
    int fd;
    char path[1024];
    struct vi_superblock s; /* as it stands in both copies */
    bool checked;           /* its log's records have checksums */
};

void forge_open(struct forge *file, const char *path);
struct forge_image forge_take(const struct forge *file);
void forge_put(struct forge *file, const struct forge_image *image);

uint64_t forge_word(const struct forge *file, uint64_t at);
void forge_poke(const struct forge *file, uint64_t at, const void *bytes, size_t length);
void forge_poke_word(const struct forge *file, uint64_t at, uint64_t word);

/* Writes both copies of the superblock as `file->s` says.  With `lay_out` the areas' offsets, and
 * the file's length, follow from it. */
void forge_superblock(struct forge *file, bool lay_out);

/* An entry for a member or for a home, at `at`. */
void forge_entry(const struct forge *file, uint64_t at, const struct vi_member *entry);
struct vi_member forge_entry_at(const struct forge *file, uint64_t at);
/* Is it one that counts? */
bool forge_entry_sound(const struct forge *file, const struct vi_member *entry);

/* Where a slot is. */
uint64_t forge_slot(const struct forge *file, uint32_t slot);

/* A log being written: from `at` on, in a chunk that ends at `end`. */
struct forge_log {
    const struct forge *file;
    uint32_t slot;
    uint64_t stamp;
    uint64_t chunk; /* file offset of the slot's header, or the last chunk's */
    uint64_t at, end;
};
/* An empty one, with a word of its own.  All slots up to it exist. */
struct forge_log forge_log_begin(const struct forge *file, uint32_t slot, bool finishing);
/* Appends a record of one item; false: it does not fit.  `padded` bytes of payload follow the
 * address, which may be another number than the length asks for. */
bool forge_record(struct forge_log *log, unsigned kind, uint32_t length, uint64_t address,
                  const void *payload, size_t padded);
/* One of several short items, of `lengths`, 9 bits each. */
bool forge_short(struct forge_log *log, uint64_t shape, const uint64_t *words, size_t count);
/* The log goes on in a chunk at file offset `offset`, whose header has these numbers. */
void forge_chunk(struct forge_log *log, uint64_t offset, struct vi_chunk_header header);

/* A redo log is forged from the head that the file's redo header has on; false: it has none. */
bool forge_redo_begin(const struct forge *file, struct vi_disk_point *at);
/* Makes the log `log_size` bytes long, by the header that counts; returns its offset in the file. */
uint64_t forge_redo_size(const struct forge *file, uint64_t log_size);
uint32_t forge_redo_epoch(const struct forge *file);
/* Appends a record of one item. */
void forge_redo(const struct forge *file, struct vi_disk_point *at, struct vi_redo_item item,
                const void *payload, size_t bytes);

#endif

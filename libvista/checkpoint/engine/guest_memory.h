/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The engine: the guest's memory in private views of a segment, and checkpoints of it.
 *
 * A page that the guest has not written to since it was last stored shows the segment's page
 * or equals it.  A checkpoint finds the others by PAGEMAP_SCAN, which protects them again in
 * the same step, and stores them in one transaction with the processor's state and the control
 * state.
 */
#ifndef VI_CHECKPOINT_GUEST_MEMORY_H
#define VI_CHECKPOINT_GUEST_MEMORY_H

#include "vista.h"

#include "checkpoint/engine/layout.h"

struct vi_engine {
    struct vi_header *header;   /* shared: what is stored there is in the file at once */
    struct vi_control *control; /* private: what is stored there counts from the next checkpoint */
    bool remapped;              /* its table of mappings has changed since the last one */
};

extern struct vi_engine vi_engine;

/* Maps a checkpoint file, or makes it; NULL as of vista_map. */
vista_segment *vi_engine_map(const char *path);
/* Opens or makes the checkpoint file and lays out the guest's memory, empty in a new file and
 * as it was committed in another.  Does not return when it cannot: it says why. */
void vi_engine_open(const char *path);

/* Was nothing ever stored there, nor behind it in its area?  The guest sees what is stored where it has
 * written nothing; what is new can be stored at any time. */
bool vi_engine_is_new(uint64_t start);
/* Writes to this memory are found.  A page that is not watched needs no fault of its own to be read. */
void vi_engine_watch(uint64_t start, uint64_t end);
/* Copies what there is of a file, behind whose end all is zero: to what is stored if that is new, and is then
 * mapped unwatched; else to the memory.  0, or minus an errno. */
long vi_engine_fill(uint64_t start, uint64_t end, int fd, uint64_t offset);
/* The program gave back memory: what it maps next, it reads from its file. */
void vi_engine_unmapped(void);

/* Writes all of it; false: errno says why not. */
bool vi_engine_write(int fd, const void *bytes, uint64_t length, uint64_t offset);

/* The run ends with what was committed. */
_Noreturn void vi_engine_stop(const char *why);
/* Commits the guest's memory, `frame`, the control state and where in the log a send is being made. */
void vi_engine_commit(const struct vi_frame *frame, uint64_t sent_place);

/* Changes the first `length` bytes of the header, all that is changed or nothing. */
void vi_engine_change(void (*change)(struct vi_header *header), size_t length);

/* Zeroes what was stored of memory that is not mapped, and which therefore shows nothing else. */
void vi_engine_wipe(uint64_t start, uint64_t end);

/* The bounds of an area; where the area of `address` is, or VI_AREAS. */
uint64_t vi_area_start(enum vi_area area);
uint64_t vi_area_end(enum vi_area area);
enum vi_area vi_area_of(uint64_t address);

#endif

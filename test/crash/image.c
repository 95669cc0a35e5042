/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recovering images: see image.h.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "core/transaction.h"
#include "heap/heap.h"
#include "hooks.h"
#include "memory.h"

static struct vi_segment images[WORLDS];

static void *none(void *context)
{
    return context;
}

static void no_reclaim(void *context)
{
    none(context);
}

/* As vista_map wires them (api/segments.c). */
static void wire_heap(struct vi_segment *segment)
{
    const struct vi_superblock *s = &segment->superblock;
    unsigned char *meta = segment->map.meta + s->heap_offset;
    const struct vi_heap_place place = {
        .header = (struct vi_heap_header *)meta,
        .descriptors = (uint64_t *)(meta + VI_PAGE),
        .marks = meta + VI_PAGE + vi_superblock_units(s) * sizeof(uint64_t),
        .base = segment->map.data,
        .size = s->size,
        .max_size = s->max_size,
        .persist = &segment->persist,
        .path = segment->path,
        .reclaim = no_reclaim,
        .context = segment,
    };

    segment->heap = vi_heap_open(&place);
    for (unsigned kind = VI_KIND_UNDO + 1; kind < VI_KINDS; kind++) {
        segment->kinds[kind].handler = &vi_heap_handlers[kind];
        segment->kinds[kind].context = segment->heap;
        segment->deferred |= (uint32_t)vi_heap_handlers[kind].deferred << kind;
    }
}

void image_open(const vista_segment *handle, enum vista_class class)
{
    const struct vi_segment *live = (const struct vi_segment *)handle;

    image_close();
    for (int w = IMAGE; w < WORLDS; w++) {
        struct vi_segment *segment = &images[w];

        memset(segment, 0, sizeof *segment);
        strcpy(segment->path, "image");
        segment->file = (struct vi_file){.path = segment->path, .fd = -1};
        segment->superblock = live->superblock;
        segment->map = live->map;
        segment->map.meta = worlds[w].region[META].base;
        segment->map.data = worlds[w].region[DATA].base;
        vi_persist_init(&segment->persist, class);
        segment->kinds[VI_KIND_UNDO].handler = &vi_undo_handler;
        segment->kinds[VI_KIND_UNDO].context = segment;
        if (segment->superblock.heap_offset != 0)
            wire_heap(segment);
        worlds[w].exact = class != VISTA_CLASS_LINE;
        worlds[w].touch_only = w == SECOND;
    }
}

void image_close(void)
{
    for (int w = IMAGE; w < WORLDS; w++) {
        if (images[w].heap != NULL)
            vi_heap_close(images[w].heap);
        images[w].heap = NULL;
    }
}

static void find_in(const struct vi_superblock *s, const unsigned char *meta,
                    const unsigned char *data, struct found *found)
{
    *found = (struct found){.data = data,
                            .heap = s->heap_offset != 0 ? meta + s->heap_offset : NULL,
                            .units = s->size / VI_UNIT,
                            .descriptors = vi_superblock_units(s)};
}

bool image_recover(int w, struct found *found)
{
    struct vi_segment *segment = &images[w];
    const int error = errno, before = memory.current;
    const unsigned thread = memory.thread;
    bool good;

    memory.current = w;
    memory.thread = 0;
    good = vi_logs_open(&segment->logs, segment->map.meta, &segment->superblock, &segment->file,
                        &segment->persist) == 0 &&
           vi_recover(segment, NULL) == 0;
    vi_logs_close(&segment->logs);
    memory_complete();
    if (good && w == IMAGE && !worlds[w].touch_only && !worlds[w].exact)
        memory.point(&worlds[w]); /* what recovery leaves unfenced */
    memory.current = before;
    memory.thread = thread;
    errno = error;
    find_in(&segment->superblock, segment->map.meta, segment->map.data, found);
    return good;
}

void image_of_live(const vista_segment *handle, struct found *found)
{
    const struct vi_segment *live = (const struct vi_segment *)handle;

    find_in(&live->superblock, live->map.meta, live->map.data, found);
}

/* ---- Through a file ---------------------------------------------------- */

static char copy[256];
static uint64_t *pages; /* offsets of those that were stored to since the creation */
static size_t page_count, lines_seen;

void image_file_reset(const char *path)
{
    snprintf(copy, sizeof copy, "%s", path);
    page_count = lines_seen = 0;
}

static void collect_pages(void)
{
    const struct world *live = &worlds[LIVE];

    for (; lines_seen < live->used; lines_seen++) {
        const uint64_t page = live->lines[lines_seen]->offset / PAGE * PAGE;
        size_t i = page_count;

        while (i > 0 && pages[i - 1] != page)
            i--;
        if (i > 0)
            continue;
        if (page_count % 64 == 0)
            pages = realloc(pages, (page_count + 64) * sizeof *pages);
        pages[page_count++] = page;
    }
}

static bool write_copy(uint64_t size)
{
    const struct region *region = worlds[IMAGE].region;
    const int fd = open(copy, O_RDWR | O_CREAT | O_TRUNC, 0600);
    bool good = fd >= 0 && ftruncate(fd, (off_t)size) == 0;

    collect_pages();
    for (size_t i = 0; i < page_count && good; i++) {
        const int r = pages[i] < region[META].size ? META : DATA;

        good = pwrite(fd, region[r].base + (pages[i] - region[r].offset), PAGE, (off_t)pages[i]) ==
               PAGE;
    }
    if (fd >= 0)
        close(fd);
    return good;
}

static bool is_clean(void)
{
    struct vi_file file = {.path = copy, .fd = open(copy, O_RDONLY), .size = UINT64_MAX};
    struct vi_superblock superblock;
    const bool clean = vi_superblock_read(&file, true, &superblock) == 0 && superblock.clean;

    close(file.fd);
    return clean;
}

static bool refuse(struct trial *trial, const char *why)
{
    trial->why = why;
    return false;
}

/* What is there is right, and goes on to work. */
static bool judge_copy(struct trial *trial, vista_segment *segment)
{
    const bool same_size = vista_size(segment) == trial->size;
    struct found found;
    bool good = false;
    vista_tx *tx;

    image_of_live(segment, &found);
    if (same_size)
        good = trial->judge(&found);
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL || vista_end_transaction(tx, 0) != 0)
        return refuse(trial, vista_errormsg());
    if (vista_unmap(segment) != 0)
        return refuse(trial, vista_errormsg());
    return same_size ? good : refuse(trial, "the size is another one");
}

static bool try_file(struct trial *trial)
{
    const struct region *data = &worlds[IMAGE].region[DATA];
    unsigned flags = VISTA_ANY_ADDRESS | (trial->created ? 0 : VISTA_CREATE);
    vista_segment *segment;

    if (!write_copy(data->offset + data->size))
        return refuse(trial, "the copy cannot be written");
    if (!trial->may_be_clean && is_clean())
        return refuse(trial, "the superblock says clean while the segment is open");
    if (trial->created && vista_check(copy, 0, NULL, NULL) != 0)
        return refuse(trial, vista_errormsg());
    if (trial->copied) {
        if (vista_map(copy, 0, flags, NULL) != NULL || errno != ECANCELED)
            return refuse(trial, "a copy of an open segment was not refused");
        flags |= VISTA_ACCEPT_TORN;
    }
    segment = vista_map(copy, trial->created ? 0 : trial->size, flags, NULL);
    if (segment == NULL)
        return refuse(trial, vista_errormsg());
    return judge_copy(trial, segment);
}

bool image_try_file(struct trial *trial)
{
    const int before = memory.current, error = errno;
    const bool registering = memory.registering;
    const struct vista_thread_cache cache = vista_thread_cache;
    bool good;

    memory.current = NO_WORLD;
    memory.registering = false;
    vista_thread_cache = (struct vista_thread_cache){0};
    hooks.pretend = !trial->copied;
    good = try_file(trial);
    hooks.pretend = false;
    vista_thread_cache = cache;
    memory.registering = registering;
    memory.current = before;
    errno = error;
    return good;
}

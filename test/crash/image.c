/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Recovering images: see image.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/mapping.h"
#include "api/opening.h"
#include "core/process.h"
#include "core/transaction.h"
#include "files.h"
#include "heap/heap.h"
#include "heap/heap_kinds.h"
#include "image.h"
#include "instrument.h"

static enum vista_class recovery; /* class that it runs in */
static struct vi_segment *images[WORLDS];

/* ---- Another process --------------------------------------------------- */

/* Who recovers has nothing of what the process that died had mapped. */
struct other {
    int current, error;
    unsigned thread;
    enum vista_class class;
    struct vi_segment *mapped;
    struct vi_thread_cache cache;
};

static struct other become(int world)
{
    struct vi_process *process = vi_process();
    const struct other before = {.current = memory.current,
                                 .error = errno,
                                 .thread = memory.thread,
                                 .class = process->force_class,
                                 .mapped = process->mapped,
                                 .cache = vi_thread_cache};

    memory.current = world;
    memory.thread = 0;
    process->force_class = recovery;
    process->mapped = NULL;
    vi_thread_cache = vi_thread_cache_empty;
    return before;
}

static void go_back(struct other before)
{
    struct vi_process *process = vi_process();

    memory_complete();
    memory.current = before.current;
    memory.thread = before.thread;
    process->force_class = before.class;
    process->mapped = before.mapped;
    vi_thread_cache = before.cache;
    errno = before.error;
}

static bool refuse(struct trial *trial, const char *why)
{
    trial->why = why;
    return false;
}

static void find_in(const struct vi_segment *segment, struct found *found)
{
    const struct vi_superblock *s = &segment->superblock;

    *found = (struct found){.size = segment->map.data_size,
                            .data = segment->map.data,
                            .heap = s->heap_offset != 0 ? segment->map.meta + s->heap_offset : NULL,
                            .descriptors = vi_superblock_units(s)};
}

/* ---- A log alone ------------------------------------------------------- */

void image_open(enum vista_class class)
{
    image_close();
    recovery = class;
    for (int w = IMAGE; w < WORLDS; w++) {
        worlds[w].exact = class != VISTA_CLASS_LINE;
        worlds[w].touch_only = w == SECOND;
    }
}

void image_close(void)
{
    for (int w = IMAGE; w < WORLDS; w++) {
        const struct other before = become(w);

        if (images[w] != NULL)
            vi_close_segment(images[w], false);
        images[w] = NULL;
        go_back(before);
    }
}

/* Mapped once: what recovery needs of it does not change. */
static struct vi_segment *image_of(int w)
{
    if (images[w] == NULL) {
        files_die(w);
        images[w] = vi_open_segment(files_path(0), 0, VISTA_ANY_ADDRESS, &vi_default_options);
    }
    return images[w];
}

bool image_recover_log(int w, struct trial *trial)
{
    const struct other before = become(w);
    struct vi_segment *segment = image_of(w);
    bool good = segment != NULL;

    if (good) {
        vi_logs_close(&segment->logs);
        good = vi_logs_open(&segment->logs, segment->map.meta, &segment->superblock, &segment->file,
                            &segment->persist) == 0;
        vi_logs_use(&segment->logs, vi_heap_kinds);
        good = good && vi_recover(segment, NULL) == 0;
        memory_complete();
        find_in(segment, &trial->found[0]);
    }
    if (!good)
        trial->why = vista_errormsg();
    else if (w == IMAGE && !worlds[w].exact)
        memory.point(&worlds[w]); /* what recovery leaves unfenced */
    go_back(before);
    return good;
}

/* ---- Whatever vista_map does ------------------------------------------- */

static const int orders[ORDERS][FILES] = {{0, 1, 2}, {1, 0, 2}, {2, 1, 0},
                                          {0, 2, 1}, {1, 2, 0}, {2, 0, 1}};

static bool is_clean(int file)
{
    struct vi_superblock superblock;
    struct vi_file opened;
    bool clean = false;

    if (vi_file_open(&opened, files_path(file), VISTA_READ_ONLY, 0, 0) == 0) {
        clean = vi_superblock_read(&opened, true, &superblock) == 0 && superblock.clean;
        vi_file_close(&opened);
    }
    return clean;
}

bool image_flushes(int w)
{
    const struct other before = become(w);
    struct vi_superblock superblock;
    struct vi_file opened;
    bool flushes = false;

    files_die(w);
    if (vi_file_open(&opened, files_path(0), VISTA_READ_ONLY, 0, 0) == 0) {
        flushes = vi_superblock_read(&opened, true, &superblock) == 0 &&
                  vi_class_flushes(superblock.log_class);
        vi_file_close(&opened);
    }
    go_back(before);
    return flushes;
}

static bool check_unclean(struct trial *trial)
{
    for (int file = 0; file < trial->files; file++)
        if (!(trial->may_be_clean >> file & 1) && is_clean(file))
            return refuse(trial, "a superblock says clean while the segment is open");
    return true;
}

static bool map_all(struct trial *trial, vista_segment **segments, unsigned flags)
{
    for (int i = 0; i < FILES; i++) {
        const int file = orders[trial->order % ORDERS][i];

        if (file >= trial->files)
            continue;
        segments[file] = vista_map(files_path(file), flags & VISTA_CREATE ? trial->size : 0,
                                   flags | VISTA_ANY_ADDRESS, NULL);
        if (segments[file] == NULL)
            return refuse(trial, vista_errormsg());
        find_in((struct vi_segment *)segments[file], &trial->found[file]);
    }
    return true;
}

static void drop_all(vista_segment **segments)
{
    for (int file = 0; file < FILES; file++)
        if (segments[file] != NULL)
            vi_close_segment((struct vi_segment *)segments[file], false);
}

bool image_recover_all(int w, struct trial *trial)
{
    const struct other before = become(w);
    vista_segment *segments[FILES] = {NULL};
    bool good;

    files_die(w);
    good = check_unclean(trial) && map_all(trial, segments, 0);
    memory_complete();
    drop_all(segments);
    go_back(before);
    return good;
}

/* ---- Through real files ------------------------------------------------ */

static uint64_t *pages; /* offsets of those that were stored to since the creation */
static size_t page_count, lines_seen;

void image_reset(void)
{
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
        if (i > 0 || REGION_OF(live->lines[lines_seen]->at) % AREAS == INODE)
            continue;
        if (page_count % 64 == 0)
            pages = realloc(pages, (page_count + 64) * sizeof *pages);
        pages[page_count++] = page;
    }
}

static bool write_copy(int file)
{
    const struct region *region = &worlds[IMAGE].region[REGION(file, 0)];
    const uint64_t length = files_length(IMAGE, file), first = (uint64_t)file << FILE_SHIFT;
    const int fd = open(files_real_path(file), O_RDWR | O_CREAT | O_TRUNC, 0600);
    bool good = fd >= 0 && ftruncate(fd, (off_t)length) == 0;

    for (size_t i = 0; i < page_count && good; i++) {
        const uint64_t offset = pages[i] - first;
        const int area = offset < region[META].size ? META : DATA;

        if (offset < length)
            good = pwrite(fd, region[area].base + (pages[i] - region[area].offset), PAGE,
                          (off_t)offset) == PAGE;
    }
    if (fd >= 0)
        close(fd);
    return good;
}

static bool copy_all(struct trial *trial)
{
    collect_pages();
    for (int file = 0; file < trial->files; file++) {
        if (!write_copy(file))
            return refuse(trial, "the copy cannot be written");
        if (trial->created && vista_check(files_path(file), 0, NULL, NULL) != 0)
            return refuse(trial, vista_errormsg());
    }
    return true;
}

/* They go on to work. */
static bool use_all(struct trial *trial, vista_segment **segments)
{
    for (int file = 0; file < trial->files; file++) {
        vista_tx *tx = vista_begin_transaction(segments[file], 0);

        if (tx == NULL || vista_end_transaction(tx, 0) != 0)
            return refuse(trial, vista_errormsg());
        if (vista_unmap(segments[file]) != 0)
            return refuse(trial, vista_errormsg());
        segments[file] = NULL;
    }
    return true;
}

static bool try_files(struct trial *trial, const char *(*judge)(const struct trial *trial))
{
    vista_segment *segments[FILES] = {NULL};
    unsigned flags = trial->created ? 0 : VISTA_CREATE;
    bool good = copy_all(trial) && check_unclean(trial);

    if (good && trial->copied) {
        if (vista_map(files_path(0), 0, VISTA_ANY_ADDRESS, NULL) != NULL || errno != ECANCELED)
            return refuse(trial, "a copy of an open segment was not refused");
        flags |= VISTA_ACCEPT_TORN;
    }
    good = good && map_all(trial, segments, flags);
    if (good) {
        trial->why = judge(trial);
        good = trial->why == NULL && use_all(trial, segments);
    }
    drop_all(segments);
    return good;
}

bool image_try_files(struct trial *trial, const char *(*judge)(const struct trial *trial))
{
    const struct other before = become(NO_WORLD);
    bool good;

    hooks.pretend = !trial->copied;
    good = try_files(trial, judge);
    hooks.pretend = false;
    go_back(before);
    return good;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Single steps: see step.h.
 */
#include "step.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "disk/disk.h"
#include "media/superblock.h"
#include "support.h"

/* ---- Watching files ---------------------------------------------------- */

#define PAGES 192
#define STATES 65536
#define REDO_PAGES 16u /* of the stream, from each multiple of the ring's size on */

static pid_t stepped; /* the child */

static struct {
    int files;
    struct {
        int fd;
        const unsigned char *bytes; /* those up to its length can be looked at */
        size_t room, length;
    } file[STEP_FILES];
    size_t pages;
    struct {
        int file;
        size_t offset;
        bool by_calls; /* nothing but a system call changes it */
        uint64_t hash;
        unsigned char seen[VI_PAGE];
    } page[PAGES];
    uint64_t states[STATES]; /* a set of hashes; 0: empty */
    uint64_t distinct;
    bool redo;  /* some pages are changed by calls alone */
    bool skips; /* these are passed over where none was made: all have been seen */
} watch;

uint64_t step_mix(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static void watch_area(int file, uint64_t offset, size_t length)
{
    for (size_t i = 0; i < length; i += VI_PAGE) {
        ck_assert_uint_lt(watch.pages, PAGES);
        watch.page[watch.pages].file = file;
        watch.page[watch.pages++].offset = offset + i;
    }
}

/* Headers, and where records begin: a mapping begins with an epoch at a multiple of the ring. */
static void watch_redo(int file, const char *path, const struct vi_superblock *s)
{
    const struct vi_file open_file = {.fd = watch.file[file].fd, .path = path};
    const struct vi_disk_area area = vi_disk_area_of(&open_file, s);

    watch_area(file, area.headers_offset, area.ring_offset - area.headers_offset);
    for (uint64_t at = 0; at < area.log_size; at += area.ring_size)
        watch_area(file, area.log_offset + at, REDO_PAGES * VI_PAGE);
    for (size_t i = 0; i < watch.pages; i++)
        watch.page[i].by_calls |= watch.page[i].file == file;
    watch.redo = true;
    watch_area(file, area.ring_offset, REDO_PAGES * VI_PAGE);
}

static void watch_file(int file, const struct step_file *of)
{
    struct vi_superblock s = {.address = (uint64_t)of->address,
                              .size = of->max_size,
                              .max_size = of->max_size,
                              .features_must = of->flat ? 0 : VI_MUST_HEAP};

    ck_assert_int_eq(vi_superblock_layout(&s), 0);
    watch.file[file].fd = open(of->path, O_RDONLY | O_CLOEXEC);
    watch.file[file].room = s.data_offset + of->max_size;
    watch.file[file].bytes =
        mmap(NULL, watch.file[file].room, PROT_READ, MAP_SHARED, watch.file[file].fd, 0);
    ck_assert_ptr_ne(watch.file[file].bytes, MAP_FAILED);
    watch_area(file, 0, VI_MEMBERS_OFFSET + of->members * VI_PAGE);
    watch_area(file, VI_SLOTS_OFFSET, STEP_SLOTS * VI_SLOT_SIZE);
    watch_area(file, s.chunks_offset, of->chunks * VI_CHUNK_UNIT);
    if (!of->flat) {
        watch_area(file, s.heap_offset, 2 * VI_PAGE);
        watch_area(file, s.heap_offset + VI_PAGE + 8 * VI_GROUP_UNITS,
                   (of->max_size / VI_UNIT * VI_MARKS_PER_UNIT + VI_PAGE - 1) / VI_PAGE * VI_PAGE);
    }
    watch_area(file, s.data_offset, of->max_size);
    if (of->redo)
        watch_redo(file, of->path, &s);
}

void step_watch(const struct step *step)
{
    memset(&watch, 0, sizeof watch);
    watch.files = step->files;
    for (int i = 0; i < step->files; i++)
        watch_file(i, &step->file[i]);
}

static bool is_watched(int file, size_t offset)
{
    for (size_t i = 0; i < watch.pages; i++)
        if (watch.page[i].file == file && watch.page[i].offset == offset / VI_PAGE * VI_PAGE)
            return true;
    return false;
}

static const unsigned char zeros[VI_PAGE];

void step_watch_end(void)
{
    for (int file = 0; file < watch.files; file++) {
        off_t at = 0;

        while ((at = lseek(watch.file[file].fd, at, SEEK_DATA)) >= 0) {
            const size_t page = (size_t)at / VI_PAGE * VI_PAGE;

            ck_assert_msg(is_watched(file, page) ||
                              memcmp(watch.file[file].bytes + page, zeros, VI_PAGE) == 0,
                          "offset %lld of file %d was stored to and not watched", (long long)at,
                          file);
            at = (off_t)(page + VI_PAGE);
        }
        munmap((void *)watch.file[file].bytes, watch.file[file].room);
        close(watch.file[file].fd);
    }
}

static bool add_state(void)
{
    uint64_t hash = 1;

    for (size_t i = 0; i < watch.pages; i++)
        hash += watch.page[i].hash * (2 * i + 0x9e3779b97f4a7c15u);
    for (int file = 0; file < watch.files; file++)
        hash = step_mix(hash, &watch.file[file].length, sizeof watch.file[file].length);
    hash |= 1;
    for (uint64_t i = hash >> 40; watch.states[i % STATES] != hash; i++)
        if (watch.states[i % STATES] == 0) {
            watch.states[i % STATES] = hash;
            watch.distinct++;
            ck_assert_uint_lt(watch.distinct, STATES / 2);
            return true;
        }
    return false;
}

static bool have_lengths_changed(void)
{
    bool changed = false;
    struct stat st;

    for (int file = 0; file < watch.files; file++) {
        ck_assert_int_eq(fstat(watch.file[file].fd, &st), 0);
        changed |= watch.file[file].length != (size_t)st.st_size;
        watch.file[file].length = (size_t)st.st_size;
    }
    return changed;
}

/* The child is a fork: its code is where it is here. */
static bool was_call(void)
{
    static const unsigned char call[] = {0x0f, 0x05};

    return memcmp((const void *)(test_where(stepped) - sizeof call), call, sizeof call) == 0;
}

bool step_has_changed(void)
{
    const bool calls = !watch.skips || was_call();
    bool changed = calls && have_lengths_changed();

    for (size_t i = 0; i < watch.pages; i++) {
        const int file = watch.page[i].file;
        const size_t offset = watch.page[i].offset;
        const unsigned char *now =
            offset < watch.file[file].length ? watch.file[file].bytes + offset : zeros;

        if (watch.page[i].by_calls && !calls)
            continue;
        if (memcmp(watch.page[i].seen, now, VI_PAGE) == 0)
            continue;
        memcpy(watch.page[i].seen, now, VI_PAGE);
        watch.page[i].hash = step_mix(i, now, VI_PAGE);
        changed = true;
    }
    watch.skips = watch.redo;
    return changed && add_state();
}

uint64_t step_states(void)
{
    return watch.distinct;
}

const void *step_bytes(int file, uint64_t offset)
{
    return watch.file[file].bytes + offset;
}

/* ---- Copies ------------------------------------------------------------ */

static uint32_t check_of(const struct vi_superblock *s, const struct vi_member *entry)
{
    const uint32_t check =
        vi_crc32c(vi_crc32c(0, s->uuid, sizeof s->uuid), entry, offsetof(struct vi_member, check));

    return vi_crc32c(check, entry->path, sizeof entry->path);
}

static struct vi_member entry_at(const char *path, uint64_t offset)
{
    struct vi_member entry;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    ck_assert_int_eq(pread(fd, &entry, sizeof entry, (off_t)offset), sizeof entry);
    close(fd);
    return entry;
}

void step_name_entry(const char *path, uint64_t offset, const char *name)
{
    const struct vi_superblock s = test_superblock(path, test_superblock_current(path));
    struct vi_member entry = entry_at(path, offset);

    memset(entry.path, 0, sizeof entry.path);
    memcpy(entry.path, name, strlen(name));
    entry.check = check_of(&s, &entry);
    test_poke(path, offset, &entry, sizeof entry);
}

/* An entry that names a file, and is sound, names the file's copy. */
static void rename_entry(const struct step *step, const char *copy, uint64_t offset)
{
    const struct vi_superblock s = test_superblock(copy, test_superblock_current(copy));
    const struct vi_member entry = entry_at(copy, offset);

    for (int i = 0; i < step->files; i++)
        if (strcmp(entry.path, step->file[i].path) == 0 && entry.check == check_of(&s, &entry)) {
            step_name_entry(copy, offset, step->file[i].copy);
            return;
        }
}

void step_copy(const struct step *step)
{
    for (int i = 0; i < step->files; i++) {
        const struct step_file *file = &step->file[i];

        test_copy(file->path, file->copy);
        test_adopt(file->copy);
        for (unsigned m = 0; m < file->members; m++)
            rename_entry(step, file->copy, VI_MEMBERS_OFFSET + m * VI_PAGE);
        if (step->files > 1)
            rename_entry(step, file->copy, VI_HOME_OFFSET);
    }
}

/* ---- Stepping ---------------------------------------------------------- */

static void run_child(void *argument)
{
    const struct step *step = argument;

    step->prepare();
    test_stop();
    step->act();
    test_stop();
}

int step_begin(const struct step *step, const char *name)
{
    const pid_t child = test_trace(run_child, (void *)step);

    if (child < 0)
        test_skip(name, "tracing is not allowed here");
    stepped = child;
    return child;
}

static uint64_t view(const struct step *step, uint64_t number)
{
    step_copy(step);
    return step->view(number);
}

/* Each as before or as after, and not back again. */
static void compare(const char *name, const uint64_t *seen, uint64_t count, uint64_t before,
                    uint64_t after)
{
    bool done = false;

    for (uint64_t i = 0; i < count; i++) {
        ck_assert_msg(seen[i] == before || seen[i] == after,
                      "%s: state %llu of %llu is neither that before nor that after", name,
                      (unsigned long long)i, (unsigned long long)count);
        ck_assert_msg(!done || seen[i] == after, "%s: state %llu went back", name,
                      (unsigned long long)i);
        done = seen[i] == after;
    }
}

void step_through(const struct step *step, const char *name, enum step_outcome outcome)
{
    const uint64_t every = (test_scale() < 1 ? (uint64_t)(1 / test_scale()) : 1) *
                           (step->every != 0 ? step->every : 1);
    uint64_t steps = 0, changes = 0, before, after, count = 0;
    uint64_t *seen = calloc(STATES, sizeof *seen);
    const pid_t child = step_begin(step, name);

    if (child < 0)
        return;
    before = view(step, 0);
    step_watch(step);
    step_has_changed();
    while (test_step(child)) {
        steps++;
        if (!step_has_changed())
            continue;
        if (step->changed != NULL)
            step->changed();
        if (changes == 0 || (changes + test_seed()) % every == 0)
            seen[count++] = view(step, watch.distinct);
        changes++;
    }
    after = view(step, 1);
    step_watch_end();
    test_trace_end(child);
    compare(name, seen, count, before, after);
    free(seen);
    printf("%s: %llu instructions, %llu states, %llu recovered\n", name, (unsigned long long)steps,
           (unsigned long long)watch.distinct, (unsigned long long)count);
    if (outcome == STEP_STAYS)
        ck_assert_uint_eq(count, 0);
    else
        ck_assert_uint_gt(count, 0);
    if (outcome == STEP_CHANGES)
        ck_assert_msg(before != after, "%s changed nothing", name);
    else
        ck_assert_msg(before == after, "%s changed something", name);
}

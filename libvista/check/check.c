/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Running a check: the table of steps.
 */
#include "check/check.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "check/findings.h"
#include "check/steps_file.h"
#include "check/steps_group.h"
#include "check/steps_heap.h"
#include "check/steps_log.h"
#include "check/steps_redo.h"
#include "check/view.h"
#include "media/superblock.h"

static const struct vi_check_visitor no_visitor;

/* ---- The steps --------------------------------------------------------- */

static const struct step {
    const char *name;
    void (*run)(struct vi_check *check);
    bool needs_heap;
} steps[] = {
    {"state", vi_check_state, false},     {"file", vi_check_size, false},
    {"redo log", vi_check_redo, false},   {"group", vi_check_group, false},
    {"log slots", vi_check_slots, false}, {"heap descriptors", vi_check_descriptors, true},
    {"heap marks", vi_check_marks, true}, {"log records", vi_check_records, false},
    {"root", vi_check_root, true},
};

static void begin_step(struct vi_check *check, const char *name)
{
    check->step = name;
    check->findings = 0;
    check->damage = 0;
}

static int run_steps(struct vi_check *check)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !check->stopped; i++) {
        if (steps[i].needs_heap && check->superblock->heap_offset == 0)
            continue;
        begin_step(check, steps[i].name);
        steps[i].run(check);
        vi_check_cut(check);
    }
    if (check->stopped)
        return vi_fail(ECANCELED, "%s: the check was stopped by its caller", check->file->path);
    if (check->all_damage != 0)
        return vi_fail(EBADMSG, "%s: damaged (findings: %u): %s", check->file->path,
                       check->all_damage, check->first);
    return 0;
}

/* Compares what may never differ between the copies.  That it is a member may: it was killed
 * while it became one. */
static bool same_segment(const struct vi_superblock *a, const struct vi_superblock *b)
{
    return memcmp(a->uuid, b->uuid, sizeof a->uuid) == 0 && a->address == b->address &&
           a->max_size == b->max_size &&
           ((a->features_must ^ b->features_must) & ~(uint64_t)(VI_MUST_MEMBER | VI_MUST_REDO)) ==
               0 &&
           a->data_offset == b->data_offset;
}

static int read_copies(struct vi_check *check)
{
    unsigned char pages[VI_SUPERBLOCKS * VI_SUPERBLOCK_SIZE] = {0};
    struct vi_superblock copy;
    unsigned good = 0;

    if (pread(check->file->fd, pages, sizeof pages, 0) < 0)
        return vi_fail_system(errno, "%s: cannot read", check->file->path);
    for (unsigned i = 0; i < VI_SUPERBLOCKS; i++) {
        memcpy(&copy, pages + i * VI_SUPERBLOCK_SIZE, sizeof copy);
        if (vi_superblock_check(check->file, &copy, true) != 0) {
            vi_check_say(check, VI_CHECK_NOTE, "copy %u, at file offset %u, is not used: %s", i,
                         i * VI_SUPERBLOCK_SIZE, vi_error_message());
            continue;
        }
        good++;
        if (!same_segment(&copy, check->superblock))
            vi_check_say(check, VI_CHECK_DAMAGE, "the two copies are of different segments");
    }
    if (check->damage == 0)
        vi_check_say(check, VI_CHECK_PASSED, "%s",
                     good == 2 ? "both copies are sound" : "one copy is sound, which is enough");
    return 0;
}

/* Finds the superblock.  -1 with errno when there is none to go by. */
static int check_superblock(struct vi_check *check, struct vi_superblock *superblock)
{
    const int found = vi_superblock_read(check->file, true, superblock);

    begin_step(check, "superblock");
    if (found == 1)
        vi_fail(EBADMSG, "%s: not a vista segment: empty, or its creation was killed",
                check->file->path);
    if (found != 0) {
        const int error = errno;

        vi_check_say(check, VI_CHECK_DAMAGE, "%s", vi_error_message());
        errno = error;
        return -1;
    }
    check->superblock = superblock;
    return read_copies(check);
}

int vi_check_file(const struct vi_file *file, vista_report_fn report, void *arg,
                  struct vi_check_totals *totals)
{
    return vi_check_visit(file, report, arg, totals, NULL);
}

int vi_check_visit(const struct vi_file *file, vista_report_fn report, void *arg,
                   struct vi_check_totals *totals, const struct vi_check_visitor *visitor)
{
    struct vi_check_totals own;
    struct vi_check check = {.file = file,
                             .report = report,
                             .arg = arg,
                             .totals = totals != NULL ? totals : &own,
                             .visitor = visitor != NULL ? visitor : &no_visitor};
    unsigned char *meta;
    size_t size;
    int result;

    memset(check.totals, 0, sizeof *check.totals);
    if (check_superblock(&check, &check.totals->superblock) != 0)
        return -1;
    /* The file is known to be long enough. */
    size = vi_superblock_meta_size(check.superblock);
    meta = vi_view_map(file, size);
    if (meta == NULL)
        return -1;
    check.meta = meta;
    result = run_steps(&check);
    vi_check_members_close(&check);
    munmap(meta, size);
    return result;
}

int vi_check_mapped(const struct vi_file *file, const struct vi_superblock *superblock,
                    const unsigned char *meta, vista_report_fn report, void *arg)
{
    struct vi_check_totals totals = {.superblock = *superblock};
    struct vi_check check = {.file = file,
                             .superblock = superblock,
                             .meta = meta,
                             .report = report,
                             .arg = arg,
                             .totals = &totals,
                             .visitor = &no_visitor,
                             .is_recovered = true};

    return run_steps(&check);
}

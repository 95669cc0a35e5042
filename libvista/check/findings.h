/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A check as its steps share it: what it has found, and looking through the file.  A step looks at one part of the file, says
 * what it finds, and leaves to later steps only what it found good.
 */
#ifndef VI_CHECK_FINDINGS_H
#define VI_CHECK_FINDINGS_H

#include "check/totals.h"
#include "media/file.h"
#include "vista.h"

enum vi_check_severity { VI_CHECK_PASSED, VI_CHECK_NOTE, VI_CHECK_DAMAGE };

struct vi_check {
    const struct vi_file *file;
    const struct vi_superblock *superblock;
    const unsigned char *meta; /* the file's beginning, to the end of the metadata */
    vista_report_fn report;
    void *arg;
    struct vi_check_totals *totals;
    const struct vi_check_visitor *visitor; /* never NULL */
    const char *step;                       /* the one that runs */
    unsigned findings;                      /* of it: notes and damage */
    unsigned damage;                        /* of it */
    unsigned all_damage;                    /* of all steps so far */
    bool stopped;                           /* by `report`: nothing more is said */
    bool root_pending;                      /* a log that is not idle says what the root will be */
    bool chains_good;                       /* the logs can be walked */
    bool descriptors_good;
    bool overlaid;     /* meta has what a redo log says, which the file has not yet */
    bool is_recovered; /* it is mapped, and what it was open with does not matter any more */
    struct vi_check_member *members; /* that records name, see steps_group.h; NULL: none yet */
    char first[512];                 /* the first damage found */
};

/* One line of the report.  A step that finds the same thing everywhere is cut short. */
void vi_check_say(struct vi_check *check, enum vi_check_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* At a step's end: says how much of it was cut short. */
void vi_check_cut(struct vi_check *check);

/* Looks through 8-byte words of the file for those that are not zero. */
struct vi_check_scan {
    const struct vi_check *check;
    uint64_t from;     /* where it began */
    uint64_t at;       /* file offset of the next word to look at */
    uint64_t end;      /* of the search */
    uint64_t data_end; /* up to here the file system has said that there is data */
};
struct vi_check_scan vi_check_scan(const struct vi_check *check, uint64_t from, uint64_t end);
/* The offset of the next such word, or `end`. */
uint64_t vi_check_next(struct vi_check_scan *scan);

static inline void vi_check_span_found(const struct vi_check *check, uint64_t offset,
                                       uint64_t length, uint64_t block_size)
{
    if (check->visitor->span != NULL)
        check->visitor->span(check->visitor->arg, offset, length, block_size);
}

static inline void vi_check_block_found(const struct vi_check *check, uint64_t offset,
                                        uint64_t size)
{
    if (check->visitor->block != NULL)
        check->visitor->block(check->visitor->arg, offset, size);
}

static inline uint64_t vi_check_word(const struct vi_check *check, uint64_t offset)
{
    return __atomic_load_n((const uint64_t *)(check->meta + offset), __ATOMIC_RELAXED);
}

#endif

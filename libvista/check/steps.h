/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the steps of a check share.  A step looks at one part of the file, says
 * what it finds, and leaves to later steps only what it found good.
 */
#ifndef VI_CHECK_STEPS_H
#define VI_CHECK_STEPS_H

#include "check/check.h"

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
    char first[512]; /* the first damage found */
};

/* One line of the report.  A step that finds the same thing everywhere is cut short. */
void vi_check_say(struct vi_check *check, enum vi_check_severity severity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

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

/* A span; blocks are numbered from its first unit on. */
struct vi_check_span {
    uint64_t unit;
    uint64_t units;
    uint64_t block_size;
    uint64_t blocks;
};

uint64_t vi_check_units(const struct vi_check *check); /* of the data as large as it is now */
uint64_t vi_check_descriptor(const struct vi_check *check, uint64_t unit);
/* The span that a unit lies in, of a large one but the first units; false: none that
 * makes sense. */
bool vi_check_span_of(const struct vi_check *check, uint64_t unit, struct vi_check_span *span);
bool vi_check_mark(const struct vi_check *check, const struct vi_check_span *span, uint64_t block);

/* The steps, in order. */
void vi_check_state(struct vi_check *check);
void vi_check_size(struct vi_check *check);
void vi_check_slots(struct vi_check *check);
void vi_check_records(struct vi_check *check);
void vi_check_descriptors(struct vi_check *check);
void vi_check_marks(struct vi_check *check);
void vi_check_root(struct vi_check *check);

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * States: see states.h.  Where a point has few states all are tried; else, with up to
 * ALL_LINES lines in doubt, all choices of none or all of each line's stores; and
 * with more of them none, all, singles, all but one; in both cases also a seeded
 * sample in which lines are torn.
 */
#include "states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "image.h"
#include "memory.h"
#include "model.h"
#include "vista.h"

#define ALL_LINES 12
#define ALL_STATES 4096 /* of LIVE at one point: 2^ALL_LINES */
#define SAMPLE 384
#define MANY_LINES 64    /* from here on a smaller sample: each state takes longer */
#define SECOND_STATES 96 /* the same of IMAGE, for each state of LIVE */
#define SECOND_SAMPLE 24
#define SECOND_FEW 12 /* instead of both, for three states out of four */
#define LONG_STORE 48 /* points in one store or recovery of an exact world before only */
#define LONG_STEP 16  /* one in so many is taken: a memcpy stops at every word */
#define WHOLE_STEP 16 /* the mapping of all files takes longer, too */
#define DIRTY_MAX 16384

struct states states;

struct dirty {
    struct line *line[DIRTY_MAX];
    uint32_t pick[DIRTY_MAX]; /* which of its versions */
    size_t count;
};
static struct dirty lives, images;
static uint64_t salt;
static unsigned outcome_wanted; /* of a crash inside recovery: that of the recovery */
static const char *second_why;  /* what went wrong there */

/* ---- Which images were seen -------------------------------------------- */

#define TABLE_BITS 27
#define TABLE_SIZE ((size_t)1 << TABLE_BITS)

static uint64_t *table; /* hashes; 0: empty; shared by all processes */

static bool is_new(uint64_t hash)
{
    hash += hash == 0;
    for (size_t i = hash >> (64 - TABLE_BITS);; i++) {
        uint64_t *entry = &table[i % TABLE_SIZE], found = 0;

        if (__atomic_compare_exchange_n(entry, &found, hash, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return true;
        if (found == hash)
            return false;
    }
}

/* Verdicts of this run: an image is judged again when the model has changed. */
#define MEMO_SIZE ((size_t)1 << 18)

static struct {
    uint64_t hash, epoch;
} memo[MEMO_SIZE];

static bool is_judged(uint64_t hash)
{
    const size_t i = hash % MEMO_SIZE;

    if (memo[i].hash == hash && memo[i].epoch == model.epoch)
        return true;
    memo[i].hash = hash;
    memo[i].epoch = model.epoch;
    return false;
}

void states_share(void)
{
    table = mmap(NULL, TABLE_SIZE * sizeof *table, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        abort();
}

void states_begin(uint64_t new_salt)
{
    salt = new_salt * 0x9e3779b97f4a7c15u;
    memset(memo, 0, sizeof memo);
    states.number = 0;
    model.epoch = 1;
}

/* ---- Reporting --------------------------------------------------------- */

static void print_lines(const char *title, const struct dirty *dirty)
{
    printf("  %s\n", title);
    for (size_t i = 0; i < dirty->count && i < 40; i++)
        printf("    file %u, offset 0x%llx: %u of %u stores\n",
               (unsigned)(dirty->line[i]->offset >> FILE_SHIFT),
               (unsigned long long)dirty->line[i]->offset & (((uint64_t)1 << FILE_SHIFT) - 1),
               dirty->pick[i], dirty->line[i]->count - 1);
}

static void report(const char *why, bool inside_recovery)
{
    states.bad++;
    printf("BAD: %s\n", why);
    print_lines("lines in doubt at the crash, and what of each reached memory:", &lives);
    if (inside_recovery)
        print_lines("then a crash inside recovery, its lines in doubt:", &images);
    printf("  see it again: %s --state %llu\n", states.rerun, (unsigned long long)states.number);
    fflush(stdout);
}

/* ---- Enumerating ------------------------------------------------------- */

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void gather(const struct world *world, struct dirty *dirty)
{
    dirty->count = 0;
    for (size_t i = 0; i < world->used; i++)
        if (world->lines[i]->count > 1 && dirty->count < DIRTY_MAX)
            dirty->line[dirty->count++] = world->lines[i];
}

static uint64_t combinations(const struct dirty *dirty, uint64_t limit)
{
    uint64_t product = 1;

    for (size_t i = 0; i < dirty->count && product <= limit; i++)
        product *= dirty->line[i]->count;
    return product;
}

static void set_all(struct dirty *dirty, bool full)
{
    for (size_t i = 0; i < dirty->count; i++)
        dirty->pick[i] = full ? dirty->line[i]->count - 1 : 0;
}

static void try_every(struct dirty *dirty, void (*try)(void))
{
    size_t i;

    set_all(dirty, false);
    do {
        try();
        for (i = 0; i < dirty->count && ++dirty->pick[i] == dirty->line[i]->count; i++)
            dirty->pick[i] = 0;
    } while (i < dirty->count);
}

static void try_subsets(struct dirty *dirty, void (*try)(void))
{
    for (uint32_t set = 0; set < 1u << dirty->count; set++) {
        for (size_t i = 0; i < dirty->count; i++)
            dirty->pick[i] = set >> i & 1 ? dirty->line[i]->count - 1 : 0;
        try();
    }
}

static void try_extremes(struct dirty *dirty, uint64_t singles, uint64_t *random, void (*try)(void))
{
    const size_t step = dirty->count / (singles + 1) + 1;

    for (int full = 0; full <= 1; full++) {
        set_all(dirty, full);
        try();
        for (size_t i = random_next(random) % step; i < dirty->count; i += step) {
            set_all(dirty, full);
            dirty->pick[i] = full ? 0 : dirty->line[i]->count - 1;
            try();
        }
    }
}

static void try_sample(struct dirty *dirty, unsigned count, uint64_t *random, void (*try)(void))
{
    for (unsigned n = 0; n < count; n++) {
        const uint64_t bias = random_next(random) % 7; /* how many reach memory */

        for (size_t i = 0; i < dirty->count; i++) {
            const uint64_t r = random_next(random);

            dirty->pick[i] = r % 4 == 0             ? (uint32_t)((r >> 8) % dirty->line[i]->count)
                             : (r >> 8) % 7 <= bias ? dirty->line[i]->count - 1
                                                    : 0;
        }
        try();
    }
}

static void enumerate(struct dirty *dirty, uint64_t limit, unsigned sample, uint64_t random,
                      void (*try)(void))
{
    if (combinations(dirty, limit) <= limit) {
        try_every(dirty, try);
        return;
    }
    if (dirty->count <= ALL_LINES && (uint64_t)1 << dirty->count <= limit)
        try_subsets(dirty, try);
    else
        try_extremes(dirty, sample, &random, try);
    try_sample(dirty, sample, &random, try);
}

static uint64_t hash_of(const struct dirty *dirty, uint64_t hash)
{
    for (size_t i = 0; i < dirty->count; i++)
        if (dirty->pick[i] != 0)
            hash ^=
                dirty->line[i]->versions[0].hash ^ dirty->line[i]->versions[dirty->pick[i]].hash;
    return hash;
}

/* Puts the picked versions into the deeper worlds, or the durable ones back. */
static void place(const struct dirty *dirty, const struct world *from, bool back)
{
    for (size_t i = 0; i < dirty->count; i++) {
        const struct line *line = dirty->line[i];

        if (dirty->pick[i] == 0)
            continue;
        for (const struct world *to = from + 1; to < worlds + WORLDS; to++)
            memcpy(memory_mirror(from, line->at, to),
                   line->versions[back ? 0 : dirty->pick[i]].bytes, LINE);
    }
}

/* ---- Crashes inside recovery ------------------------------------------- */

static uint64_t image_hash;    /* of the state of LIVE that is being recovered */
static unsigned second_points; /* so far, in its recovery */

static struct trial new_trial(uint64_t hash)
{
    return (struct trial){.files = model.files,
                          .order = (unsigned)(hash >> 8),
                          .created = states.created,
                          .size = model.file[0].size,
                          .may_be_clean = states.may_be_clean,
                          .copied = states.copied};
}

static bool recover(int world, struct trial *trial)
{
    return states.whole ? image_recover_all(world, trial) : image_recover_log(world, trial);
}

static void try_second(void)
{
    const uint64_t hash = hash_of(&images, image_hash ^ worlds[IMAGE].hash);
    struct trial trial = new_trial(hash);
    unsigned outcome = 0;

    if (second_why != NULL || is_judged(hash ^ 1))
        return;
    trial.may_be_clean = ~0u; /* a member is, once it is recovered */
    states.tried++;
    if (is_new(hash ^ salt)) {
        states.distinct++;
        states.second++;
    }
    place(&images, &worlds[IMAGE], false);
    second_why = recover(SECOND, &trial) ? model_judge(trial.found, &outcome) : trial.why;
    memory_forget(&worlds[SECOND], true);
    place(&images, &worlds[IMAGE], true);
    if (second_why == NULL && outcome_wanted != ~0u && outcome != outcome_wanted)
        second_why = "a second recovery came to another outcome";
    if (second_why == NULL)
        outcome_wanted = outcome;
    else
        report(second_why, true);
}

/* A mapping of all files has many points, most of them in superblocks: a few of them, of
 * one recovery out of so many all. */
static bool is_left_out(void)
{
    return states.whole && image_hash % WHOLE_STEP != 0 &&
           (image_hash / WHOLE_STEP + second_points) % WHOLE_STEP != 0;
}

static void point_in_recovery(void)
{
    const bool few = image_hash % 4 != 0 || lives.count > MANY_LINES;

    if (second_why != NULL || (++second_points > LONG_STORE && second_points % LONG_STEP != 0) ||
        is_left_out())
        return;
    gather(&worlds[IMAGE], &images);
    enumerate(&images, few ? SECOND_FEW : SECOND_STATES, few ? SECOND_FEW : SECOND_SAMPLE,
              states.seed + states.number, try_second);
}

/* ---- Crashes of what a scenario does ----------------------------------- */

static const char *judge(const struct trial *trial)
{
    unsigned outcome;

    return model_judge(trial->found, &outcome);
}

static void try_through_files(uint64_t hash)
{
    struct trial trial = new_trial(hash);

    states.files++;
    if (!image_try_files(&trial, judge))
        report(trial.why, false);
}

static void try_in_memory(uint64_t hash)
{
    struct trial trial = new_trial(hash);
    unsigned outcome = 0;
    const char *why;

    outcome_wanted = ~0u;
    second_why = NULL;
    second_points = 0;
    worlds[IMAGE].hash = 0;
    why = recover(IMAGE, &trial) ? model_judge(trial.found, &outcome) : trial.why;
    memory_forget(&worlds[IMAGE], true);
    if (second_why == NULL && why == NULL && outcome_wanted != ~0u && outcome != outcome_wanted)
        why = "a crash inside recovery changes the outcome";
    if (why != NULL && second_why == NULL)
        report(why, false);
}

static void try_live(void)
{
    const uint64_t hash = hash_of(&lives, worlds[LIVE].hash);
    const uint64_t each = states.whole ? states.file_each / WHOLE_STEP + 1 : states.file_each;

    states.number++;
    if (states.bad != 0 || (states.only != 0 && states.number != states.only))
        return;
    if (is_judged(hash))
        return;
    place(&lives, &worlds[LIVE], false);
    if (states.class_changes && !image_flushes(IMAGE)) {
        place(&lives, &worlds[LIVE], true);
        return;
    }
    states.tried++;
    states.distinct += is_new(hash ^ salt);
    image_hash = hash;
    if (!states.through_files)
        try_in_memory(hash);
    if (states.bad == 0 && (states.through_files || (states.file_each != 0 && hash % each == 0)))
        try_through_files(hash);
    place(&lives, &worlds[LIVE], true);
}

/* Is it deep in a long store, where all states are alike? */
static bool is_passed_over(const struct world *world)
{
    static uint64_t store;
    static unsigned points;

    points = store == memory.stores ? points + 1 : 0;
    store = memory.stores;
    return world->exact && points > LONG_STORE && points % LONG_STEP != 0;
}

void states_point(struct world *world)
{
    if (!states.on || world == &worlds[SECOND])
        return;
    if (world == &worlds[IMAGE]) {
        point_in_recovery();
        return;
    }
    if (is_passed_over(world))
        return;
    gather(world, &lives);
    if (lives.count > states.most_dirty)
        states.most_dirty = lives.count;
    model_prepare();
    enumerate(&lives, states.whole ? ALL_STATES / 8 : ALL_STATES,
              states.whole || lives.count > MANY_LINES ? SAMPLE / 16 : SAMPLE,
              states.seed + states.number, try_live);
}

void states_after_call(void)
{
    memory_complete();
    states_point(&worlds[LIVE]);
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The model: see model.h.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap/spans.h"
#include "memory.h"
#include "states.h"

#define WORDS (LINE / 8)

struct model model;

/* A line to be looked at in each state: its bytes of one act, or of none. */
struct part {
    int file;
    size_t offset; /* in its data */
    size_t place;
    int act; /* ACTS: bytes of no act */
    uint64_t base[WORDS], after[WORDS];
    uint64_t base_mask[WORDS], after_mask[WORDS]; /* bytes that count */
};
static struct part *parts;
static size_t part_count, part_capacity;
static unsigned char prepared[DATA_MAX / LINE];

void model_reset(void)
{
    memset(&model, 0, sizeof model);
}

void model_add(size_t size, size_t room, bool heap)
{
    struct model_file *file = &model.file[model.files++];

    *file = (struct model_file){
        .first = model.size, .room = room, .size = size, .next = size, .heap = heap};
    model.size += room;
    if (model.size > DATA_MAX)
        abort();
    memset(model.role + file->first, UNUSED, room);
    if (!heap)
        memset(model.role + file->first, LIVE_BYTE, size);
}

int model_file_at(size_t place)
{
    int file = model.files - 1;

    while (place < model.file[file].first)
        file--;
    return file;
}

void model_resize(int number, size_t size)
{
    struct model_file *file = &model.file[number];

    model.epoch++;
    file->next = size;
    if (size > file->size && !file->heap)
        memset(model.role + file->first + file->size, LIVE_BYTE, size - file->size);
    if (size > file->size)
        memset(model.base + file->first + file->size, 0, size - file->size);
}

void model_resized(int number)
{
    struct model_file *file = &model.file[number];

    model.epoch++;
    if (file->next < file->size)
        memset(model.role + file->first + file->next, UNUSED, file->size - file->next);
    file->size = file->next;
}

/* What a transaction may use of a file that is being resized, is there. */
static void decide_size(size_t place, size_t length)
{
    const int number = model_file_at(place);
    const struct model_file *file = &model.file[number];

    if (place + length > file->first + file->size && file->next > file->size)
        model_resized(number);
}

static const unsigned char *live(size_t place)
{
    const int file = model_file_at(place);

    return worlds[LIVE].region[REGION(file, DATA)].base + (place - model.file[file].first);
}

void model_range(int act, size_t place, size_t length)
{
    model.epoch++;
    decide_size(place, length);
    for (size_t i = place; i < place + length; i++)
        if (model.role[i] == LIVE_BYTE) {
            model.role[i] = RANGE;
            model.owner[i] = (unsigned char)act;
        }
}

static uint64_t *block_word(uint64_t *words, size_t place, uint64_t *bit)
{
    *bit = (uint64_t)1 << place / GRANULE % 64;
    return &words[place / GRANULE / 64];
}

void model_extended(int act, size_t place, size_t length)
{
    model.epoch++;
    decide_size(place, length);
    for (size_t i = place; i < place + length; i++) {
        const int owner = model.owner[i];

        /* Freed by one that is still committing, or of one that is still aborting: handed out only
         * because its slot is durably idle, so it must be found ended from now on. */
        if (model.role[i] == GOING && owner != act && model.act[owner].ending)
            model_commit(owner);
        else if (model.role[i] == FRESH && owner != act && model.act[owner].aborting)
            model_abort(owner);
        if (model.role[i] != UNUSED) {
            printf("BAD: vista_malloc handed out %zu, which is in use (byte %zu, role %d)\n"
                   "  see it again: %s\n",
                   place, i, model.role[i], states.rerun);
            exit(1);
        }
        model.role[i] = FRESH;
        model.owner[i] = (unsigned char)act;
    }
}

void model_allocated(int act, size_t place, size_t length)
{
    uint64_t bit, *word = block_word(model.act[act].changed, place, &bit);

    model_extended(act, place, length);
    *word ^= bit;
}

void model_freed(int act, size_t place, size_t length)
{
    uint64_t bit, *word = block_word(model.act[act].changed, place, &bit);

    model.epoch++;
    *word ^= bit;
    for (size_t i = place; i < place + length; i++) {
        model.role[i] = model.role[i] == FRESH ? UNUSED : GOING;
        model.owner[i] = (unsigned char)act;
    }
}

void model_commit(int number)
{
    struct act *act = &model.act[number];

    model.epoch++;
    if (!act->decided)
        for (size_t i = 0; i < model.size; i++) {
            if (model.owner[i] != number || model.role[i] < RANGE)
                continue;
            if (model.role[i] != GOING)
                model.base[i] = *live(i);
            model.role[i] = model.role[i] == GOING ? UNUSED : LIVE_BYTE;
        }
    for (size_t i = 0; i < BLOCK_WORDS && !act->decided; i++)
        model.blocks[i] ^= act->changed[i];
    if (act->moves_root && !act->decided)
        memcpy(model.root, act->root, sizeof model.root);
    memset(act->changed, 0, sizeof act->changed);
    act->moves_root = false;
    act->decided = true;
}

void model_abort(int number)
{
    model.epoch++;
    for (size_t i = 0; i < model.size; i++)
        if (model.owner[i] == number && model.role[i] >= RANGE)
            model.role[i] = model.role[i] == FRESH ? UNUSED : LIVE_BYTE;
    memset(&model.act[number], 0, sizeof model.act[number]);
}

/* ---- Judging ----------------------------------------------------------- */

static struct part *add_part(size_t place, int act)
{
    struct part *part;

    if (part_count == part_capacity) {
        part_capacity += 256;
        parts = realloc(parts, part_capacity * sizeof *parts);
    }
    part = &parts[part_count++];
    memset(part, 0, sizeof *part);
    part->file = model_file_at(place);
    part->offset = place - model.file[part->file].first;
    part->place = place;
    part->act = act;
    memcpy(part->base, model.base + place, LINE);
    memcpy(part->after, live(place), LINE);
    return part;
}

/* The parts of one line of data. */
static void prepare_line(size_t place)
{
    struct part *of[ACTS + 1] = {NULL};
    const size_t first = part_count;

    if (prepared[place / LINE])
        return;
    prepared[place / LINE] = 1;
    for (unsigned i = 0; i < LINE; i++) {
        const unsigned role = model.role[place + i];
        const int act = role == LIVE_BYTE ? ACTS : model.owner[place + i];

        if (role == UNUSED)
            continue;
        if (of[act] == NULL) {
            add_part(place, act);
            for (size_t p = first; p < part_count; p++) /* they may have moved */
                of[parts[p].act] = &parts[p];
        }
        if (role != FRESH)
            ((unsigned char *)of[act]->base_mask)[i] = 0xff;
        if (role == RANGE || role == FRESH)
            ((unsigned char *)of[act]->after_mask)[i] = 0xff;
    }
}

/* Parts of acts stay from point to point while the model does. */
static void prepare_acts(void)
{
    static uint64_t epoch;
    static size_t of_acts;

    for (size_t i = epoch == model.epoch ? of_acts : 0; i < part_count; i++)
        prepared[parts[i].place / LINE] = 0;
    if (epoch == model.epoch) {
        part_count = of_acts;
        for (size_t i = 0; i < part_count; i++) {
            prepared[parts[i].place / LINE] = 1;
            memcpy(parts[i].after, live(parts[i].place), LINE);
        }
        return;
    }
    epoch = model.epoch;
    part_count = 0;
    for (size_t i = 0; i < model.size; i++)
        if (model.role[i] >= RANGE) {
            prepare_line(i / LINE * LINE);
            i |= LINE - 1;
        }
    of_acts = part_count;
}

/* Where a line of data lies; NOWHERE: it is not data of a file as it is or is to be. */
static size_t place_of(const struct world *world, const struct line *line)
{
    const unsigned region = REGION_OF(line->at);
    const struct model_file *file = &model.file[region / AREAS];
    const size_t offset = (size_t)(line->at - world->region[region].base);

    if (region % AREAS != DATA || (offset >= file->size && offset >= file->next))
        return NOWHERE;
    return file->first + offset;
}

void model_prepare(void)
{
    const struct world *world = &worlds[LIVE];

    prepare_acts();
    for (size_t i = 0; i < world->used && !world->exact; i++) {
        const struct line *line = world->lines[i];
        const size_t place = line->count > 1 ? place_of(world, line) : NOWHERE;

        if (place != NOWHERE)
            prepare_line(place);
    }
}

static bool same(const uint64_t *found, const uint64_t *wanted, const uint64_t *mask)
{
    uint64_t wrong = 0;

    for (unsigned i = 0; i < WORDS; i++)
        wrong |= (found[i] ^ wanted[i]) & mask[i];
    return wrong == 0;
}

/* Lines that recovery stored to although no act has bytes in them. */
static const char *judge_touched(const struct found *found)
{
    for (int w = IMAGE; w < WORLDS; w++)
        for (size_t i = 0; i < worlds[w].used; i++) {
            const size_t place = place_of(&worlds[w], worlds[w].lines[i]);
            const int file = place != NOWHERE ? model_file_at(place) : 0;
            const size_t offset = place - model.file[file].first;

            if (place == NOWHERE || prepared[place / LINE] || offset >= found[file].size)
                continue;
            for (unsigned b = 0; b < LINE; b++)
                if (model.role[place + b] == LIVE_BYTE &&
                    found[file].data[offset + b] != model.base[place + b])
                    return "recovery changed data that no open transaction had declared";
        }
    return NULL;
}

/* The blocks that are allocated in a file, as stored. */
static const char *read_blocks(const struct found *found, size_t first, uint64_t *blocks)
{
    const struct vi_heap_header *header = (const struct vi_heap_header *)found->heap;
    const uint64_t *descriptors = (const uint64_t *)(found->heap + VI_PAGE);
    const uint8_t *marks = (const uint8_t *)(descriptors + found->descriptors);
    const uint64_t all = found->size / VI_UNIT;

    for (uint64_t unit = 0; unit < all;) {
        const uint64_t d = descriptors[unit], units = VI_SPAN_UNITS(d);

        if (d == 0) {
            unit++;
            continue;
        }
        if (unit >= header->end)
            return "a span lies past what was ever used";
        if (units == 0 || units > all - unit || VI_SPAN_KIND(d) > VI_SPAN_LARGE ||
            VI_SPAN_CLASS(d) >= VI_CLASSES)
            return "a descriptor makes no sense";
        for (uint64_t i = 0; i < units * VI_MARKS_PER_UNIT; i++) {
            const uint64_t offset = unit * VI_UNIT + i * vi_span_block_size(d);
            const uint64_t at = (first + offset) / GRANULE;

            if (marks[unit * VI_MARKS_PER_UNIT + i] == VI_MARK_FREE)
                continue;
            if (marks[unit * VI_MARKS_PER_UNIT + i] != VI_MARK_ALLOCATED)
                return "a mark makes no sense";
            if (offset >= found->size)
                return "a block is marked past the end";
            blocks[at / 64] |= (uint64_t)1 << at % 64;
        }
        for (uint64_t i = 1; i < units; i++)
            if (descriptors[unit + i] != 0)
                return "spans overlap";
        unit += units;
        if (unit < all && descriptors[unit] == 0 && model.role[first + unit * VI_UNIT] == LIVE_BYTE)
            return "a block is shorter than it was when its transaction committed";
    }
    return NULL;
}

/* Sizes, the blocks of all files, and the root. */
static const char *judge_files(const struct found *found, uint64_t *blocks, uint64_t *root)
{
    static const uint64_t none[2];
    const char *why = NULL;

    memset(blocks, 0, BLOCK_WORDS * sizeof *blocks);
    for (int i = 0; i < model.files && why == NULL; i++) {
        const struct model_file *file = &model.file[i];

        if (found[i].size != file->size && found[i].size != file->next)
            return "the size is another one";
        if (!file->heap)
            continue;
        why = read_blocks(&found[i], file->first, blocks);
        if (i == 0)
            memcpy(root, found[i].heap, sizeof none);
        else if (memcmp(found[i].heap, none, sizeof none) != 0)
            return "a root has come from nowhere";
    }
    return why;
}

/* Which of `before` and `after` the blocks and the root speak for. */
static void judge_heap_of(const struct act *act, const uint64_t *blocks, const uint64_t *root,
                          bool *before, bool *after)
{
    for (size_t i = 0; i < model.size / GRANULE / 64; i++) {
        const uint64_t differ = (blocks[i] ^ model.blocks[i]) & act->changed[i];

        *before &= differ == 0;
        *after &= differ == act->changed[i];
    }
    if (act->moves_root) {
        *before &= memcmp(root, model.root, sizeof model.root) == 0;
        *after &= memcmp(root, act->root, sizeof act->root) == 0;
    }
}

const char *model_judge(const struct found *found, unsigned *outcome)
{
    static uint64_t blocks[BLOCK_WORDS], expected[BLOCK_WORDS];
    bool before[ACTS + 1], after[ACTS + 1], rooted = false;
    uint64_t root[2] = {0, 0};
    const char *why;

    *outcome = 0;
    why = judge_files(found, blocks, root);
    if (why == NULL)
        why = judge_touched(found);
    memcpy(expected, model.blocks, sizeof expected);
    memset(before, true, sizeof before);
    memset(after, true, sizeof after);
    for (size_t i = 0; i < part_count && why == NULL; i++) {
        const struct part *part = &parts[i];
        const uint64_t *bytes = (const uint64_t *)(found[part->file].data + part->offset);

        if (part->offset >= found[part->file].size)
            continue;
        before[part->act] &= same(bytes, part->base, part->base_mask);
        after[part->act] &= same(bytes, part->after, part->after_mask);
    }
    if (why == NULL && !before[ACTS])
        why = "data that no open transaction had declared is wrong";
    for (int i = 0; i < ACTS && why == NULL; i++) {
        const struct act *act = &model.act[i];

        if (!act->open || act->decided)
            continue;
        judge_heap_of(act, blocks, root, &before[i], &after[i]);
        if (before[i])
            continue;
        if (!act->ending)
            return "a transaction that did not commit is not undone";
        if (!after[i])
            return "a transaction is neither as before nor as after its commit";
        *outcome |= 1u << i;
        for (size_t b = 0; b < BLOCK_WORDS; b++)
            expected[b] ^= act->changed[b];
        rooted |= act->moves_root;
    }
    if (why == NULL && memcmp(blocks, expected, model.size / GRANULE / 8) != 0)
        why = "other blocks are allocated than should be";
    if (why == NULL && !rooted && memcmp(root, model.root, sizeof root) != 0)
        why = "the root is another one";
    return why;
}

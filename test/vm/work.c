/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Transactions whose outcome is known in advance.
 *
 * Step i of a stream is a list of actions that follows from the seed, the stream, i
 * and the state before.  It is carried out twice: on the model, in ordinary memory,
 * and on the segment, in a transaction that also counts it.  So the count found in
 * the segment after a crash says what every byte and every block must be.
 */
#include <string.h>

#include "guest.h"

#define ACTIONS 16
#define LONG_WRITE 20000 /* more than a log's first chunk holds */

enum action_kind { WRITE, ALLOCATE, REALLOCATE, REWRITE, FREE };

struct action {
    enum action_kind kind;
    unsigned slot;   /* but for WRITE */
    uint64_t offset; /* WRITE: in the area */
    uint64_t length; /* of the range, or of the block from now on */
    uint64_t tag;    /* of the new contents */
};

struct step {
    struct action actions[ACTIONS];
    unsigned count;
    struct vm_slot slots[VM_SLOTS]; /* after it */
};

/* ---- Numbers and contents ---------------------------------------------- */

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static uint64_t next(uint64_t *random)
{
    *random += 0x9e3779b97f4a7c15u;
    return mix(*random);
}

static uint64_t below(uint64_t *random, uint64_t limit)
{
    return next(random) % limit;
}

void vm_fill(void *to, uint64_t length, uint64_t tag)
{
    unsigned char *at = to;

    for (; length >= sizeof tag; length -= sizeof tag, at += sizeof tag) {
        tag = tag * 6364136223846793005u + 1442695040888963407u;
        memcpy(at, &tag, sizeof tag);
    }
    tag = tag * 6364136223846793005u + 1442695040888963407u;
    memcpy(at, &tag, length);
}

/* ---- Making up a step -------------------------------------------------- */

static struct action *add(struct step *step, enum action_kind kind, uint64_t *random)
{
    struct action *action = &step->actions[step->count++];

    *action = (struct action){.kind = kind, .tag = next(random)};
    return action;
}

static void add_write(struct step *step, uint64_t *random, uint64_t length)
{
    struct action *action = add(step, WRITE, random);

    action->length = length;
    action->offset = below(random, VM_AREA - length + 1);
}

static void add_block_action(struct step *step, uint64_t *random, unsigned slot,
                             enum action_kind kind)
{
    const uint64_t wanted = 1 + (below(random, VM_BLOCK_MAX) >> below(random, 12));
    struct vm_slot *now = &step->slots[slot];
    struct action *action = add(step, kind, random);

    action->slot = slot;
    action->length = kind == FREE ? 0 : kind == REWRITE ? now->size : wanted;
    now->size = action->length;
    now->tag = action->tag;
}

/* Whatever a random slot can go through. */
static void add_any_block_action(struct step *step, uint64_t *random)
{
    static const enum action_kind kinds[] = {FREE, FREE, REALLOCATE, REWRITE};
    const unsigned slot = (unsigned)below(random, VM_SLOTS);
    const bool is_empty = step->slots[slot].size == 0;

    add_block_action(step, random, slot, is_empty ? ALLOCATE : kinds[below(random, 4)]);
}

static bool is_big(uint64_t number)
{
    return number % VM_BIG_EVERY == 0;
}

/* A step with all there is in it: the log grows, blocks are made and freed. */
static void make_big(struct step *step, uint64_t *random)
{
    bool has_freed = false, has_allocated = false;

    add_write(step, random, LONG_WRITE);
    for (unsigned i = 0; i < 3; i++)
        add_write(step, random, 1 + below(random, 300));
    for (unsigned slot = 0; slot < VM_SLOTS; slot++)
        if (step->slots[slot].size != 0 && !has_freed) {
            add_block_action(step, random, slot, FREE);
            has_freed = true;
        } else if (step->slots[slot].size == 0 && !has_allocated) {
            add_block_action(step, random, slot, ALLOCATE);
            has_allocated = true;
        }
    add_any_block_action(step, random);
}

/* Step `number` of the model's stream; with `abandoned`, what it aborts before it. */
static void make_step(struct step *step, const struct vm_model *model, uint64_t number,
                      bool abandoned)
{
    uint64_t random = mix(model->seed) ^ mix(number * 4 + model->stream * 2 + abandoned);
    unsigned actions;

    step->count = 0;
    memcpy(step->slots, model->slots, sizeof step->slots);
    if (is_big(number)) {
        make_big(step, &random);
        return;
    }
    for (actions = 1 + (unsigned)below(&random, 4); actions > 0; actions--)
        if (below(&random, 2) == 0)
            add_write(step, &random, 1 + (below(&random, 4096) >> below(&random, 10)));
        else
            add_any_block_action(step, &random);
}

static void apply_to_model(struct vm_model *model, const struct step *step)
{
    for (const struct action *a = step->actions; a < step->actions + step->count; a++)
        if (a->kind == WRITE)
            vm_fill(model->area + a->offset, a->length, a->tag);
    memcpy(model->slots, step->slots, sizeof model->slots);
    model->count++;
}

void vm_model_start(struct vm_model *model, uint64_t seed, unsigned stream)
{
    memset(model, 0, sizeof *model);
    model->seed = seed;
    model->stream = stream;
}

void vm_model_advance(struct vm_model *model, uint64_t count)
{
    struct step step;

    while (model->count < count) {
        make_step(&step, model, model->count + 1, false);
        apply_to_model(model, &step);
    }
}

/* ---- On the segment ---------------------------------------------------- */

struct vm_root *vm_work_root(vista_segment *segment)
{
    struct vm_root *root = vista_root(segment, 0);

    if (root == NULL)
        vm_fail_call("vista_root");
    return root;
}

static vista_tx *begin(vista_segment *segment)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL)
        vm_fail_call("vista_begin_transaction");
    return tx;
}

static void declare(vista_tx *tx, void *address, size_t length)
{
    if (vista_set_range(tx, address, length) != 0)
        vm_fail_call("vista_set_range");
}

static void act_on_block(vista_tx *tx, struct vm_stream *stream, const struct action *a)
{
    void **slot = &stream->blocks[a->slot], *block = *slot;

    if (a->kind == FREE) {
        if (vista_free(tx, block) != 0)
            vm_fail_call("vista_free");
        block = NULL;
    } else if (a->kind == ALLOCATE) {
        block = vista_malloc(tx, a->length);
    } else if (a->kind == REALLOCATE) {
        block = vista_realloc(tx, block, a->length);
    }
    if (block == NULL && a->kind != FREE)
        vm_fail_call("vista_malloc or vista_realloc");
    if (block != NULL && block == *slot)
        declare(tx, block, a->length);
    declare(tx, slot, sizeof *slot);
    *slot = block;
    if (block != NULL)
        vm_fill(block, a->length, a->tag);
}

/* Writes next to each other in a step are declared together in every other step. */
static void act(vista_tx *tx, struct vm_stream *stream, const struct step *step, bool together)
{
    for (unsigned i = 0; i < step->count;) {
        struct iovec ranges[ACTIONS];
        const unsigned first = i;

        if (step->actions[i].kind != WRITE) {
            act_on_block(tx, stream, &step->actions[i++]);
            continue;
        }
        for (; i < step->count && step->actions[i].kind == WRITE && (together || i == first); i++)
            ranges[i - first] =
                (struct iovec){stream->area + step->actions[i].offset, step->actions[i].length};
        if (vista_set_ranges(tx, ranges, (int)(i - first)) != 0)
            vm_fail_call("vista_set_ranges");
        for (unsigned j = first; j < i; j++)
            vm_fill(ranges[j - first].iov_base, ranges[j - first].iov_len, step->actions[j].tag);
    }
}

static void run_and_abort(vista_segment *segment, const struct vm_model *model)
{
    struct vm_stream *stream = &vm_work_root(segment)->streams[model->stream];
    vista_tx *tx = begin(segment);
    struct step step;

    make_step(&step, model, model->count + 1, true);
    act(tx, stream, &step, true);
    if (vista_abort_transaction(tx) != 0)
        vm_fail_call("vista_abort_transaction");
}

void vm_work_abort(vista_segment *segment, const struct vm_model *model)
{
    run_and_abort(segment, model);
}

void vm_work_step(vista_segment *segment, struct vm_model *model, unsigned mode)
{
    struct vm_stream *stream = &vm_work_root(segment)->streams[model->stream];
    const uint64_t number = model->count + 1;
    struct step step;
    vista_tx *tx;

    if (number % VM_BIG_EVERY == VM_BIG_EVERY / 2)
        run_and_abort(segment, model);
    make_step(&step, model, number, false);
    apply_to_model(model, &step);
    tx = begin(segment);
    act(tx, stream, &step, number % 2 == 0);
    declare(tx, &stream->count, sizeof stream->count);
    stream->count = number;
    if (vista_end_transaction(tx, mode) != 0)
        vm_fail_call("vista_end_transaction");
}

void vm_work_leave_open(vista_segment *segment)
{
    struct vm_root *root = vm_work_root(segment);
    vista_tx *tx = begin(segment);
    void *block = vista_malloc(tx, 500);

    if (block == NULL)
        vm_fail_call("vista_malloc");
    vm_fill(block, 500, 1);
    declare(tx, root->scratch, sizeof root->scratch);
    vm_fill(root->scratch, sizeof root->scratch, root->seed + 1);
}

void vm_work_create(vista_segment *segment, uint64_t seed)
{
    struct vm_root *root = vista_root(segment, sizeof *root);
    vista_tx *tx;

    if (root == NULL)
        vm_fail_call("vista_root");
    tx = begin(segment);
    declare(tx, root, offsetof(struct vm_root, streams));
    root->magic = VM_MAGIC;
    root->seed = seed;
    vm_fill(root->scratch, sizeof root->scratch, seed);
    if (vista_end_transaction(tx, 0) != 0)
        vm_fail_call("vista_end_transaction");
}

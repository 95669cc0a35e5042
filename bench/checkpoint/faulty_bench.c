/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What `vista-bench failures` runs under vista-run: a program into which one bug is seeded, which it goes
 * through once, and which may have it crash some time later.
 *
 *     bench_faulty BUG SEED STEPS TALK
 *
 * It keeps words in a list in order, which each step inserts a word into, or removes one from, or
 * looks one up in; asks for the time every eighth step, and says something each TALK steps.  It looks at
 * its list as programs do that are written with care: where it comes by.  BUG is the number of
 * one of the bugs below, which is in the step that SEED draws.  At that step the program closes
 * descriptor 9,999, which there is not: a mark in the trace.
 *
 * The kinds are those of the dissertation's experiment (7.2): a bit of the heap, a bit of the stack, an
 * instruction that is left out, a branch that is, a wrong destination, a variable without its first
 * value, and a loop of one turn too many.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum bug { NONE, HEAP_BIT, STACK_BIT, NO_INSTRUCTION, NO_BRANCH, DESTINATION, NO_INIT, OFF_BY_ONE };

#define WORD 16
#define MARK 9999

struct node {
    char word[WORD];
    struct node *next, *before;
    uint64_t length; /* of the word */
};

static struct node *first;
static unsigned count, step, faulty_step;
static enum bug bug;
static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

/* Is this the place and the time of the bug? */
static int is_faulty(enum bug here)
{
    if (bug != here || step < faulty_step)
        return 0;
    bug = NONE;
    close(MARK);
    return 1;
}

static void must(int good)
{
    if (!good)
        abort();
}

static void draw_word(char *word)
{
    const unsigned length = 3 + (unsigned)draw(WORD - 4);
    unsigned i;

    for (i = 0; i < length; i++)
        word[i] = (char)('a' + draw(26));
    word[i] = '\0';
}

/* The node that the word belongs before, and the one that it belongs behind. */
static struct node *find(const char *word, struct node **before)
{
    struct node *at = first;

    *before = NULL;
    for (; at != NULL && strcmp(at->word, word) < 0; at = at->next) {
        must(at->before == *before && at->length < WORD);
        *before = at;
    }
    return at;
}

static void insert(const char *word)
{
    struct node *before, *node = malloc(sizeof *node), *at = find(word, &before);

    must(node != NULL);
    strcpy(node->word, word);
    node->length = strlen(word);
    if (!is_faulty(NO_INIT))
        node->next = at;
    else
        memset(&node->next, 0xa5, sizeof node->next); /* what malloc may have there */
    node->before = is_faulty(DESTINATION) ? node : before;
    if (is_faulty(OFF_BY_ONE)) /* behind the word is the next field */
        memcpy(&node->next, "x", 1);
    if (at != NULL && !is_faulty(NO_INSTRUCTION))
        at->before = node;
    if (before != NULL)
        before->next = node;
    else
        first = node;
    count++;
}

static void take_out(struct node *node)
{
    must(node->length == strlen(node->word));
    if (node->before != NULL && !is_faulty(NO_BRANCH))
        node->before->next = node->next;
    else
        first = node->next;
    if (node->next != NULL)
        node->next->before = node->before;
    memset(node, 0x5a, sizeof *node);
    free(node);
    count--;
}

static struct node *at_random(void)
{
    struct node *at = first;

    for (uint64_t i = count != 0 ? draw(count) : 0; at != NULL && i > 0; i--)
        at = at->next;
    return at;
}

static void flip(void *object, size_t size)
{
    ((unsigned char *)object)[draw(size)] ^= (unsigned char)(1u << draw(8));
}

/* One in eight looks through all. */
static uint64_t look_through(void)
{
    uint64_t sum = 0, seen = 0;

    for (const struct node *at = first; at != NULL; at = at->next, seen++) {
        must(at->next == NULL || strcmp(at->word, at->next->word) <= 0);
        sum += at->length;
    }
    must(seen == count);
    return sum;
}

static void one_step(void)
{
    struct node *kept[4] = {at_random(), at_random(), at_random(), first}, *before, *found;
    char word[WORD];

    draw_word(word);
    if (kept[0] != NULL && is_faulty(HEAP_BIT))
        flip(kept[0], sizeof *kept[0]);
    if (is_faulty(STACK_BIT))
        flip(kept, sizeof kept);
    found = find(word, &before);
    must(found == NULL || found->before == before);
    if (count < 40 || draw(2) == 0)
        insert(word);
    else if (kept[1] != NULL)
        take_out(kept[1]);
    if (kept[3] != NULL && kept[3] != kept[1])
        must(kept[3]->length == strlen(kept[3]->word));
}

int main(int argc, char **argv)
{
    const unsigned steps = argc > 4 ? (unsigned)atoi(argv[3]) : 1;
    const unsigned talk = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
    uint64_t sum = 0;

    bug = argc > 1 ? (enum bug)atoi(argv[1]) : NONE;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    faulty_step = 50 + (unsigned)draw(steps / 2);
    for (step = 1; step <= steps; step++) {
        struct timespec now;

        if (step % 8 == 0)
            clock_gettime(CLOCK_MONOTONIC, &now);
        one_step();
        if (step % 8 == 4)
            sum = look_through();
        if (step % talk == 0) {
            printf("step %u: %u words of %llu letters\n", step, count, (unsigned long long)sum);
            fflush(stdout);
        }
    }
    return 0;
}

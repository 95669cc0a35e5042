/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 7: a B+-tree: an ordered map from keys of up to 31 bytes to values of any
 * length, with range scans, and a command line for it.
 *
 *     cc -o btree 07_btree.c $(pkg-config --cflags --libs vista)
 *
 *     ./btree tree.vista put plum 3          puts or replaces
 *     ./btree tree.vista get plum
 *     ./btree tree.vista del plum
 *     ./btree tree.vista scan                all pairs, in the order of their keys
 *     ./btree tree.vista scan b m            those with b <= key <= m
 *     ./btree tree.vista fill 100000         as many pairs, in a scattered order
 *     ./btree tree.vista check               verifies the tree, counts keys and nodes
 *     ./btree tree.vista run < FILE          one such command in each line
 *
 * What a kill leaves: a put that splits nodes, or a del that merges them, changes many
 * places; they change together or not at all.  With "kill" before the command the
 * program dies when all is stored and only the commit is missing.
 *
 *     ./btree tree.vista kill put fig 7; ./btree tree.vista check
 *     timeout -s KILL 0.1 ./btree tree.vista fill 100000000; ./btree tree.vista check
 *
 * The tree.  Inner nodes hold only keys that separate: links[i] leads to the keys
 * below keys[i], links[i + 1] to the others.  All pairs are in the leaves, which are
 * linked from left to right.  Every node but the root has between FEWEST and MOST keys.
 * A put splits each full node on its way down, a del refills each node that has the
 * fewest keys, so that neither ever has to go back up.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vista.h>

#define SEGMENT_SIZE ((size_t)256 << 20)
#define KEY_SIZE 32
#define MOST 23 /* odd; nodes of 952 bytes */
#define FEWEST (MOST / 2)

struct key {
    char text[KEY_SIZE];
};

struct node {
    uint32_t is_leaf;
    uint32_t count;    /* of keys */
    struct node *next; /* of a leaf: the one to its right */
    struct key keys[MOST];
    void *links[MOST + 1]; /* leaf: the value of each key; inner: count + 1 nodes */
};

/* The root of the segment. */
struct tree {
    struct node *top; /* NULL: nothing was ever put */
    uint64_t count;
};

static bool die_before_commit;

/* ---- Looking ----------------------------------------------------------- */

/* How many of the node's keys are below `key`, or also equal to it. */
static uint32_t rank(const struct node *node, const char *key, bool or_equal)
{
    uint32_t low = 0, high = node->count;

    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        const int order = strcmp(node->keys[middle].text, key);

        if (order < 0 || (or_equal && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The leaf where the key is if it is anywhere. */
static struct node *leaf_of(const struct tree *tree, const char *key)
{
    struct node *node = tree->top;

    while (node != NULL && !node->is_leaf)
        node = node->links[rank(node, key, true)];
    return node;
}

static bool holds(const struct node *leaf, uint32_t at, const char *key)
{
    return at < leaf->count && strcmp(leaf->keys[at].text, key) == 0;
}

static const char *find(const struct tree *tree, const char *key)
{
    const struct node *leaf = leaf_of(tree, key);
    const uint32_t at = leaf == NULL ? 0 : rank(leaf, key, false);

    return leaf != NULL && holds(leaf, at, key) ? leaf->links[at] : NULL;
}

/* From the first key that is not below `from` through `to`, if that is not NULL. */
static void scan(const struct tree *tree, const char *from, const char *to)
{
    const struct node *leaf = leaf_of(tree, from);
    uint32_t at = leaf == NULL ? 0 : rank(leaf, from, false);

    for (; leaf != NULL; leaf = leaf->next, at = 0)
        for (; at < leaf->count; at++) {
            if (to != NULL && strcmp(leaf->keys[at].text, to) > 0)
                return;
            printf("%s\t%s\n", leaf->keys[at].text, (const char *)leaf->links[at]);
        }
}

/* ---- Changing nodes ---------------------------------------------------- */

/* From here to remove_key everything is part of a transaction: when one returns false,
 * vista_errormsg says why, and the caller aborts. */

/* Declares the whole node.  A range of this length is logged once in a transaction,
 * however often it is declared; so no one keeps account of what has been. */
static bool touch(vista_tx *tx, struct node *node)
{
    return vista_set_range(tx, node, sizeof *node) == 0;
}

static uint32_t links_of(const struct node *node)
{
    return node->is_leaf ? node->count : node->count + 1;
}

/* Makes room for a key and a link, and counts them. */
static void open_gap(struct node *node, uint32_t key, uint32_t link)
{
    memmove(&node->keys[key + 1], &node->keys[key], (node->count - key) * sizeof *node->keys);
    memmove(&node->links[link + 1], &node->links[link],
            (links_of(node) - link) * sizeof *node->links);
    node->count++;
}

static void close_gap(struct node *node, uint32_t key, uint32_t link)
{
    memmove(&node->keys[key], &node->keys[key + 1], (node->count - key - 1) * sizeof *node->keys);
    memmove(&node->links[link], &node->links[link + 1],
            (links_of(node) - link - 1) * sizeof *node->links);
    node->count--;
}

/* Copies the keys of `from`, and its links, from the given ones on behind those of `to`. */
static void append(struct node *to, const struct node *from, uint32_t first)
{
    memcpy(&to->keys[to->count], &from->keys[first], (from->count - first) * sizeof *to->keys);
    memcpy(&to->links[to->count], &from->links[first],
           (links_of(from) - first) * sizeof *to->links);
    to->count += from->count - first;
}

static struct node *make_node(vista_tx *tx, bool is_leaf)
{
    struct node *node = vista_calloc(tx, 1, sizeof *node);

    if (node != NULL)
        node->is_leaf = is_leaf;
    return node;
}

/* Splits the full node that links[at] of `parent`, which is not full, leads to. */
static bool split(vista_tx *tx, struct node *parent, uint32_t at)
{
    struct node *left = parent->links[at];
    struct node *right = make_node(tx, left->is_leaf);

    if (right == NULL || !touch(tx, parent) || !touch(tx, left))
        return false;
    open_gap(parent, at, at + 1);
    parent->keys[at] = left->keys[FEWEST];
    parent->links[at + 1] = right;
    /* A leaf keeps the key that separates; of an inner node it moves up. */
    append(right, left, left->is_leaf ? FEWEST : FEWEST + 1);
    left->count = FEWEST;
    if (left->is_leaf) {
        right->next = left->next;
        left->next = right;
    }
    return true;
}

/* The last of the left neighbour becomes the first of the node at links[at]. */
static void borrow_from_left(struct node *parent, uint32_t at)
{
    struct node *left = parent->links[at - 1], *node = parent->links[at];

    open_gap(node, 0, 0);
    node->keys[0] = node->is_leaf ? left->keys[left->count - 1] : parent->keys[at - 1];
    node->links[0] = left->links[links_of(left) - 1];
    parent->keys[at - 1] = left->keys[left->count - 1];
    left->count--;
}

/* The first of the right neighbour becomes the last of the node at links[at]. */
static void borrow_from_right(struct node *parent, uint32_t at)
{
    struct node *node = parent->links[at], *right = parent->links[at + 1];

    node->keys[node->count] = node->is_leaf ? right->keys[0] : parent->keys[at];
    node->links[links_of(node)] = right->links[0];
    node->count++;
    if (!node->is_leaf)
        parent->keys[at] = right->keys[0];
    close_gap(right, 0, 0);
    if (node->is_leaf)
        parent->keys[at] = right->keys[0];
}

/* The node at links[at + 1] becomes a part of that at links[at]. */
static bool merge(vista_tx *tx, struct node *parent, uint32_t at)
{
    struct node *left = parent->links[at], *right = parent->links[at + 1];

    if (!left->is_leaf)
        left->keys[left->count++] = parent->keys[at];
    append(left, right, 0);
    left->next = right->next;
    close_gap(parent, at, at + 1);
    return vista_free(tx, right) == 0;
}

/* Gives the node at links[at], which has the fewest keys, one more at least.  Returns
 * the node that now holds what it held. */
static struct node *refill(vista_tx *tx, struct node *parent, uint32_t at)
{
    struct node *node = parent->links[at];
    struct node *left = at > 0 ? parent->links[at - 1] : NULL;
    struct node *right = at < parent->count ? parent->links[at + 1] : NULL;

    if (!touch(tx, parent) || !touch(tx, node) || (left != NULL && !touch(tx, left)) ||
        (right != NULL && !touch(tx, right)))
        return NULL;
    if (left != NULL && left->count > FEWEST) {
        borrow_from_left(parent, at);
        return node;
    }
    if (right != NULL && right->count > FEWEST) {
        borrow_from_right(parent, at);
        return node;
    }
    if (left != NULL)
        return merge(tx, parent, at - 1) ? left : NULL;
    return merge(tx, parent, at) ? node : NULL;
}

/* ---- Changing the tree ------------------------------------------------- */

/* The top is there and not full: a tree grows at its top. */
static bool make_room_at_top(vista_tx *tx, struct tree *tree)
{
    struct node *top = tree->top;

    if (top != NULL && top->count < MOST)
        return true;
    if (vista_set_range(tx, tree, sizeof *tree) != 0)
        return false;
    tree->top = make_node(tx, top == NULL);
    if (tree->top == NULL || top == NULL)
        return tree->top != NULL;
    tree->top->links[0] = top;
    return split(tx, tree->top, 0);
}

/* The leaf that the key belongs in, not full. */
static struct node *leaf_with_room(vista_tx *tx, struct tree *tree, const char *key)
{
    struct node *node;

    if (!make_room_at_top(tx, tree))
        return NULL;
    for (node = tree->top; !node->is_leaf; node = node->links[rank(node, key, true)]) {
        const uint32_t at = rank(node, key, true);
        const struct node *child = node->links[at];

        if (child->count == MOST && !split(tx, node, at))
            return NULL;
    }
    return node;
}

static char *make_value(vista_tx *tx, const char *text)
{
    const size_t size = strlen(text) + 1;
    char *value = vista_malloc(tx, size);

    return value == NULL ? NULL : memcpy(value, text, size);
}

static bool put(vista_tx *tx, struct tree *tree, const char *key, const char *text)
{
    char *value = make_value(tx, text);
    struct node *leaf = value == NULL ? NULL : leaf_with_room(tx, tree, key);
    uint32_t at;

    if (leaf == NULL || !touch(tx, leaf))
        return false;
    at = rank(leaf, key, false);
    if (holds(leaf, at, key)) {
        if (vista_free(tx, leaf->links[at]) != 0)
            return false;
    } else {
        if (vista_set_range(tx, &tree->count, sizeof tree->count) != 0)
            return false;
        tree->count++;
        open_gap(leaf, at, at);
        memcpy(leaf->keys[at].text, key, strlen(key) + 1);
    }
    leaf->links[at] = value;
    return true;
}

/* The leaf that has the key, which is in the tree, with a key to spare. */
static struct node *leaf_to_take_from(vista_tx *tx, struct tree *tree, const char *key)
{
    struct node *node = tree->top;

    while (!node->is_leaf) {
        const uint32_t at = rank(node, key, true);
        struct node *child = node->links[at];

        if (child->count == FEWEST)
            child = refill(tx, node, at);
        if (child == NULL)
            return NULL;
        if (node == tree->top && node->count == 0) { /* merged: a tree shrinks at its top */
            if (vista_set_range(tx, tree, sizeof *tree) != 0 || vista_free(tx, node) != 0)
                return NULL;
            tree->top = child;
        }
        node = child;
    }
    return node;
}

static bool remove_key(vista_tx *tx, struct tree *tree, const char *key)
{
    struct node *leaf = leaf_to_take_from(tx, tree, key);
    uint32_t at;

    if (leaf == NULL || !touch(tx, leaf) ||
        vista_set_range(tx, &tree->count, sizeof tree->count) != 0)
        return false;
    at = rank(leaf, key, false);
    if (vista_free(tx, leaf->links[at]) != 0)
        return false;
    close_gap(leaf, at, at);
    tree->count--;
    return true;
}

/* One change as one transaction: put, or without a value remove. */
static bool change(vista_segment *segment, struct tree *tree, const char *key, const char *value)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL || !(value != NULL ? put(tx, tree, key, value) : remove_key(tx, tree, key))) {
        fprintf(stderr, "btree: %s\n", vista_errormsg());
        if (tx != NULL)
            vista_abort_transaction(tx);
        return false;
    }
    if (die_before_commit)
        raise(SIGKILL);
    return vista_end_transaction(tx, 0) == 0;
}

/* ---- Verifying --------------------------------------------------------- */

struct verdict {
    uint64_t keys, nodes;
    unsigned height;
    const struct node *last; /* leaf seen */
    const char *wrong;       /* NULL: nothing so far */
};

static void expect(struct verdict *verdict, bool right, const char *what)
{
    if (!right && verdict->wrong == NULL)
        verdict->wrong = what;
}

/* All keys below the node are at least `low` and less than `high`, where these are not
 * NULL; all leaves are at one depth, and linked in order.  It calls itself
 * as deep as the tree is high. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void verify(struct verdict *verdict, const struct node *node, const char *low,
                   const char *high, unsigned depth)
{
    verdict->nodes++;
    expect(verdict, node->count <= MOST && (depth == 1 || node->count >= FEWEST), "a count");
    for (uint32_t i = 0; i < node->count; i++) {
        const char *key = node->keys[i].text;

        expect(verdict, i == 0 || strcmp(node->keys[i - 1].text, key) < 0, "order in a node");
        expect(verdict, low == NULL || strcmp(low, key) <= 0, "a key too low");
        expect(verdict, high == NULL || strcmp(key, high) < 0, "a key too high");
    }
    if (node->is_leaf) {
        expect(verdict, verdict->height == 0 || verdict->height == depth, "depth of a leaf");
        expect(verdict, verdict->last == NULL || verdict->last->next == node, "link of a leaf");
        verdict->height = depth;
        verdict->last = node;
        verdict->keys += node->count;
        return;
    }
    for (uint32_t i = 0; i <= node->count; i++)
        verify(verdict, node->links[i], i == 0 ? low : node->keys[i - 1].text,
               i == node->count ? high : node->keys[i].text, depth + 1);
}

static bool check(const struct tree *tree)
{
    struct verdict verdict = {0};

    if (tree->top != NULL)
        verify(&verdict, tree->top, NULL, NULL, 1);
    expect(&verdict, verdict.last == NULL || verdict.last->next == NULL, "the last leaf's link");
    expect(&verdict, verdict.keys == tree->count, "the count of keys");
    if (verdict.wrong != NULL)
        printf("damaged: %s\n", verdict.wrong);
    else
        printf("%llu keys in %llu nodes, height %u\n", (unsigned long long)verdict.keys,
               (unsigned long long)verdict.nodes, verdict.height);
    return verdict.wrong == NULL;
}

/* ---- The command line -------------------------------------------------- */

static vista_segment *segment;
static struct tree *tree;

static bool usable(const char *key)
{
    if (strlen(key) < KEY_SIZE)
        return true;
    fprintf(stderr, "btree: a key has at most %d bytes\n", KEY_SIZE - 1);
    return false;
}

static bool run_put(char **words)
{
    return usable(words[0]) && change(segment, tree, words[0], words[1]);
}

static bool run_get(char **words)
{
    const char *value = find(tree, words[0]);

    printf("%s\n", value == NULL ? "not there" : value);
    return value != NULL;
}

static bool run_del(char **words)
{
    if (find(tree, words[0]) != NULL)
        return change(segment, tree, words[0], NULL);
    printf("not there\n");
    return false;
}

static bool run_scan(char **words)
{
    scan(tree, words[0] == NULL ? "" : words[0], words[0] == NULL ? NULL : words[1]);
    return true;
}

static bool run_fill(char **words)
{
    const unsigned long pairs = strtoul(words[0], NULL, 10);
    char key[KEY_SIZE], value[32];

    for (unsigned long i = 0; i < pairs; i++) {
        snprintf(key, sizeof key, "%010lu", i * 2654435761ul % 4294967296ul);
        snprintf(value, sizeof value, "value %lu", i);
        if (!change(segment, tree, key, value))
            return false;
    }
    return true;
}

static bool run_check(char **words)
{
    (void)words;
    return check(tree);
}

static bool run_lines(char **words);

static const struct command {
    const char *name;
    int fewest, most; /* words after it */
    bool (*run)(char **words);
} commands[] = {{"put", 2, 2, run_put},   {"get", 1, 1, run_get},   {"del", 1, 1, run_del},
                {"scan", 0, 2, run_scan}, {"fill", 1, 1, run_fill}, {"check", 0, 0, run_check},
                {"run", 0, 0, run_lines}};

/* `words` ends with NULL. */
static const struct command *find_command(char **words)
{
    int count = -1;

    if (words[0] == NULL)
        return NULL;
    while (words[count + 1] != NULL)
        count++;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(words[0], commands[i].name) == 0 && count >= commands[i].fewest &&
            count <= commands[i].most)
            return &commands[i];
    return NULL;
}

static bool run_lines(char **words)
{
    char line[512];

    (void)words;
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *parts[5] = {strtok(line, " \n")};
        const struct command *command;

        for (int i = 1; i < 4 && parts[i - 1] != NULL; i++)
            parts[i] = strtok(NULL, " \n");
        command = find_command(parts);
        if (command == NULL || command->run == run_lines) {
            fprintf(stderr, "btree: no such command\n");
            return false;
        }
        command->run(parts + 1);
    }
    return true;
}

int main(int argc, char **argv)
{
    const struct command *command;
    struct vista_info info;
    int first = 2;
    bool done;

    if (argc > 2 && strcmp(argv[2], "kill") == 0) {
        die_before_commit = true;
        first++;
    }
    command = argc > first ? find_command(argv + first) : NULL;
    if (command == NULL) {
        fprintf(stderr,
                "usage: %s FILE [kill] put KEY VALUE | get KEY | del KEY | scan [FROM [TO]] | "
                "fill NUMBER | check | run\n",
                argv[0]);
        return 2;
    }

    segment = vista_map(argv[1], SEGMENT_SIZE, VISTA_CREATE, NULL);
    tree = segment == NULL ? NULL : vista_root(segment, sizeof *tree);
    if (tree == NULL || vista_info(segment, &info) != 0) {
        fprintf(stderr, "btree: %s\n", vista_errormsg());
        return 1;
    }
    if (info.rolled_back + info.finished != 0)
        fprintf(stderr, "recovered: %llu transactions rolled back, %llu finished\n",
                (unsigned long long)info.rolled_back, (unsigned long long)info.finished);

    done = command->run(argv + first + 1);
    if (vista_unmap(segment) != 0) {
        fprintf(stderr, "btree: %s\n", vista_errormsg());
        return 1;
    }
    return done ? 0 : 1;
}

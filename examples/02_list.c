/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 2: a linked list of words, with native pointers in the file.
 *
 *     cc -o list 02_list.c $(pkg-config --cflags --libs vista)
 *
 *     ./list list.vista add one two          adds both words, or neither
 *     ./list list.vista add three kill four  dies with one of two words added
 *     ./list list.vista show                 "two", "one": recovered, no memory lost
 *     ./list list.vista add three "" four    an empty word is refused: it aborts
 *     ./list list.vista remove one
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vista.h>

struct word {
    struct word *next;
    char text[];
};

/* The root: newest word first. */
struct list {
    struct word *first;
};

static void fail(void)
{
    fprintf(stderr, "list: %s\n", vista_errormsg());
    exit(1);
}

/* What was just allocated needs no vista_set_range; the pointer to it does. */
static bool push(vista_tx *tx, struct list *list, const char *text)
{
    struct word *word = vista_malloc(tx, sizeof *word + strlen(text) + 1);

    if (word == NULL || vista_set_range(tx, &list->first, sizeof list->first) != 0)
        return false;
    strcpy(word->text, text);
    word->next = list->first;
    list->first = word;
    return true;
}

/* One transaction for all the words. */
static void add(vista_segment *segment, struct list *list, char **words)
{
    vista_tx *tx = vista_begin_transaction(segment, 0);

    if (tx == NULL)
        fail();
    for (; *words != NULL; words++) {
        if (strcmp(*words, "kill") == 0)
            raise(SIGKILL);
        if (**words == '\0') {
            printf("an empty word: none is added\n");
            if (vista_abort_transaction(tx) != 0)
                fail();
            return;
        }
        if (!push(tx, list, *words)) {
            fprintf(stderr, "list: %s\n", vista_errormsg());
            vista_abort_transaction(tx);
            exit(1);
        }
    }
    if (vista_end_transaction(tx, 0) != 0)
        fail();
}

/* The freed word stays readable, and no one else's, until the commit. */
static void remove_word(vista_segment *segment, struct list *list, const char *text)
{
    struct word **link = &list->first;
    vista_tx *tx;

    while (*link != NULL && strcmp((*link)->text, text) != 0)
        link = &(*link)->next;
    if (*link == NULL) {
        printf("%s: not there\n", text);
        return;
    }
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL || vista_set_range(tx, link, sizeof *link) != 0 || vista_free(tx, *link) != 0)
        fail();
    *link = (*link)->next;
    if (vista_end_transaction(tx, 0) != 0)
        fail();
}

static void show(const struct list *list)
{
    for (const struct word *word = list->first; word != NULL; word = word->next)
        printf("%s\n", word->text);
}

static int usage(const char *program)
{
    fprintf(stderr, "usage: %s FILE add WORD... | remove WORD | show\n", program);
    return 2;
}

int main(int argc, char **argv)
{
    const char *command = argc > 2 ? argv[2] : "";
    vista_segment *segment;
    struct vista_info info;
    struct list *list;

    if (!(strcmp(command, "show") == 0     ? argc == 3
          : strcmp(command, "remove") == 0 ? argc == 4
                                           : strcmp(command, "add") == 0 && argc > 3))
        return usage(argv[0]);

    segment = vista_map(argv[1], 16 << 20, VISTA_CREATE, NULL);
    if (segment == NULL || vista_info(segment, &info) != 0)
        fail();
    if (info.rolled_back != 0)
        printf("recovered: rolled back what a killed run had not committed\n");
    list = vista_root(segment, sizeof *list);
    if (list == NULL)
        fail();

    if (strcmp(command, "add") == 0)
        add(segment, list, argv + 3);
    else if (strcmp(command, "remove") == 0)
        remove_word(segment, list, argv[3]);
    else
        show(list);

    if (vista_unmap(segment) != 0)
        fail();
    return 0;
}

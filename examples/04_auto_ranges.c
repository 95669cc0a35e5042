/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Example 4: automatic ranges.  Code that knows nothing of transactions, here qsort
 * and read, changes a segment all or nothing: what is stored to is found by page
 * protection and need not be declared.
 *
 *     cc -o lines 04_auto_ranges.c $(pkg-config --cflags --libs vista)
 *
 *     printf 'plum\nfig\npear\n' | ./lines lines.vista read
 *     ./lines lines.vista show          plum fig pear
 *     ./lines lines.vista kill sort     dies in the middle of qsort
 *     ./lines lines.vista show          says what was rolled back; plum fig pear
 *     ./lines lines.vista sort
 *     ./lines lines.vista show          fig pear plum
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vista.h>

#define LINES 4096
#define LENGTH 64 /* of a line, with its zero byte */

struct lines {
    size_t count;
    char line[LINES][LENGTH];
    char input[LINES];
};

static int comparisons_left = -1; /* until it kills itself; below 0: never */

static void fail(void)
{
    fprintf(stderr, "lines: %s\n", vista_errormsg());
    exit(1);
}

static int compare(const void *a, const void *b)
{
    if (comparisons_left-- == 0)
        raise(SIGKILL);
    return strcmp(a, b);
}

/* Puts a line behind the others; what is too long is cut. */
static void add(struct lines *lines, const char *text, size_t length)
{
    char *line = lines->line[lines->count++];

    if (length >= LENGTH)
        length = LENGTH - 1;
    memcpy(line, text, length);
    line[length] = '\0';
}

/* The kernel's stores fault on no handler: their pages are opened first. */
static void read_lines(vista_tx *tx, struct lines *lines)
{
    ssize_t got;
    size_t used = 0;

    if (vista_open_pages(tx, lines->input, sizeof lines->input) != 0)
        fail();
    while ((got = read(STDIN_FILENO, lines->input + used, sizeof lines->input - used)) > 0) {
        char *from = lines->input, *end;

        used += (size_t)got;
        while (lines->count < LINES && (end = memchr(from, '\n', used)) != NULL) {
            add(lines, from, (size_t)(end - from));
            used -= (size_t)(end + 1 - from);
            from = end + 1;
        }
        if (used == sizeof lines->input)
            used = 0; /* no line is so long: thrown away */
        memmove(lines->input, from, used);
    }
}

int main(int argc, char **argv)
{
    const int killed = argc > 2 && strcmp(argv[2], "kill") == 0;
    const char *command = argc == 3 + killed ? argv[2 + killed] : "";
    vista_segment *segment;
    struct vista_info info;
    struct lines *lines;
    vista_tx *tx;

    if (strcmp(command, "read") != 0 && strcmp(command, "sort") != 0 &&
        strcmp(command, "show") != 0) {
        fprintf(stderr, "usage: %s FILE [kill] read | sort | show\n", argv[0]);
        return 2;
    }

    segment = vista_map(argv[1], 1 << 20, VISTA_CREATE | VISTA_AUTO_RANGE, NULL);
    if (segment == NULL || vista_info(segment, &info) != 0)
        fail();
    if (info.rolled_back != 0)
        printf("recovered: rolled back what a killed run had not committed\n");
    lines = vista_root(segment, sizeof *lines);
    if (lines == NULL)
        fail();

    /* No vista_set_range anywhere; but a store outside of this would be a fault. */
    tx = vista_begin_transaction(segment, 0);
    if (tx == NULL)
        fail();
    if (strcmp(command, "read") == 0)
        read_lines(tx, lines);
    if (killed)
        comparisons_left = (int)lines->count / 2;
    if (strcmp(command, "sort") == 0)
        qsort(lines->line, lines->count, sizeof lines->line[0], compare);
    if (strcmp(command, "show") == 0)
        for (size_t i = 0; i < lines->count; i++)
            printf("%s\n", lines->line[i]);
    if (killed)
        raise(SIGKILL);
    if (vista_end_transaction(tx, 0) != 0 || vista_unmap(segment) != 0)
        fail();
    return 0;
}

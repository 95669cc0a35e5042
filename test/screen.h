/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A terminal's screen: what a VT100 would show after the bytes that it was sent.
 */
#ifndef VISTA_TEST_SCREEN_H
#define VISTA_TEST_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#define SCREEN_ROWS 24
#define SCREEN_COLUMNS 80

struct screen {
    char cells[SCREEN_ROWS][SCREEN_COLUMNS];
    int row, column;
    int top, bottom; /* of what scrolls */
    int saved_row, saved_column;
    bool wrap; /* the next character goes to the next row */
    int state; /* of an escape sequence */
    char prefix;
    int arguments[8], count;
};

void screen_clear(struct screen *screen);
void screen_put(struct screen *screen, const char *bytes, size_t length);
/* Do they show the same? */
bool screen_equal(const struct screen *a, const struct screen *b);
void screen_print(const struct screen *screen);

#endif

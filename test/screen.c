/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A VT100's screen: see screen.h.
 */
#include "screen.h"

#include <stdio.h>
#include <string.h>

enum { PLAIN, ESCAPE, SEQUENCE, IGNORE_ONE };

void screen_clear(struct screen *s)
{
    memset(s, 0, sizeof *s);
    memset(s->cells, ' ', sizeof s->cells);
    s->bottom = SCREEN_ROWS - 1;
}

static void scroll_up(struct screen *s)
{
    memmove(s->cells[s->top], s->cells[s->top + 1], (size_t)(s->bottom - s->top) * SCREEN_COLUMNS);
    memset(s->cells[s->bottom], ' ', SCREEN_COLUMNS);
}

static void scroll_down(struct screen *s)
{
    memmove(s->cells[s->top + 1], s->cells[s->top], (size_t)(s->bottom - s->top) * SCREEN_COLUMNS);
    memset(s->cells[s->top], ' ', SCREEN_COLUMNS);
}

static void line_feed(struct screen *s)
{
    if (s->row == s->bottom)
        scroll_up(s);
    else if (s->row < SCREEN_ROWS - 1)
        s->row++;
}

static void show(struct screen *s, char c)
{
    if (s->wrap) {
        s->column = 0;
        line_feed(s);
    }
    s->cells[s->row][s->column] = c;
    s->wrap = s->column == SCREEN_COLUMNS - 1;
    s->column += !s->wrap;
}

static void plain(struct screen *s, unsigned char c)
{
    if (c == 27) {
        s->state = ESCAPE;
        return;
    }
    if (c >= 32 && c != 127) {
        show(s, (char)c);
        return;
    }
    s->wrap = s->wrap && c != '\r' && c != '\b' && c != '\n';
    if (c == '\r')
        s->column = 0;
    else if (c == '\n')
        line_feed(s);
    else if (c == '\b' && s->column > 0)
        s->column--;
    else if (c == '\t')
        s->column =
            s->column / 8 * 8 + 8 < SCREEN_COLUMNS ? s->column / 8 * 8 + 8 : SCREEN_COLUMNS - 1;
}

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

static void erase(struct screen *s, int from, int to)
{
    if (to > from)
        memset(&s->cells[0][0] + from, ' ', (size_t)(to - from));
}

static void erase_part(struct screen *s, bool line, int how)
{
    const int at = s->row * SCREEN_COLUMNS + s->column;
    const int start = line ? s->row * SCREEN_COLUMNS : 0;
    const int end = line ? start + SCREEN_COLUMNS : SCREEN_ROWS * SCREEN_COLUMNS;

    if (how == 0)
        erase(s, at, end);
    else if (how == 1)
        erase(s, start, at + 1);
    else
        erase(s, start, end);
}

static void region(struct screen *s, int top, int bottom)
{
    s->top = clamp(top - 1, 0, SCREEN_ROWS - 1);
    s->bottom = bottom == 0 ? SCREEN_ROWS - 1 : clamp(bottom - 1, 0, SCREEN_ROWS - 1);
    s->row = s->column = 0;
}

static void finish(struct screen *s, char c)
{
    const int first = s->arguments[0], by = first > 0 ? first : 1;

    if (s->prefix != 0)
        return;
    s->wrap = s->wrap && c == 'm';
    if (c == 'H' || c == 'f') {
        s->row = clamp(by - 1, 0, SCREEN_ROWS - 1);
        s->column = clamp(s->arguments[1] - 1, 0, SCREEN_COLUMNS - 1);
    } else if (c == 'A') {
        s->row = clamp(s->row - by, 0, SCREEN_ROWS - 1);
    } else if (c == 'B') {
        s->row = clamp(s->row + by, 0, SCREEN_ROWS - 1);
    } else if (c == 'C') {
        s->column = clamp(s->column + by, 0, SCREEN_COLUMNS - 1);
    } else if (c == 'D') {
        s->column = clamp(s->column - by, 0, SCREEN_COLUMNS - 1);
    } else if (c == 'J' || c == 'K') {
        erase_part(s, c == 'K', first);
    } else if (c == 'r') {
        region(s, by, s->arguments[1]);
    }
}

static void escape(struct screen *s, char c)
{
    s->state = PLAIN;
    if (c == '[') {
        s->state = SEQUENCE;
        s->prefix = 0;
        s->count = 0;
        memset(s->arguments, 0, sizeof s->arguments);
    } else if (c == '(' || c == ')' || c == '#') {
        s->state = IGNORE_ONE;
    } else if (c == 'M') {
        if (s->row == s->top)
            scroll_down(s);
        else if (s->row > 0)
            s->row--;
    } else if (c == 'D') {
        line_feed(s);
    } else if (c == '7') {
        s->saved_row = s->row;
        s->saved_column = s->column;
    } else if (c == '8') {
        s->row = s->saved_row;
        s->column = s->saved_column;
    }
}

static void sequence(struct screen *s, char c)
{
    if (c == '?' || c == '>') {
        s->prefix = c;
    } else if (c >= '0' && c <= '9') {
        s->arguments[s->count] = s->arguments[s->count] * 10 + c - '0';
    } else if (c == ';') {
        s->count += s->count < 7;
    } else if (c >= 64) {
        s->state = PLAIN;
        finish(s, c);
    }
}

void screen_put(struct screen *s, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (s->state == PLAIN)
            plain(s, (unsigned char)bytes[i]);
        else if (s->state == ESCAPE)
            escape(s, bytes[i]);
        else if (s->state == SEQUENCE)
            sequence(s, bytes[i]);
        else
            s->state = PLAIN;
    }
}

bool screen_equal(const struct screen *a, const struct screen *b)
{
    return memcmp(a->cells, b->cells, sizeof a->cells) == 0 && a->row == b->row &&
           a->column == b->column;
}

void screen_print(const struct screen *s)
{
    for (int row = 0; row < SCREEN_ROWS; row++)
        printf("|%.*s|\n", SCREEN_COLUMNS, s->cells[row]);
    printf("cursor: row %d, column %d\n", s->row, s->column);
}

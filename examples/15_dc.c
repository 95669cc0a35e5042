/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A simulation that survives kill -9 by two lines of source: the include and dc_init.  Heat spreads
 * in a rod; the program draws it again and again.
 *
 *     cc -o rod 15_dc.c -ldc && ./rod 200
 *
 * Kill it where you like (kill -9, both processes, in the middle of a line): ./rod 200 goes on, and
 * draws what it would have drawn.
 */
#include <dc.h>

#include <stdio.h>
#include <stdlib.h>

#define CELLS 64

static double heat[CELLS];

static void step(void)
{
    double next[CELLS];

    for (int i = 0; i < CELLS; i++) {
        const double left = i > 0 ? heat[i - 1] : 0, right = i < CELLS - 1 ? heat[i + 1] : 0;

        next[i] = heat[i] + (left - 2 * heat[i] + right) / 4;
    }
    for (int i = 0; i < CELLS; i++)
        heat[i] = next[i];
    heat[CELLS / 2] += 1;
}

static void draw(int number)
{
    static const char shades[] = " .:-=+*#%@";
    char line[CELLS + 1] = "";

    for (int i = 0; i < CELLS; i++)
        line[i] = shades[heat[i] < 9 ? (int)heat[i] : 9];
    printf("%6d |%s|\n", number, line);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const int steps = argc > 1 ? atoi(argv[1]) : 100;

    if (dc_init("rod.dc", NULL) != 0)
        perror("without checkpoints"); /* and it goes on */
    for (int number = 1; number <= steps; number++) {
        for (int i = 0; i < 1000; i++)
            step();
        draw(number);
    }
    return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A distributed computation for `vista-bench protocols`: bodies that attract each other, by the method of Barnes
 * and Hut ("A hierarchical O(N log N) force-calculation algorithm", 1986), as TreadMarks had it in
 * the dissertation.
 *
 *     bench_nbody WAY PROCESSES NUMBER STEPS
 *
 * Each process moves its part of the bodies; in each step the parts go once round the ring (ring.h), so
 * that all know all.  Each tenth step each says how much its bodies move.
 */
#include <math.h>
#include <stdint.h>

#include "ring.h"

#define BODIES 2048
#define NODES (8 * BODIES)
#define THETA 0.5 /* a cell that is seen smaller than so is taken for one body */
#define SOFT 1e-3
#define STEP 1e-3
#define SIDES 8 /* parts of a cell */

struct vector {
    double x, y, z;
};

/* A cell of space; one without parts has one body, or none. */
struct cell {
    struct vector middle, mass_at;
    double half, mass;
    int parts[SIDES]; /* -1: empty */
    bool divided;
};

static struct vector place[BODIES], speed[BODIES];
static struct cell cells[NODES];
static int cell_count;

static int new_cell(struct vector middle, double half)
{
    struct cell *cell = &cells[cell_count];

    if (cell_count == NODES) {
        fputs("no room for cells\n", stderr);
        exit(1);
    }
    *cell = (struct cell){.middle = middle, .half = half};
    memset(cell->parts, -1, sizeof cell->parts);
    return cell_count++;
}

/* The part of the cell that a place is in, made if it is not there. */
static int part_of(int at, struct vector v)
{
    struct cell *cell = &cells[at];
    const int side =
        (v.x >= cell->middle.x) | (v.y >= cell->middle.y) << 1 | (v.z >= cell->middle.z) << 2;
    const double half = cell->half / 2;
    const struct vector middle = {cell->middle.x + (side & 1 ? half : -half),
                                  cell->middle.y + (side & 2 ? half : -half),
                                  cell->middle.z + (side & 4 ? half : -half)};

    if (cell->parts[side] < 0)
        cell->parts[side] = new_cell(middle, half);
    return cell->parts[side];
}

static void add_mass(struct cell *cell, struct vector v, double mass)
{
    const double all = cell->mass + mass;

    cell->mass_at.x = (cell->mass_at.x * cell->mass + v.x * mass) / all;
    cell->mass_at.y = (cell->mass_at.y * cell->mass + v.y * mass) / all;
    cell->mass_at.z = (cell->mass_at.z * cell->mass + v.z * mass) / all;
    cell->mass = all;
}

static void insert(int at, struct vector v, double mass)
{
    for (;;) {
        struct cell *cell = &cells[at];

        if (cell->mass == 0 || cell->half < 1e-9) {
            add_mass(cell, v, mass);
            return;
        }
        if (!cell->divided) {
            cell->divided = true;
            insert(part_of(at, cell->mass_at), cell->mass_at, cell->mass);
        }
        add_mass(cell, v, mass);
        at = part_of(at, v);
    }
}

static void build(void)
{
    cell_count = 0;
    new_cell((struct vector){0}, 8);
    for (int i = 0; i < BODIES; i++)
        insert(0, place[i], 1.0 / BODIES);
}

static void pull(int at, struct vector v, struct vector *force)
{
    const struct cell *cell = &cells[at];
    const struct vector d = {cell->mass_at.x - v.x, cell->mass_at.y - v.y, cell->mass_at.z - v.z};
    const double square = d.x * d.x + d.y * d.y + d.z * d.z + SOFT;

    if (cell->divided && 4 * cell->half * cell->half > THETA * THETA * square) {
        for (int i = 0; i < SIDES; i++)
            if (cell->parts[i] >= 0)
                pull(cell->parts[i], v, force);
        return;
    }
    force->x += d.x * cell->mass / (square * sqrt(square));
    force->y += d.y * cell->mass / (square * sqrt(square));
    force->z += d.z * cell->mass / (square * sqrt(square));
}

static void move(int first, int count)
{
    for (int i = first; i < first + count; i++) {
        struct vector force = {0};

        pull(0, place[i], &force);
        speed[i].x += force.x * STEP;
        speed[i].y += force.y * STEP;
        speed[i].z += force.z * STEP;
    }
    for (int i = first; i < first + count; i++) {
        place[i].x += speed[i].x * STEP;
        place[i].y += speed[i].y * STEP;
        place[i].z += speed[i].z * STEP;
    }
}

/* Each part goes on from process to process until all have it. */
static void exchange(const struct ring *ring, unsigned processes, unsigned number)
{
    const unsigned part = BODIES / processes;

    for (unsigned hop = 0; hop + 1 < processes; hop++) {
        const unsigned out = (number + processes - hop) % processes;
        const unsigned in = (number + processes - hop - 1) % processes;

        ring_need(ring_send(ring, place + out * part, part * sizeof *place) &&
                      ring_receive(ring, place + in * part, part * sizeof *place),
                  "exchange");
    }
}

static double draw(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (1 << 23) - 1;
}

static void begin(void)
{
    uint64_t state = 1;

    for (int i = 0; i < BODIES; i++) {
        place[i].x = draw(&state);
        place[i].y = draw(&state);
        place[i].z = draw(&state);
    }
}

static void tell(unsigned step, int first, int count)
{
    double energy = 0;

    for (int i = first; i < first + count; i++)
        energy += speed[i].x * speed[i].x + speed[i].y * speed[i].y + speed[i].z * speed[i].z;
    printf("step %u: %.12g\n", step, energy / 2 / BODIES);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const unsigned processes = argc > 4 ? (unsigned)atoi(argv[2]) : 1;
    const unsigned number = argc > 4 ? (unsigned)atoi(argv[3]) : 0;
    const unsigned steps = argc > 4 ? (unsigned)atoi(argv[4]) : 10;
    const int part = BODIES / (int)processes;
    const struct ring ring = ring_join(argc > 4 ? argv[1] : "unix", processes, number);

    begin();
    for (unsigned step = 1; step <= steps; step++) {
        build();
        move((int)number * part, part);
        exchange(&ring, processes, number);
        if (step % 10 == 0)
            tell(step, (int)number * part, part);
    }
    return 0;
}

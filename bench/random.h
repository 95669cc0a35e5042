/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The random numbers of every workload: splitmix64, so that a run follows from
 * its seed alone and drawing one costs less than a cache miss hides.
 */
#ifndef BENCH_RANDOM_H
#define BENCH_RANDOM_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 32 random bits to a number below `limit`, by multiplication instead of division. */
static inline uint32_t rng_scale(uint32_t bits, uint32_t limit)
{
    return (uint32_t)((uint64_t)bits * limit >> 32);
}

static inline uint32_t rng_below(struct rng *rng, uint32_t limit)
{
    return rng_scale((uint32_t)(rng_next(rng) >> 32), limit);
}

/* From `low` to `high`, both included. */
static inline uint32_t rng_between(struct rng *rng, uint32_t low, uint32_t high)
{
    return low + rng_below(rng, high - low + 1);
}

#endif

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the test of hostile files and its deeds share: the files of a group, and what a hostile
 * hand does to them.
 */
#ifndef VISTA_TEST_HOSTILE_H
#define VISTA_TEST_HOSTILE_H

#include "forge.h"

/* A home and two members, another segment with a log of its own, and one that was unmapped in
 * order, names no one and is never forged. */
enum { HOME, FIRST, SECOND, OTHER, DECOY, FILES };
extern struct forge files[FILES];
extern char text[1024]; /* the path of a file that is no segment */

/* Memory of the program that forged addresses lead to. */
#define CANARY ((unsigned char *)0x550f00000000u)
#define CANARY_SIZE ((size_t)64 << 10)

/* Forges the files, as the generator has it. */
void hostile_deeds(struct test_random *random);

#endif

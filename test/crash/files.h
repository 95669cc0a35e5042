/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Simulated files, behind what the library asks of the system.  Each world has its own
 * under the same names, so that what is run on an image finds the image's: the real
 * vista_map, without the system's calls.  An inode is a line of simulated memory, so that a file's length, too, may
 * not have reached the disk; disk blocks are not simulated.
 *
 * In no world these names stand for real files, on which a sample of the states is tried.
 */
#ifndef CRASH_FILES_H
#define CRASH_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "memory.h"

/* No file is there, in any world. */
void files_reset(void);

/* Nobody has any open in this world. */
void files_die(int world);

const char *files_path(int file);
/* Where it is in the real file system; room for PATH_MAX bytes. */
const char *files_real_path(int file);

/* Where LIVE maps its data. */
void *files_address(int file);

/* As a crash has left it; 0 if it is not there. */
uint64_t files_length(int world, int file);

int files_sync(int fd);

#endif

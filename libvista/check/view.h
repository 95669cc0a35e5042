/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A check's own view of a file's metadata.
 */
#ifndef VI_CHECK_VIEW_H
#define VI_CHECK_VIEW_H

#include <stddef.h>

#include "media/file.h"

/* The first `size` bytes of the file, to be read, and stored to without a change to the file; NULL
 * with errno.  To read where the file has a hole takes neither memory nor disk blocks. */
unsigned char *vi_view_map(const struct vi_file *file, size_t size);

#endif

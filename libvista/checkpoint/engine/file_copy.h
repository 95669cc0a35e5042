/* SPDX-License-Identifier: BSD-3-Clause
 *
 * A checkpoint file that begins as a copy of another one.
 */
#ifndef VI_CHECKPOINT_FILE_COPY_H
#define VI_CHECKPOINT_FILE_COPY_H

/* Makes the file `copy`, a segment of its own, of what `name` holds, which no one changes meanwhile.  0, or an
 * errno. */
int vi_copy_checkpoint(const char *name, const char *copy);

#endif

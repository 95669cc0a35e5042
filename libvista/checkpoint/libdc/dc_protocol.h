/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Between libdc and the runtime: a system call that no kernel has.
 */
#ifndef VI_CHECKPOINT_DC_PROTOCOL_H
#define VI_CHECKPOINT_DC_PROTOCOL_H

#define VI_DC_CALL 0x6463L

/* Its first argument. */
enum vi_dc_operation {
    VI_DC_INIT,       /* the interval in milliseconds; the signal after a recovery, or 0 */
    VI_DC_CHECKPOINT, /* nothing */
    VI_DC_INFO        /* a struct dc_info */
};

#endif

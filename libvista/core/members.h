/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What files say of groups (struct vi_member in media/format.h): home's table of members, and
 * a member's entry for its home.
 */
#ifndef VI_CORE_MEMBERS_H
#define VI_CORE_MEMBERS_H

#include "core/segment.h"

/* The VI_MEMBERS entries of the table, sound or not. */
struct vi_member *vi_members(const struct vi_logs *logs);

/* Does it count, in the file with these logs? */
bool vi_member_is_sound(const struct vi_logs *logs, const struct vi_member *entry);

/* A sound one of a member that may have this address; NULL if there is none. */
const struct vi_member *vi_member_at(const struct vi_logs *logs, uint64_t address);

/* Does no address belong to two sound ones?  So it is in every file that is not damaged: an
 * entry has the address space that its member had reserved, and one that is not mapped goes
 * when another comes to lie there. */
bool vi_members_apart(const struct vi_logs *logs);

/* The entry of a member, in a file that need not be mapped, for its home; false: there is none. */
bool vi_member_home(const struct vi_file *file, const struct vi_superblock *superblock,
                    struct vi_member *home);

/* Does home's table, as its file has it, name the segment with this UUID, joined in this opening of
 * home?  -1: it cannot be read. */
int vi_member_listed(const struct vi_file *home, const struct vi_superblock *superblock,
                     const uint8_t uuid[16], uint64_t opening);

/* Makes an entry none, durably.  -1: it cannot be written. */
int vi_member_void(const struct vi_logs *logs, const struct vi_member *entry);

/* Was the segment in this file left open with the log of the home with this
 * UUID, having joined in this opening of it, as it says itself? */
bool vi_member_names_back(const struct vi_file *file, const struct vi_superblock *superblock,
                          const uint8_t uuid[16], uint64_t opening);

/* Makes `segment`, which is open and not yet started, a member, durably.  ENOSPC. */
int vi_group_join(struct vi_segment *home, struct vi_segment *segment);

#endif

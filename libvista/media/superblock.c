/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The superblock: see superblock.h.
 */
#include "media/superblock.h"

#include <errno.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/error.h"
#include "media/io.h"

static uint64_t align_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) / to * to;
}

uint64_t vi_superblock_units(const struct vi_superblock *superblock)
{
    return align_up(superblock->max_size / VI_UNIT, VI_GROUP_UNITS);
}

uint64_t vi_superblock_meta_size(const struct vi_superblock *superblock)
{
    if (superblock->heap_offset == 0)
        return superblock->chunks_offset + superblock->chunks_size;
    return vi_superblock_marks(superblock) + vi_superblock_units(superblock) * VI_MARKS_PER_UNIT;
}

int vi_superblock_layout(struct vi_superblock *superblock)
{
    const uint64_t max = superblock->max_size;

    if (max > VI_SIZE_MAX)
        return vi_fail(EINVAL, "a segment can grow to 8 TiB at most");
    superblock->chunks_offset = VI_CHUNKS_OFFSET;
    superblock->chunks_size = align_up(max + max / 8 + VI_CHUNKS_LEAST, VI_CHUNK_UNIT);
    superblock->heap_offset = 0;
    if (superblock->features_must & VI_MUST_HEAP)
        superblock->heap_offset = superblock->chunks_offset + superblock->chunks_size;
    superblock->data_offset = align_up(vi_superblock_meta_size(superblock), VI_HUGE_PAGE) +
                              superblock->address % VI_HUGE_PAGE;
    return 0;
}

/* The first byte is zero, and each that follows equals the one before. */
static bool all_zero(const void *bytes, size_t length)
{
    return *(const char *)bytes == 0 && memcmp(bytes, (const char *)bytes + 1, length - 1) == 0;
}

static bool numbers_agree(const struct vi_superblock *s)
{
    struct vi_superblock computed = *s;

    return vi_superblock_layout(&computed) == 0 && memcmp(&computed, s, sizeof *s) == 0 &&
           s->address % VI_PAGE == 0 && s->address != 0 && s->address < (uint64_t)1 << 47 &&
           s->size % VI_PAGE == 0 && s->size > 0 && s->size <= s->max_size &&
           s->max_size % VI_PAGE == 0 && s->clean <= 1 && s->log_class >= VISTA_CLASS_KILL &&
           s->log_class <= VISTA_CLASS_DISK && s->real_class >= VISTA_CLASS_KILL &&
           s->real_class <= VISTA_CLASS_DISK;
}

int vi_superblock_check(const struct vi_file *file, const struct vi_superblock *s, bool read_only)
{
    const char *path = file->path;

    if (s->magic == VI_MAGIC_SWAPPED)
        return vi_fail(ENOTSUP, "%s: written on a machine of the other byte order", path);
    if (s->magic != VI_MAGIC)
        return vi_fail(EBADMSG, "%s: not a vista segment", path);
    if (s->version != VI_VERSION)
        return vi_fail(ENOTSUP, "%s: format version %u, this library knows version %u", path,
                       s->version, VI_VERSION);
    if (s->check != vi_crc32c(0, s, offsetof(struct vi_superblock, check)))
        return vi_fail(EBADMSG, "%s: the superblock is damaged (its checksum is wrong)", path);
    if (s->features_must & ~(uint64_t)VI_MUST_KNOWN ||
        (!read_only && s->features_read_only & ~(uint64_t)VI_READ_ONLY_KNOWN))
        return vi_fail(ENOTSUP, "%s: has features %llx / %llx that this library does not know",
                       path, (unsigned long long)s->features_must,
                       (unsigned long long)s->features_read_only);
    if (!numbers_agree(s))
        return vi_fail(EBADMSG, "%s: the superblock is damaged (its numbers disagree)", path);
    if (file->size < s->data_offset + s->size)
        return vi_fail(EBADMSG, "%s: truncated to %llu bytes, its superblock says %llu", path,
                       (unsigned long long)file->size,
                       (unsigned long long)(s->data_offset + s->size));
    return 0;
}

/* New, or left by a creation that was killed, at the latest while it stored the first
 * superblock: in copy 1, its magic number last. */
static bool is_blank(const unsigned char *pages)
{
    const size_t end = VI_SUPERBLOCK_SIZE + sizeof(struct vi_superblock);

    return all_zero(pages, VI_SUPERBLOCK_SIZE + sizeof(uint64_t)) &&
           all_zero(pages + end, VI_SUPERBLOCKS * VI_SUPERBLOCK_SIZE - end);
}

int vi_superblock_read(const struct vi_file *file, bool read_only, struct vi_superblock *out)
{
    unsigned char pages[VI_SUPERBLOCKS * VI_SUPERBLOCK_SIZE] = {0};
    const ssize_t got = pread(file->fd, pages, sizeof pages, 0);
    struct vi_superblock copy, foreign = {0}; /* not damaged, but not ours to read */

    memset(out, 0, sizeof *out);
    if (got < 0)
        return vi_fail_system(errno, "%s: cannot read", file->path);
    if ((got == 0 || got == sizeof pages) && is_blank(pages))
        return 1;
    for (int i = VI_SUPERBLOCKS - 1; i >= 0; i--) { /* copy 0 last: its message stays */
        memcpy(&copy, pages + (size_t)i * VI_SUPERBLOCK_SIZE, sizeof copy);
        if (vi_superblock_check(file, &copy, read_only) != 0)
            foreign = errno == ENOTSUP ? copy : foreign;
        else if (out->magic == 0 || copy.sequence > out->sequence)
            *out = copy;
    }
    if (out->magic == 0 && foreign.magic != 0) /* says more than that the other is damaged */
        return vi_superblock_check(file, &foreign, read_only);
    return out->magic != 0 ? 0 : -1;
}

/* By a synced write: a private image is not written back. */
static int write_copy(const struct vi_file *file, const struct vi_superblock *superblock)
{
    const struct iovec copy = {(void *)superblock, sizeof *superblock};

    if (vi_io_write(vi_io(), file->fd, &copy, 1,
                    superblock->sequence % VI_SUPERBLOCKS * VI_SUPERBLOCK_SIZE, true) == 0)
        return 0;
    return vi_fail_system(errno, "%s: cannot write its superblock", file->path);
}

int vi_superblock_write(const struct vi_file *file, const struct vi_persist *persist,
                        unsigned char *copies, struct vi_superblock *superblock)
{
    const uint64_t magic = VI_MAGIC;

    for (int i = 0; i < VI_SUPERBLOCKS; i++) {
        unsigned char *at;

        superblock->sequence++;
        superblock->check = vi_crc32c(0, superblock, offsetof(struct vi_superblock, check));
        if (persist->class == VISTA_CLASS_DISK) {
            if (write_copy(file, superblock) != 0)
                return -1;
            continue;
        }
        at = copies + superblock->sequence % VI_SUPERBLOCKS * VI_SUPERBLOCK_SIZE;
        memcpy(at + sizeof magic, (const char *)superblock + sizeof magic,
               sizeof *superblock - sizeof magic);
        vi_flush_fence(persist, at, sizeof *superblock);
        VISTA_INLINE_COMPILER_BARRIER();
        memcpy(at, &magic, sizeof magic);
        vi_flush_fence(persist, at, sizeof magic);
        if (persist->ops.sync(file->fd) != 0)
            return vi_fail_system(errno, "%s: cannot sync", file->path);
    }
    return 0;
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Steps: the heap's descriptors, its marks, its root.
 */
#include "check/steps_heap.h"

#include "heap/spans.h"
#include "media/superblock.h"

#define WORD sizeof(uint64_t) /* marks are looked at so many at once */

uint64_t vi_check_units(const struct vi_check *check)
{
    return check->superblock->size / VI_UNIT;
}

uint64_t vi_check_descriptor(const struct vi_check *check, uint64_t unit)
{
    return vi_check_word(check,
                         vi_superblock_descriptors(check->superblock) + unit * sizeof(uint64_t));
}

static uint64_t used_end(const struct vi_check *check)
{
    return vi_check_word(check,
                         check->superblock->heap_offset + offsetof(struct vi_heap_header, end));
}

/* NULL, or why a descriptor that is not zero cannot stand at `unit`. */
static const char *why_not(const struct vi_check *check, uint64_t unit, uint64_t descriptor)
{
    const uint64_t units = VI_SPAN_UNITS(descriptor);
    const unsigned kind = VI_SPAN_KIND(descriptor), size_class = VI_SPAN_CLASS(descriptor);

    if (unit >= vi_check_units(check))
        return "lies past the end of the data";
    if (unit >= used_end(check))
        return "lies past what was ever used";
    if (kind != VI_SPAN_SMALL && kind != VI_SPAN_LARGE)
        return "is of no known kind";
    if (descriptor != VI_SPAN(kind, units, size_class))
        return "has bits set that are to be zero";
    if (units == 0 || units > vi_check_units(check) - unit)
        return "has an impossible length";
    if (kind == VI_SPAN_LARGE)
        return size_class == 0 ? NULL : "is large and has a size class";
    if (size_class >= VI_CLASSES)
        return "has an impossible size class";
    return units <= vi_classes[size_class].units && units * VI_UNIT >= vi_classes[size_class].size
               ? NULL
               : "has a length that its size class cannot have";
}

bool vi_check_span_of(const struct vi_check *check, uint64_t unit, struct vi_check_span *span)
{
    uint64_t head = unit;
    uint64_t descriptor;

    if (unit >= vi_check_units(check))
        return false;
    while ((descriptor = vi_check_descriptor(check, head)) == 0)
        if (head == 0 || unit - --head >= VI_SMALL_UNITS)
            return false;
    if (why_not(check, head, descriptor) != NULL || unit - head >= VI_SPAN_UNITS(descriptor))
        return false;
    span->unit = head;
    span->units = VI_SPAN_UNITS(descriptor);
    span->block_size = vi_span_block_size(descriptor);
    span->blocks = vi_span_blocks(descriptor);
    return true;
}

bool vi_check_mark(const struct vi_check *check, const struct vi_check_span *span, uint64_t block)
{
    const uint64_t mark = span->unit * VI_MARKS_PER_UNIT + block;

    return check->meta[vi_superblock_marks(check->superblock) + mark] != VI_MARK_FREE;
}

/* ---- Descriptors ------------------------------------------------------- */

static void count_free(struct vi_check *check, uint64_t from, uint64_t to)
{
    const uint64_t units = to - from;

    check->totals->free_units += units;
    if (units > check->totals->largest_free)
        check->totals->largest_free = units;
}

/* Counts the span that begins at `unit`; returns where it ends. */
static uint64_t count_span(struct vi_check *check, uint64_t unit, uint64_t descriptor)
{
    const uint64_t units = VI_SPAN_UNITS(descriptor);
    const uint64_t offset = unit * VI_UNIT, length = units * VI_UNIT;

    vi_check_span_found(check, offset, length, vi_span_block_size(descriptor));
    if (VI_SPAN_KIND(descriptor) == VI_SPAN_SMALL)
        check->totals->small_spans++;
    else
        check->totals->large_spans++;
    return unit + units;
}

/* Every descriptor that is not zero begins a span, behind the end of the one before. */
void vi_check_descriptors(struct vi_check *check)
{
    const uint64_t start = vi_superblock_descriptors(check->superblock);
    struct vi_check_scan scan = vi_check_scan(check, start, vi_superblock_marks(check->superblock));
    uint64_t end = 0; /* of the span before */
    uint64_t at;

    if (used_end(check) > vi_check_units(check))
        vi_check_say(check, VI_CHECK_DAMAGE, "%llu units are said to be used, there are %llu",
                     (unsigned long long)used_end(check),
                     (unsigned long long)vi_check_units(check));
    while ((at = vi_check_next(&scan)) != scan.end && !check->stopped) {
        const uint64_t unit = (at - start) / sizeof(uint64_t);
        const uint64_t descriptor = vi_check_word(check, at);
        const char *why =
            unit < end ? "lies inside another span" : why_not(check, unit, descriptor);

        if (why != NULL) {
            vi_check_say(check, VI_CHECK_DAMAGE,
                         "unit %llu: the descriptor 0x%llx at file offset %llu %s",
                         (unsigned long long)unit, (unsigned long long)descriptor,
                         (unsigned long long)at, why);
            continue;
        }
        count_free(check, end, unit);
        end = count_span(check, unit, descriptor);
    }
    count_free(check, end, vi_check_units(check));
    check->descriptors_good = check->damage == 0;
    if (check->damage == 0)
        vi_check_say(check, VI_CHECK_PASSED,
                     "spans of small blocks: %llu, large blocks: %llu, free pages: %llu of %llu",
                     (unsigned long long)check->totals->small_spans,
                     (unsigned long long)check->totals->large_spans,
                     (unsigned long long)check->totals->free_units,
                     (unsigned long long)vi_check_units(check));
}

/* ---- Marks ------------------------------------------------------------- */

/* One that is not zero; false: it is damaged. */
static bool look_at_mark(struct vi_check *check, const struct vi_check_span *span, uint64_t mark,
                         unsigned value)
{
    const uint64_t block = mark - span->unit * VI_MARKS_PER_UNIT;
    const char *why = block >= span->blocks       ? "is past the last block of its span"
                      : value > VI_MARK_ALLOCATED ? "is neither 0 nor 1"
                                                  : NULL;

    if (why != NULL) {
        vi_check_say(check, VI_CHECK_DAMAGE, "unit %llu: the mark %u at file offset %llu %s",
                     (unsigned long long)(mark / VI_MARKS_PER_UNIT), value,
                     (unsigned long long)(vi_superblock_marks(check->superblock) + mark), why);
        return false;
    }
    vi_check_block_found(check, span->unit * VI_UNIT + block * span->block_size, span->block_size);
    check->totals->blocks++;
    check->totals->block_bytes += span->block_size;
    return true;
}

void vi_check_marks(struct vi_check *check)
{
    const uint64_t start = vi_superblock_marks(check->superblock);
    const uint64_t end = start + vi_superblock_units(check->superblock) * VI_MARKS_PER_UNIT;
    struct vi_check_scan scan = vi_check_scan(check, start, end);
    struct vi_check_span span = {0};
    uint64_t at;

    if (!check->descriptors_good) {
        vi_check_say(check, VI_CHECK_NOTE, "not looked at: the descriptors are damaged");
        return;
    }
    while ((at = vi_check_next(&scan)) != end && !check->stopped) {
        const uint64_t unit = (at - start) / VI_MARKS_PER_UNIT, word = vi_check_word(check, at);

        if (unit - span.unit >= span.units && !vi_check_span_of(check, unit, &span)) {
            vi_check_say(check, VI_CHECK_DAMAGE,
                         "unit %llu: the marks 0x%llx at file offset %llu are in no span",
                         (unsigned long long)unit, (unsigned long long)word,
                         (unsigned long long)at);
            continue;
        }
        for (unsigned i = 0; i < WORD; i++) {
            const unsigned value = (unsigned)(word >> 8 * i & 0xffu);

            if (value != VI_MARK_FREE && !look_at_mark(check, &span, at - start + i, value))
                break; /* said once for a word */
        }
    }
    if (check->damage == 0)
        vi_check_say(check, VI_CHECK_PASSED,
                     "allocated blocks, large ones too: %llu, of %llu bytes in all",
                     (unsigned long long)check->totals->blocks,
                     (unsigned long long)check->totals->block_bytes);
}

/* ---- Root -------------------------------------------------------------- */

/* Bytes of the allocated block that begins at `offset`; 0: there is none. */
static uint64_t live_block(const struct vi_check *check, uint64_t offset)
{
    struct vi_check_span span;
    uint64_t at;

    if (!vi_check_span_of(check, offset / VI_UNIT, &span))
        return 0;
    at = offset - span.unit * VI_UNIT;
    return at % span.block_size == 0 && at / span.block_size < span.blocks &&
                   vi_check_mark(check, &span, at / span.block_size)
               ? span.block_size
               : 0;
}

void vi_check_root(struct vi_check *check)
{
    struct vi_root *root = &check->totals->root;
    uint64_t size;

    if (!check->root_pending)
        memcpy(root, check->meta + check->superblock->heap_offset, sizeof *root);
    if (!check->descriptors_good) {
        vi_check_say(check, VI_CHECK_NOTE, "not looked at: the descriptors are damaged");
        return;
    }
    if (root->size == 0) {
        vi_check_say(check, VI_CHECK_PASSED, "there is none");
        return;
    }
    size = live_block(check, root->offset);
    if (size == 0)
        vi_check_say(check, VI_CHECK_DAMAGE, "data offset %llu is not an allocated block",
                     (unsigned long long)root->offset);
    else if (root->size > size)
        vi_check_say(check, VI_CHECK_DAMAGE,
                     "%llu bytes at data offset %llu, but the block there has %llu",
                     (unsigned long long)root->size, (unsigned long long)root->offset,
                     (unsigned long long)size);
    else
        vi_check_say(check, VI_CHECK_PASSED, "%llu bytes at data offset %llu",
                     (unsigned long long)root->size, (unsigned long long)root->offset);
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Forged segment files: see forge.h.
 */
#include "forge.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/crc32c.h"
#include "core/record.h"
#include "media/superblock.h"

/* ---- Files ------------------------------------------------------------- */

void forge_open(struct forge *file, const char *path)
{
    snprintf(file->path, sizeof file->path, "%s", path);
    file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(file->fd >= 0);
}

static bool is_zero(const unsigned char *page)
{
    return *page == 0 && memcmp(page, page + 1, VI_PAGE - 1) == 0;
}

static void take_page(struct forge_image *image, const struct forge *file, uint64_t at)
{
    struct forge_page *page;

    image->pages = realloc(image->pages, (image->count + 1) * sizeof *image->pages);
    REQUIRE(image->pages != NULL);
    page = &image->pages[image->count];
    memset(page, 0, sizeof *page);
    page->at = at;
    REQUIRE(pread(file->fd, page->bytes, VI_PAGE, (off_t)at) > 0);
    image->count += !is_zero(page->bytes);
}

struct forge_image forge_take(const struct forge *file)
{
    struct forge_image image = {.size = (uint64_t)lseek(file->fd, 0, SEEK_END)};
    off_t from = 0, to = 0;

    while ((from = lseek(file->fd, to, SEEK_DATA)) >= 0) {
        to = lseek(file->fd, from, SEEK_HOLE);
        for (off_t at = from / VI_PAGE * VI_PAGE; at < to; at += VI_PAGE)
            take_page(&image, file, (uint64_t)at);
    }
    return image;
}

void forge_put(struct forge *file, const struct forge_image *image)
{
    REQUIRE(ftruncate(file->fd, 0) == 0);
    REQUIRE(ftruncate(file->fd, (off_t)image->size) == 0);
    for (size_t i = 0; i < image->count; i++)
        forge_poke(file, image->pages[i].at, image->pages[i].bytes, VI_PAGE);
    file->s = (struct vi_superblock){0};
    for (size_t i = 0; i < image->count && image->pages[i].at < VI_SUPERBLOCKS * VI_PAGE; i++) {
        const struct vi_superblock *copy = (const void *)image->pages[i].bytes;

        if (copy->sequence >= file->s.sequence)
            file->s = *copy;
    }
    file->checked = vi_class_flushes(file->s.log_class);
}

/* Never beyond the end, nor where no file reaches. */
void forge_poke(const struct forge *file, uint64_t at, const void *bytes, size_t length)
{
    const uint64_t size = (uint64_t)lseek(file->fd, 0, SEEK_END);

    if (at < size)
        REQUIRE(pwrite(file->fd, bytes, length < size - at ? length : size - at, (off_t)at) > 0);
}

void forge_poke_word(const struct forge *file, uint64_t at, uint64_t word)
{
    forge_poke(file, at, &word, sizeof word);
}

uint64_t forge_word(const struct forge *file, uint64_t at)
{
    uint64_t word = 0;

    (void)!pread(file->fd, &word, sizeof word, (off_t)at);
    return word;
}

/* ---- Superblock, members ----------------------------------------------- */

void forge_superblock(struct forge *file, bool lay_out)
{
    struct vi_superblock *const s = &file->s;

    if (lay_out && vi_superblock_layout(s) == 0 && s->data_offset + s->size < (uint64_t)1 << 42)
        REQUIRE(ftruncate(file->fd, (off_t)(s->data_offset + s->size)) == 0);
    for (int copy = 0; copy < VI_SUPERBLOCKS; copy++) {
        s->check = vi_crc32c(0, s, offsetof(struct vi_superblock, check));
        forge_poke(file, (uint64_t)copy * VI_SUPERBLOCK_SIZE, s, sizeof *s);
    }
    file->checked = vi_class_flushes(s->log_class);
}

static uint32_t seed_of(const struct forge *file)
{
    return vi_crc32c(0, file->s.uuid, sizeof file->s.uuid);
}

static uint32_t check_of(const struct forge *file, const struct vi_member *entry)
{
    const uint32_t crc = vi_crc32c(seed_of(file), entry, offsetof(struct vi_member, check));

    return vi_crc32c(crc, entry->path, sizeof entry->path);
}

void forge_entry(const struct forge *file, uint64_t at, const struct vi_member *entry)
{
    struct vi_member own = *entry;

    own.check = check_of(file, &own);
    forge_poke(file, at, &own, sizeof own);
}

struct vi_member forge_entry_at(const struct forge *file, uint64_t at)
{
    struct vi_member entry = {0};

    (void)!pread(file->fd, &entry, sizeof entry, (off_t)at);
    return entry;
}

bool forge_entry_sound(const struct forge *file, const struct vi_member *entry)
{
    return entry->path[0] != '\0' && entry->path[sizeof entry->path - 1] == '\0' &&
           entry->check == check_of(file, entry);
}

/* ---- Undo log ---------------------------------------------------------- */

uint64_t forge_slot(const struct forge *file, uint32_t slot)
{
    return vi_superblock_slot(file->s.chunks_offset + file->s.chunks_size, slot);
}

struct forge_log forge_log_begin(const struct forge *file, uint32_t slot, bool finishing)
{
    const uint64_t used = forge_word(file, VI_LOG_OFFSET);
    struct forge_log log = {.file = file,
                            .slot = slot,
                            .stamp = VISTA_INLINE_STAMP_STEP * 5 | (uint64_t)slot << 1,
                            .chunk = forge_slot(file, slot),
                            .at = forge_slot(file, slot) + sizeof(struct vi_slot_header),
                            .end = forge_slot(file, slot) + VI_SLOT_SIZE};

    for (uint32_t i = used < VI_SLOTS ? (uint32_t)used : 0; i < slot; i++)
        forge_poke_word(file, forge_slot(file, i), VISTA_INLINE_STAMP_STEP | (uint64_t)i << 1);
    if (used <= slot)
        forge_poke_word(file, VI_LOG_OFFSET, (uint64_t)slot + 1);
    forge_poke_word(file, forge_slot(file, slot), log.stamp | finishing);
    forge_poke_word(file, forge_slot(file, slot) + sizeof(uint64_t), 0);
    forge_poke_word(file, log.at, 0);
    return log;
}

/* `body` is the shape and what follows it. */
static bool append(struct forge_log *log, const uint64_t *body, size_t words)
{
    const struct vi_logs logs = {.meta = NULL, .seed = seed_of(log->file)};
    const size_t header = log->file->checked ? 2 : 1;
    uint64_t *const record = calloc(words + 3, sizeof *record);
    const size_t bytes = (header + words) * sizeof *record;

    REQUIRE(record != NULL);
    if (log->at + bytes + VI_TERMINATOR > log->end) {
        free(record);
        return false;
    }
    record[0] = log->stamp;
    memcpy(record + header, body, words * sizeof *record);
    if (log->file->checked)
        record[1] = vi_record_check(&logs, log->slot, log->at, record, words * sizeof *record);
    forge_poke(log->file, log->at, record, bytes + sizeof *record); /* and a word of zeros */
    log->at += bytes;
    if (log->file->checked)
        log->at = vi_line_up(log->at);
    free(record);
    return true;
}

bool forge_record(struct forge_log *log, unsigned kind, uint32_t length, uint64_t address,
                  const void *payload, size_t padded)
{
    const size_t words = 2 + (padded + 7) / 8;
    uint64_t *const body = calloc(words, sizeof *body);
    bool result;

    REQUIRE(body != NULL);
    body[0] = (uint64_t)kind << VI_KIND_SHIFT | length;
    body[1] = address;
    memcpy(body + 2, payload, padded);
    result = append(log, body, words);
    free(body);
    return result;
}

bool forge_short(struct forge_log *log, uint64_t shape, const uint64_t *words, size_t count)
{
    uint64_t body[64] = {shape | VISTA_INLINE_SHORT};

    REQUIRE(count < 64);
    memcpy(body + 1, words, count * sizeof *words);
    return append(log, body, count + 1);
}

void forge_chunk(struct forge_log *log, uint64_t offset, struct vi_chunk_header header)
{
    forge_poke_word(log->file, log->chunk + offsetof(struct vi_chunk_header, next), offset);
    forge_poke(log->file, offset, &header, sizeof header);
    log->chunk = offset;
    log->at = offset + sizeof header;
    log->end = offset + VI_CHUNK_UNIT;
    forge_poke_word(log->file, log->at, 0);
}

/* ---- Redo log ---------------------------------------------------------- */

static struct vi_redo_header redo_header(const struct forge *file)
{
    struct vi_redo_header both[VI_REDO_HEADERS];

    for (uint64_t i = 0; i < VI_REDO_HEADERS; i++) {
        memset(&both[i], 0, sizeof both[i]);
        (void)!pread(file->fd, &both[i], sizeof both[i],
                     (off_t)(file->s.chunks_offset + i * VI_REDO_BLOCK));
    }
    return both[both[1].generation > both[0].generation];
}

uint64_t forge_redo_size(const struct forge *file, uint64_t log_size)
{
    struct vi_redo_header header = redo_header(file);

    header.log_size = log_size;
    header.check = vi_crc32c(0, &header, offsetof(struct vi_redo_header, check));
    forge_poke(file, file->s.chunks_offset + header.generation % VI_REDO_HEADERS * VI_REDO_BLOCK,
               &header, sizeof header);
    return file->s.chunks_offset + VI_REDO_HEADERS * VI_REDO_BLOCK + header.ring_size;
}

uint32_t forge_redo_epoch(const struct forge *file)
{
    return redo_header(file).epoch;
}

bool forge_redo_begin(const struct forge *file, struct vi_disk_point *at)
{
    const struct vi_redo_header header = redo_header(file);

    *at = (struct vi_disk_point){header.head, header.previous};
    return header.magic == VI_REDO_MAGIC && header.ring_size != 0;
}

void forge_redo(const struct forge *file, struct vi_disk_point *at, struct vi_redo_item item,
                const void *payload, size_t bytes)
{
    const struct vi_redo_header header = redo_header(file);
    const uint64_t size = sizeof(struct vi_redo_record) + sizeof item + (bytes + 7) / 8 * 8;
    unsigned char *const memory = calloc(1, size);
    struct vi_redo_record *const record = (struct vi_redo_record *)memory;
    struct vi_disk_area area = {.incarnation = header.incarnation, .epoch = header.epoch};

    REQUIRE(memory != NULL);
    memcpy(area.uuid, header.uuid, sizeof area.uuid);
    vi_disk_area_set(&area, file->s.chunks_offset,
                     file->s.chunks_offset + VI_REDO_HEADERS * VI_REDO_BLOCK, header.ring_size,
                     header.log_size);
    *record = (struct vi_redo_record){.bytes = (uint32_t)size,
                                      .lsn = at->lsn,
                                      .previous = at->previous,
                                      .synced = header.head,
                                      .epoch = header.epoch,
                                      .items = 1};
    memcpy(record + 1, &item, sizeof item);
    memcpy((unsigned char *)(record + 1) + sizeof item, payload, bytes);
    record->check = vi_disk_check(&area, record);
    forge_poke(file, area.log_offset + at->lsn % area.log_size, memory, size);
    *at = (struct vi_disk_point){at->lsn + record->bytes, at->lsn};
    free(memory);
}

/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Segments that list their regions: the calls are in rvm/rvm_segment.h.
 */
#include <fcntl.h>
#include <rvm/rvm_segment.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x3130304745534d52u /* "RMSEG001" read as a little-endian number */
#define REGIONS 168u              /* so that the list fits a page of 4 KiB */

/* What a segment's first page holds; the rest of the page is zero. */
struct list {
    uint64_t magic;
    uint64_t regions;
    struct {
        uint64_t offset, length, vmaddr;
    } region[REGIONS];
};

/* What else can be wrong with them rvm_map says. */
static rvm_return_t check(const struct list *list)
{
    if (list->regions == 0 || list->regions > REGIONS)
        return RVM_ERANGE;
    for (uint64_t i = 0; i < list->regions; i++) {
        const uint64_t offset = list->region[i].offset, length = list->region[i].length,
                       at = list->region[i].vmaddr;

        if ((offset | length | at) & ~rvm_page_mask() || offset == 0 || length == 0 || at == 0 ||
            offset > INT64_MAX || length > INT64_MAX - offset)
            return RVM_ERANGE;
    }
    return RVM_SUCCESS;
}

/* Writes the list to the file, which becomes at least that long, durably. */
static rvm_return_t write_list(const char *path, const struct list *list, uint64_t end)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    const bool is_written = fd >= 0 && fstat(fd, &st) == 0 &&
                            ((uint64_t)st.st_size >= end || ftruncate(fd, (off_t)end) == 0) &&
                            pwrite(fd, list, sizeof *list, 0) == sizeof *list && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return is_written ? RVM_SUCCESS : RVM_EIO;
}

static rvm_return_t read_list(const char *path, struct list *list)
{
    const int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got;

    if (fd < 0)
        return path == NULL ? RVM_EREGION_DEF : RVM_EIO;
    got = pread(fd, list, sizeof *list, 0);
    close(fd);
    return got == sizeof *list && list->magic == MAGIC && check(list) == RVM_SUCCESS
               ? RVM_SUCCESS
               : (rvm_return_t)RVM_ESEGMENT_HDR;
}

rvm_return_t rvm_create_segment(char *dev_name, rvm_offset_t dev_length, rvm_options_t *options,
                                rvm_length_t nregions, rvm_region_def_t *regions)
{
    struct list list = {MAGIC, nregions, {{0}}};
    rvm_return_t result;
    uint64_t end = 0;

    (void)dev_length, (void)options; /* the regions' ends say how long it is */
    if (dev_name == NULL || nregions > REGIONS)
        return dev_name == NULL ? RVM_EREGION_DEF : RVM_ERANGE;
    for (rvm_length_t i = 0; i < nregions; i++) {
        list.region[i].offset = regions[i].offset.low;
        list.region[i].length = regions[i].length;
        list.region[i].vmaddr = (uintptr_t)regions[i].vmaddr;
        if (end < regions[i].offset.low + regions[i].length)
            end = regions[i].offset.low + regions[i].length;
    }
    result = rvm_flush(); /* is there RVM? */
    if (result == RVM_SUCCESS)
        result = check(&list);
    return result == RVM_SUCCESS ? write_list(dev_name, &list, end) : result;
}

rvm_return_t rvm_load_segment(char *dev_name, rvm_offset_t dev_length, rvm_options_t *options,
                              rvm_length_t *nregions, rvm_region_def_t **regions)
{
    struct list list;
    rvm_return_t result = read_list(dev_name, &list);
    rvm_region_def_t *made;
    rvm_length_t i = 0;

    if (result != RVM_SUCCESS)
        return result;
    made = calloc(list.regions, sizeof *made);
    if (made == NULL)
        return RVM_ENO_MEMORY;
    for (; i < list.regions && result == RVM_SUCCESS; i++) {
        rvm_region_t region;

        rvm_init_region(&region);
        region.data_dev = dev_name;
        region.dev_length = dev_length;
        region.offset = rvm_mk_offset(0, list.region[i].offset);
        region.length = list.region[i].length;
        region.vmaddr = (char *)list.region[i].vmaddr;
        result = rvm_map(&region, options);
        made[i] = (rvm_region_def_t){region.offset, region.length, region.vmaddr};
    }
    if (result != RVM_SUCCESS) {
        (void)rvm_release_segment(i - 1, &made);
        free(made); /* if that has not */
        return result;
    }
    *nregions = list.regions;
    *regions = made;
    return RVM_SUCCESS;
}

rvm_return_t rvm_release_segment(rvm_length_t nregions, rvm_region_def_t **regions)
{
    if (regions == NULL || *regions == NULL)
        return RVM_EREGION_DEF;
    for (rvm_length_t i = 0; i < nregions; i++) {
        rvm_return_t result;
        rvm_region_t region;

        rvm_init_region(&region);
        region.vmaddr = (*regions)[i].vmaddr;
        region.length = (*regions)[i].length;
        result = region.vmaddr != NULL ? rvm_unmap(&region) : RVM_SUCCESS;
        if (result != RVM_SUCCESS)
            return result;
        if (region.vmaddr != NULL)
            munmap(region.vmaddr, region.length);
        (*regions)[i].vmaddr = NULL; /* another call skips it */
    }
    free(*regions);
    *regions = NULL;
    return RVM_SUCCESS;
}

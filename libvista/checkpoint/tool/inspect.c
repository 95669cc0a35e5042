/* SPDX-License-Identifier: BSD-3-Clause
 *
 * vista-run --info: see inspect.h.
 */
#include "checkpoint/tool/inspect.h"

#include "vista.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint/engine/layout.h"
#include "checkpoint/engine/run_report.h"
#include "checkpoint/protocol/protocol.h"

static void show_command(const struct vi_header *header)
{
    printf("program      %s\narguments   ", header->program);
    for (uint64_t at = 0; at < header->command_size; at += strlen(header->command + at) + 1)
        printf(" %s", header->command + at);
    printf("\nprotocol     %s", vi_protocol_name(header->protocol));
    if (header->plan != header->protocol)
        printf(", now %s, after %llu choices", vi_protocol_name(header->plan),
               (unsigned long long)header->choices);
    printf("\n");
}

static void show_state(const struct vi_header *header, const struct vi_control *control)
{
    uint64_t mapped = 0, landed = 0;

    for (uint64_t i = 0; i < control->map_count; i++)
        mapped += (control->maps[i].end - control->maps[i].start) / VI_GUEST_PAGE;
    for (int i = 0; i < VI_ZONES; i++)
        landed += header->zones[i].group != 0 ? header->zones[i].count : 0;
    printf("commits      %llu, %llu more saved by the log\npages        %llu stored, %llu "
           "mapped\ninput        %llu bytes "
           "landed\n",
           (unsigned long long)header->commits, (unsigned long long)header->saved,
           (unsigned long long)header->pages, (unsigned long long)mapped,
           (unsigned long long)landed);
}

static void show_descriptors(const struct vi_control *control)
{
    static const char *const kinds[] = {"", "inherited", "file", "directory", "device", "kept"};

    for (int fd = 0; fd < VI_DESCRIPTORS; fd++) {
        const uint16_t group = control->descriptors[fd].group;
        const struct vi_open_file *file = group != 0 ? &control->files[group - 1] : NULL;

        if (file != NULL && file->kind <= VI_FILE_KEPT)
            printf("descriptor   %d %s %s\n", fd, kinds[file->kind], file->path);
    }
}

int vi_inspect(const char *file)
{
    vista_segment *segment = vista_map(file, 0, VISTA_NO_HEAP | VISTA_SPARSE | VISTA_ANY_ADDRESS,
                                       &(struct vista_map_options){.lock_wait_ms = VI_DEATH_MS});
    const struct vi_header *header = segment != NULL ? vista_base(segment) : NULL;

    if (header == NULL) {
        vi_say("%s", vista_errormsg());
        return 1;
    }
    if (header->magic != VI_CHECKPOINT_MAGIC || header->version != VI_CHECKPOINT_VERSION) {
        vi_say("%s: not a checkpoint file of this version", file);
        return 1;
    }
    show_command(header);
    if (header->started) {
        const struct vi_control *control = (const void *)((const char *)header + VI_HEADER_SIZE);

        show_state(header, control);
        show_descriptors(control);
    }
    return vista_unmap(segment) == 0 ? 0 : 1;
}

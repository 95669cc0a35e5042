/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The report, and the search for words that are not zero: see findings.h.
 */
#include "check/findings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FINDINGS_MAX 20u     /* of one step: a screenful tells as much as a thousand */
#define SCAN_MAX (16u << 20) /* bytes looked through between reports of progress */

/* ---- The report -------------------------------------------------------- */

static void send(struct vi_check *check, enum vi_check_severity severity, const char *text)
{
    if (!check->stopped && check->report != NULL)
        check->stopped = check->report(check->arg, (int)severity, text) != 0;
}

void vi_check_say(struct vi_check *check, enum vi_check_severity severity, const char *format, ...)
{
    char text[512];
    va_list arguments;
    int length = snprintf(text, sizeof text, "%s: ", check->step);

    if (severity == VI_CHECK_DAMAGE) {
        check->damage++;
        check->all_damage++;
    }
    if (severity != VI_CHECK_PASSED && ++check->findings > FINDINGS_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(text + length, sizeof text - (size_t)length, format, arguments);
    va_end(arguments);
    if (severity == VI_CHECK_DAMAGE && check->all_damage == 1)
        memcpy(check->first, text, sizeof text);
    send(check, severity, text);
}

void vi_check_cut(struct vi_check *check)
{
    char text[128];

    if (check->findings <= FINDINGS_MAX)
        return;
    snprintf(text, sizeof text, "%s: and %u more findings, not listed", check->step,
             check->findings - FINDINGS_MAX);
    send(check, check->damage != 0 ? VI_CHECK_DAMAGE : VI_CHECK_NOTE, text);
}

/* ---- Words that are not zero ------------------------------------------- */

struct vi_check_scan vi_check_scan(const struct vi_check *check, uint64_t from, uint64_t end)
{
    return (struct vi_check_scan){
        .check = check, .from = from, .at = from, .end = end, .data_end = from};
}

/* Moves over a hole; where the file system cannot tell, all is data. */
static void find_data(struct vi_check_scan *scan)
{
    const struct vi_check_visitor *visitor = scan->check->visitor;
    const int fd = scan->check->file->fd;
    const off_t data = lseek(fd, (off_t)scan->at, SEEK_DATA);
    const off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

    scan->data_end = scan->end;
    if (scan->check->overlaid) /* also where the file has a hole */
        return;
    if (data < 0 && errno == ENXIO) {
        scan->at = scan->end;
        return;
    }
    if (data < 0 || hole <= data)
        return;
    if ((uint64_t)data > scan->at)
        scan->at = (uint64_t)data / sizeof(uint64_t) * sizeof(uint64_t);
    if ((uint64_t)hole < scan->end)
        scan->data_end = (uint64_t)hole / sizeof(uint64_t) * sizeof(uint64_t);
    if (scan->data_end <= scan->at) /* a hole that ends within a word */
        scan->data_end = scan->at + sizeof(uint64_t);
    if (scan->data_end - scan->at > SCAN_MAX)
        scan->data_end = scan->at + SCAN_MAX;
    if (visitor->progress != NULL && scan->at < scan->end)
        visitor->progress(visitor->arg, scan->check->step, scan->at - scan->from,
                          scan->end - scan->from);
}

uint64_t vi_check_next(struct vi_check_scan *scan)
{
    while (scan->at < scan->end) {
        if (scan->at >= scan->data_end) {
            find_data(scan);
            continue;
        }
        while (scan->at < scan->data_end && scan->at < scan->end) {
            scan->at += sizeof(uint64_t);
            if (vi_check_word(scan->check, scan->at - sizeof(uint64_t)) != 0)
                return scan->at - sizeof(uint64_t);
        }
    }
    return scan->end;
}

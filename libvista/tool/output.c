/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What the commands write: JSON, the progress line, and names of things.
 */
#include "tool/output.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vista.h"

/* ---- Names ------------------------------------------------------------- */

const char *tool_uuid(const uint8_t uuid[16])
{
    static char text[37];
    size_t at = 0;

    for (int i = 0; i < 16; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%02x",
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
    return text;
}

const char *tool_class(uint32_t class)
{
    static const char *const names[] = {[VISTA_CLASS_KILL] = "kill",
                                        [VISTA_CLASS_LINE] = "line",
                                        [VISTA_CLASS_EADR] = "eadr",
                                        [VISTA_CLASS_DISK] = "disk"};

    return class >= VISTA_CLASS_KILL && class <= VISTA_CLASS_DISK ? names[class] : "unknown";
}

/* ---- Progress ---------------------------------------------------------- */

#define FIRST_MS 500 /* shorter work than this shows no line */
#define NEXT_MS 100

void tool_progress(const char *what, uint64_t done, uint64_t total)
{
    static uint64_t due; /* in ms; 0: nothing has begun */
    static bool shown;
    struct timespec time;
    uint64_t now;

    if (total == 0) {
        if (shown)
            fputs("\r\033[K", stderr);
        shown = false;
        due = 0;
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &time);
    now = (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
    if (due == 0)
        due = now + FIRST_MS;
    if (now < due || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s: %.0f %%", what, 100.0 * (double)done / (double)total);
    due = now + NEXT_MS;
    shown = true;
}

void tool_step_progress(void *arg, const char *step, uint64_t done, uint64_t all)
{
    (void)arg;
    tool_progress(step, done, all);
}

/* ---- JSON -------------------------------------------------------------- */

static struct {
    int depth;
    bool more; /* something stands before in this bracket */
} json;

static void begin(const char *key)
{
    if (json.more)
        putchar(',');
    if (json.depth != 0)
        printf("\n%*s", 2 * json.depth, "");
    if (key != NULL)
        printf("\"%s\": ", key);
    json.more = true;
}

void tool_json_open(const char *key, char bracket)
{
    begin(key);
    putchar(bracket);
    json.depth++;
    json.more = false;
}

void tool_json_close(char bracket)
{
    json.depth--;
    if (json.more)
        printf("\n%*s", 2 * json.depth, "");
    putchar(bracket);
    json.more = true;
    if (json.depth == 0) {
        putchar('\n');
        json.more = false;
    }
}

void tool_json_number(const char *key, uint64_t value)
{
    begin(key);
    printf("%llu", (unsigned long long)value);
}

void tool_json_bool(const char *key, bool value)
{
    begin(key);
    fputs(value ? "true" : "false", stdout);
}

/* Bytes of the UTF-8 character at `text`; 0: none begins there.  Of three bytes and four
 * the second tells long forms, surrogates and what is above U+10FFFF, which are none. */
static unsigned character(const unsigned char *text)
{
    const unsigned length = *text < 0x80                    ? 1
                            : *text >= 0xc2 && *text < 0xe0 ? 2
                            : *text >= 0xe0 && *text < 0xf0 ? 3
                            : *text >= 0xf0 && *text < 0xf5 ? 4
                                                            : 0;

    for (unsigned i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((*text == 0xe0 && text[1] < 0xa0) || (*text == 0xed && text[1] >= 0xa0) ||
        (*text == 0xf0 && text[1] < 0x90) || (*text == 0xf4 && text[1] >= 0x90))
        return 0;
    return length;
}

/* A path may be any bytes; those that are no UTF-8 become U+FFFD. */
void tool_json_text(const char *key, const char *text)
{
    begin(key);
    putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at != 0;) {
        const unsigned length = character(at);

        if (length == 0)
            fputs("\\ufffd", stdout);
        else if (*at < 0x20)
            printf("\\u%04x", *at);
        else
            printf("%s%.*s", *at == '"' || *at == '\\' ? "\\" : "", (int)length, (const char *)at);
        at += length != 0 ? length : 1;
    }
    putchar('"');
}

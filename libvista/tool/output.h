/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What commands print: names, progress, JSON.
 */
#ifndef VI_TOOL_OUTPUT_H
#define VI_TOOL_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

/* A UUID as it is written, in a buffer that the next call reuses. */
const char *tool_uuid(const uint8_t uuid[16]);

/* "kill", "line" or "eadr", as in VISTA_CLASS. */
const char *tool_class(uint32_t class);

/* How far a long work has come, on stderr if that is a terminal.  `total` 0: it is
 * over, and the line goes. */
void tool_progress(const char *what, uint64_t done, uint64_t total);

/* The same as struct vi_check_visitor has it. */
void tool_step_progress(void *arg, const char *step, uint64_t done, uint64_t all);

/* JSON on stdout.  `key` is NULL in an array, and at the top.  Brackets are "{" and
 * "[" to open; to close, the same bracket's other half. */
void tool_json_open(const char *key, char bracket);
void tool_json_close(char bracket);
void tool_json_number(const char *key, uint64_t value);
void tool_json_text(const char *key, const char *text);
void tool_json_bool(const char *key, bool value);

#endif

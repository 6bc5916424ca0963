#pragma once
/*
 * What a check or a repair of a store has to tell, for people: lines made of the JSON
 * that the daemon and `sysrtd store` answer. Pure; any thread.
 */

#include "common/buf.h"
#include "common/span.h"

/** Appends {"checks": [{"check", "ok", "findings"}], ...} as a line for each check, its findings
 * below it. `json` is checked JSON; what is not there is not told. */
void report_add_check(struct buf *out, struct span json);
/** Appends {"how", "kept", "records", ..., "removed"} as sentences about the file. */
void report_add_repair(struct buf *out, const char *path, struct span json);

#pragma once
/*
 * Log entries as records: what `journalctl -o json` prints, and {timestamp,
 * level, message, fields}. Both give the same data: {timestamp (milliseconds),
 * level, message, fields}; fields that are passed on are as they were, token for
 * token. Pure; any thread.
 */

#include "common/buf.h"
#include "common/json.h"

enum preset { PRESET_NONE, PRESET_JOURNALD, PRESET_LOG };

#define PRESET_WHY_SIZE  128
#define PRESET_NAME_SIZE 201 /* what of a message becomes the record's name */

/** What an entry becomes. */
struct preset_record {
	struct span id; /* a string of JSON, borrowed from the entry; n == 0: none */
	char name[PRESET_NAME_SIZE];
	struct buf data; /* the caller's: to be reset before */
};

/** "journald", "log"; PRESET_NONE for NULL. */
enum preset preset_by_name(const char *name);
/** The category of entries, when nobody says another one. */
const char *preset_category(enum preset preset);
/** Reads an entry; false: `why`. */
bool preset_read(enum preset preset, struct json_value entry, struct preset_record *out,
	char why[PRESET_WHY_SIZE]);
/** Milliseconds since the epoch of an ISO 8601 date and time: RFC 3339, and without a zone (UTC),
 * with a comma, with +0100 or +01, or a date alone. */
bool preset_parse_time(struct span text, int64_t *ms);

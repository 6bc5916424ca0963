#pragma once
/*
 * From an item of an input to the params of a put. Either the item is such
 * params already (what the store adds to a record is left out), or a record is
 * made of it: by a preset, by saying which members become which fields, or with
 * the whole item as its data.
 */

#include "common/json_pointer.h"
#include "ctl/ctl.h"
#include "ctl/preset.h"

#define MAPPING_WHY_SIZE 160

/* What a put takes that an item can give. */
enum mapped {
	MAPPED_CATEGORY,
	MAPPED_ID,
	MAPPED_NAME,
	MAPPED_DATA,
	MAPPED_TTL,
	MAPPED_EXPIRES_AT,
	MAPPED_COUNT
};

/** Where in an item a field is. */
struct mapped_from {
	const char *shown;            /* as the command line says it; NULL: nowhere. Borrowed */
	struct json_pointer *pointer; /* owned */
};

struct mapping {
	bool makes_records; /* an item is not params */
	enum preset preset;
	const char *category; /* of records; NULL: not said. Borrowed */
	struct mapped_from from[MAPPED_COUNT];
	struct preset_record entry; /* by the preset */
	const char *key; /* makes ids for records that have none; NULL: the daemon does. Borrowed */
	bool leaves_ids; /* to the daemon, of one record at least: sent again, it is another one */
};

/** Takes it from the options of the command; is_table: items are rows. 0, or an exit status after
 * telling what is wrong; mapping_fini() then too. */
int mapping_init(struct mapping *m, const struct ctl *c, bool is_table);
void mapping_fini(struct mapping *m);
/** What the command line looks for and a table with these columns (an object) does not have; NULL:
 * all is there. */
const char *mapping_missing(const struct mapping *m, struct json_value columns);
/** The record that an item becomes, which is an object and ends at this offset: the item itself or
 * what was put into `out`; empty: `why`. */
struct span mapping_make(struct mapping *m, struct json_value item, int64_t offset, struct buf *out,
	char why[MAPPING_WHY_SIZE]);

#pragma once
/*
 * The columns of a table as JSON: the header row names the members, each
 * further row becomes an object. Values are text, unless numbers are asked for.
 * Pure; any thread.
 */

#include "common/buf.h"
#include "common/span.h"

#define COLUMNS_WHY_SIZE 128

struct columns {
	char separator;
	bool has_numbers; /* a field without quotes that is a number of JSON is one */
	struct buf keys;  /* of all members, as JSON, each with its colon */
	size_t *ends;     /* of each in keys */
	size_t n;         /* 0: the header was not read yet */
};

void columns_init(struct columns *c, char separator, bool has_numbers);
void columns_fini(struct columns *c);
/** Reads the header row; false: `why`. */
bool columns_read(struct columns *c, struct span header, char why[COLUMNS_WHY_SIZE]);
/** Appends an object with all members, each null. */
void columns_add_header(const struct columns *c, struct buf *out);
/** Appends a row as an object; false: `why`. */
bool columns_add_row(
	const struct columns *c, struct span row, struct buf *out, char why[COLUMNS_WHY_SIZE]);

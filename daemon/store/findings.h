#pragma once
/*
 * What was found to be wrong with a store: a text for each, for people. A bounded
 * number is kept, the others are counted. Any thread, one at a time.
 */

#include <stddef.h>

#include "common/json.h"
#include "common/span.h"

#define FINDINGS_MAX 1000

struct finding {
	const char *where; /* borrowed: a word, "records" */
	char *text;        /* one line of UTF-8 without control characters */
};

struct findings {
	struct finding *v;
	size_t n;     /* kept */
	size_t total; /* found */
};

void findings_fini(struct findings *f);
void findings_add(struct findings *f, const char *where, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** Writes the kept ones of `where` (NULL: of all) as an array of texts. */
void findings_add_json(
	const struct findings *f, const char *where, struct json_out *o, const char *key);

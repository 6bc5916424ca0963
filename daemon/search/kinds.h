#pragma once
/*
 * Which index the records of a category go into: what [category.NAME] search says,
 * as a value of its own, since the index outlives a configuration: it holds the
 * text of the kinds that it was built with. Immutable; any thread.
 */

#include <stdbool.h>

#include "common/span.h"
#include "daemon/base/conf.h"

/* Kinds that have a table: all below SEARCH_OFF. */
#define INDEX_KINDS ((int)SEARCH_OFF)

struct kinds;

/** The text of what a configuration says, the caller's: a line "KIND NAME" for each table. */
char *kinds_text(const struct conf *conf);
/** Reads such a text; lines that are none are passed over. */
struct kinds *kinds_new(struct span text);
void kinds_free(struct kinds *k);

/** The longest name that fits the category decides. */
enum conf_search kinds_of(const struct kinds *k, struct span category);
/** True if some category could be of this kind. */
bool kinds_has(const struct kinds *k, enum conf_search kind);

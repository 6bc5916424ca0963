#pragma once
/*
 * How many records there are in the categories that somebody asked about, kept
 * while they change, so that a bound on their number costs no counting. What a
 * savepoint takes back is taken back here. Writer thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

struct counts;

struct counts *counts_new(void);
void counts_free(struct counts *c);
/** The number, or -1: nobody has told it yet. */
int64_t counts_get(const struct counts *c, struct span category);
/** Tells the number as it is now. */
void counts_set(struct counts *c, struct span category, int64_t n);
/** One more or one less, in a category whose number was told. */
void counts_add(struct counts *c, struct span category, int64_t n);

/** A place to return to, and returning there. */
struct counts_mark {
	size_t step;
	uint64_t forgets;
};

struct counts_mark counts_mark(const struct counts *c);
void counts_return(struct counts *c, struct counts_mark mark);
/** All is committed. */
void counts_committed(struct counts *c);
/** Nothing that was told holds any more. */
void counts_forget(struct counts *c);

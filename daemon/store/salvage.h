#pragma once
/*
 * Getting records out of a damaged file: every page is looked at, whatever the trees
 * above it say. A row that proves itself by its sum counts before one that does not,
 * then the higher seq. What does not prove itself is kept too, as far as it can be,
 * and told; so is what is known to be lost. The damaged file is only read.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/findings.h"
#include "daemon/store/pages.h"

struct salvaged {
	int64_t pages;
	int64_t unreadable; /* pages that the disk does not give, or not all of them */
	int64_t records;    /* kept */
	int64_t tombstones; /* kept */
	int64_t versions;   /* earlier ones, kept */
	int64_t tokens;     /* kept */
	int64_t secrets;
	int64_t feeds;
	int64_t doubtful; /* of them, in all: without a sum that proves them */
	int64_t lost;     /* rows that are known to have been there */
};

/** Writes what is in the pages to `db`, an empty store of the newest version, in one transaction.
 * What is doubtful or lost is added to the findings. */
enum err salvage_run(const struct pages *pages, sqlite3 *db, struct salvaged *out,
	struct findings *findings, struct error *error);

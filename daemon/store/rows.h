#pragma once
/*
 * Tables of few rows that prove themselves (sum.h), such as tokens: each is read whole,
 * at the start. Any thread.
 */

#include <sqlite3.h>

#include "common/err.h"

/** What is read, and who takes a row: its columns hold during the call. */
struct rows_reading {
	const char *select;
	const char *doing; /* for errors: "reading the tokens" */
	void (*take)(void *arg, sqlite3_stmt *row);
	void *arg;
};

/** Reads all rows of a file, which others may have open. */
enum err rows_read(const char *path, const struct rows_reading *r, struct error *error);
/** A column's text: the caller owns it. */
char *rows_dup_text(sqlite3_stmt *row, int column);

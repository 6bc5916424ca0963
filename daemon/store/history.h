#pragma once
/*
 * Earlier versions of records, written in the transaction that replaces them. An
 * operation says how many its category keeps. Writer thread.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/job.h"

struct history;

/** Prepares the statements; db is borrowed. */
enum err history_new(sqlite3 *db, struct history **out, struct error *error);
void history_free(struct history *h);

/** Before the operation's record is replaced or deleted by the change `seq`: what is there becomes
 * an earlier version, if the operation wants any, and the oldest beyond their number goes. */
enum err history_keep(struct history *h, const struct op *op, int64_t seq, struct error *error);
/** Before a record that was deleted is there again by the change `seq`: the same of the deletion.
 */
enum err history_keep_deletion(
	struct history *h, const struct op *op, int64_t seq, struct error *error);
/** Before the tombstones up to `seq` are forgotten: those of records that have earlier versions
 * become one. */
enum err history_keep_pruned(struct history *h, int64_t seq, int64_t now_ms, struct error *error);
/** OP_TRIM_HISTORY. op->seq: how many versions went. *forgotten_to is raised to the highest
 * deletion among them whose record is still deleted. */
enum err history_trim(struct history *h, struct op *op, int64_t *forgotten_to, struct error *error);

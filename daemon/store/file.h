#pragma once
/*
 * The store's file before anything runs on it: the lock that keeps a second
 * daemon off, migrations, the epoch of this run, and the newest changes. Loop
 * thread, at the start.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"
#include "daemon/base/conf.h"
#include "daemon/store/change.h"

#define EPOCH_SIZE 17

/** One run of the store. */
struct epoch {
	char name[EPOCH_SIZE];
	int64_t first_seq;
};

/** The runs that the file has seen, oldest first; the last is this one. */
struct epochs {
	struct epoch *v;
	size_t n;
};

/** Takes the lock beside the file (PATH.lock). ERR_UNAVAILABLE when another daemon has it. */
enum err file_lock(const char *path, int *out, struct error *error);
/** The same where there is a lock to take, else *out stays: a copy of a store, on a disk that
 * cannot be written to, has none. */
enum err file_lock_if_there(const char *path, int *out, struct error *error);
/** Opens or makes the file, migrates it (with a copy from before beside it), adds the epoch of this
 * run (synced) and reads them all. */
enum err file_prepare(
	const char *path, const struct conf *conf, struct epochs *epochs, struct error *error);
void epochs_fini(struct epochs *e);

/** Where a client says that it stands. */
struct epochs_claim {
	struct span epoch;
	int64_t since;
	int64_t base;
};

/** Judges it: as store_check_position(). */
enum err epochs_check(const struct epochs *e, const struct epochs_claim *claim, int64_t last_seq,
	int64_t pruned_to, struct error *error);
/** Brings a file that is there and that no daemon holds to version `to` of the schema (0: the
 * newest); *from: what it was at. does_copy: PATH.before-vTO, verified, is kept beside it. */
enum err file_migrate(
	const struct conf *conf, int to, bool does_copy, int *from, struct error *error);

/** Fills a tail whose bounds are set; on a failure it is empty. */
enum err file_read_tail(
	const char *path, const struct conf *conf, struct tail *t, struct error *error);

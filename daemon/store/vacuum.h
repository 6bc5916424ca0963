#pragma once
/*
 * Free pages go back to the disk while the store is in use: the last page of the file
 * moves to a free one, again and again, in short transactions between the writer's
 * batches. SQLite can do this where the file says of every page whose it is
 * (auto_vacuum), as that of a store does from its making on; an older one does when it
 * was compacted offline (compact.h).
 *
 * The file ends earlier only when its log has been copied to it, so the job lasts until
 * then; when a reader keeps the log for too long, it says how large the file still is.
 *
 * Loop thread: new and free. The rest is the writer's, but for the atomics.
 */

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/job.h"
#include "daemon/store/wal.h"

struct vacuum {
	_Atomic bool is_stopped; /* nobody wants it any more */
	_Atomic int64_t done;    /* bytes that were given back */
	_Atomic int64_t total;   /* with those that are free still */
	sqlite3_stmt *give;      /* NULL: it has not begun */
	int64_t pages_n;         /* given back */
	int64_t size;            /* of the file, with what is in the log only */
	int64_t started_us;      /* monotonic, as the next two */
	int64_t held_us;         /* since when the log has no room; 0: it has */
	int64_t ended_us;        /* since when nothing is free; 0: something is */
};

/** What the writer does next. */
enum vacuum_next {
	VACUUM_AGAIN, /* more of it, after what waits */
	VACUUM_WAITS, /* the same after a while */
	VACUUM_OVER,  /* hands the job back */
};

struct vacuum *vacuum_new(void);
/** After the job came back, or when the writer has ended. NULL is fine. */
void vacuum_free(struct vacuum *v);
/** The writer's part, outside of a transaction: a few pages, or a look how far the file is. */
enum vacuum_next vacuum_run(struct job *j, sqlite3 *db, struct wal *wal);
/** Ends what is open on the connection. The writer, before it hands the job back. */
void vacuum_end(struct vacuum *v, struct wal *wal);

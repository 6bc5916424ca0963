#pragma once
/*
 * A backup: a copy of the store that is made beside it, checked, and brought to its
 * place, which may be on another disk. It goes by as one job: from the loop to the
 * backups' thread, which looks at the place; to the writer, which copies a part; to the
 * thread again, which brings the part to the disk and sends the job back for the next
 * one, so that the kernel never has much of it to write at once; and when all is there,
 * checked and in its place, back to the loop.
 * Whoever has the job owns what the backup holds, but for the atomics.
 *
 * The copy is made next to the store, since the writer waits for whatever it writes to:
 * a folder on a slow disk, or a client's file, gets it from the thread. What a kill
 * leaves behind is removed at the next start (backup_clean()).
 */

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/base/queue.h"
#include "daemon/store/job.h"

struct copy;

/** Where a backup goes, and how. */
struct store_backup {
	const char *place; /* a file that this daemon may make; NULL: into fd */
	int fd;            /* an empty file; taken over in any case */
	bool does_verify;
	const char *folder; /* where old ones go when this one is made; NULL: none do */
	int64_t keep;       /* so many stay */
};

struct backup {
	char *staged; /* where the copy is made; owned, as the next two */
	char *place;  /* where it is to be in the end; NULL: its bytes go into fd */
	char *folder; /* NULL, or where only the newest `keep` stay */
	int64_t keep;
	int fd;           /* an empty file, or -1 */
	bool does_verify; /* checks all of the copy, and what was written elsewhere */
	bool is_prepared;
	bool is_elsewhere; /* its bytes are copied once more */
	int staged_fd;
	int64_t started_us;      /* monotonic */
	int64_t flushed;         /* bytes of the copy that are on the disk */
	_Atomic bool is_stopped; /* nobody wants it any more */
	_Atomic int64_t done;    /* bytes, of everything that is to be written */
	_Atomic int64_t total;
};

/** Of the store at `path`. */
struct backup *backup_new(const char *path, const struct store_backup *how);
void backup_free(struct backup *b);
/** Removes what a backup, or a restore, that was killed has left beside the store. */
void backup_clean(const char *path);

/** The writer's part: copies until `until_us` and opens and closes *copy on the way. True when
 * there is more to do at once; else the job goes to the thread, perhaps to come back. */
bool backup_copy(struct job *j, sqlite3 *db, struct copy **copy, int64_t until_us);

struct backup_thread;

/** Starts the thread: jobs that need more copying go to `writer`, the others, with their result, to
 * `out`; both are borrowed. */
struct backup_thread *backup_thread_start(struct queue *writer, struct queue *out);
/** Where its jobs go in. */
struct queue *backup_thread_queue(struct backup_thread *t);
/** Ends the thread after what is queued. */
void backup_thread_stop(struct backup_thread *t);

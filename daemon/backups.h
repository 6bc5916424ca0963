#pragma once
/*
 * Backups as the daemon's own work: who asked for the one that is made and hears how
 * far it is, the schedule, what came of the last ones. The copying is the store's. A
 * backup stops when who asked for it is gone. The schedule counts monotonic time, so
 * that a clock that is set makes neither a burst nor a gap; only the first one after a
 * start is reckoned from the newest file's name. Loop thread.
 */

#include "common/json.h"
#include "daemon/base/conf.h"
#include "daemon/peer/peer.h"
#include "daemon/store/store.h"

struct backups;

/** All borrowed. Removes what a kill has left unfinished in the folder; waits for the first run. */
struct backups *backups_new(
	struct loop *loop, struct store *store, struct peers *peers, const struct conf *conf);
void backups_free(struct backups *b);
void backups_reload(struct backups *b, const struct conf *conf);

/** system.backup. *job: its number. */
enum err backups_ask(struct backups *b, uint64_t peer, const struct backup_wish *wish, int64_t *job,
	struct error *error);
/** The store's answer. */
void backups_done(struct backups *b, enum err result, const struct error *error, struct span reply);
/** Writes status's "backup". */
void backups_add_status(const struct backups *b, struct json_out *o);

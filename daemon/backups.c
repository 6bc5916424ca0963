/* Backups as the daemon's own work: see backups.h. */

#include "daemon/backups.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/store/folder.h"

#define TELL_EVERY_MS 100
#define BUSY_MS       1000 /* when one is due while another is made */
#define RESULT_MAX    65536

struct backups {
	struct loop *loop;
	struct store *store;
	struct peers *peers;
	const struct conf *conf;
	struct loop_timer *schedule;
	struct loop_timer *telling; /* runs while somebody hears how far it is */
	int64_t next_ms;            /* monotonic; INT64_MAX: none is planned */
	int64_t last_job;
	uint64_t peer; /* who asked for the one that is made; 0: the schedule */
	int64_t told;  /* bytes, of the last notice */
	bool is_for_folder;
	struct buf last; /* the result of the last one into the folder; empty: none in this run */
	int64_t last_at; /* wall clock; INT64_MIN: never */
	struct error failure; /* of the last one that was not stopped */
	int64_t failed_at;
};

static bool
is_planned(const struct backups *b)
{
	return b->conf->backup.folder[0] != '\0' && b->conf->backup.every_ms != CONF_UNLIMITED;
}

/** The next one after so long. */
static void
plan(struct backups *b, int64_t wait_ms)
{
	loop_timer_stop(b->schedule);
	b->next_ms = INT64_MAX;
	if (!is_planned(b))
		return;
	b->next_ms = clock_mono_ms() + wait_ms;
	loop_timer_start(b->schedule, wait_ms);
}

/** At a start or a reload: as if the daemon had run since the newest backup was made. */
static void
plan_first(struct backups *b)
{
	int64_t age = b->last_at != INT64_MIN ? clock_wall_ms() - b->last_at : INT64_MAX;

	if (age < 0)
		age = 0; /* the clock was set */
	plan(b, age >= b->conf->backup.every_ms ? 0 : b->conf->backup.every_ms - age);
}

static void
note_failure(struct backups *b, const struct error *error)
{
	log_error("backup", "the backup failed", F_ERROR(error));
	b->failure = *error;
	b->failed_at = clock_wall_ms();
}

static enum err
start_into_folder(struct backups *b, bool does_verify, struct error *error)
{
	const char *folder = b->conf->backup.folder;
	char *place;
	enum err e;

	if (folder[0] == '\0')
		return error_set(error, ERR_INVALID_ARGUMENT,
			"there is no folder for backups (backup.folder): name a file to back up to");
	place = folder_path(folder, clock_wall_ms());
	e = store_backup(b->store,
		&(struct store_backup){.place = place,
			.fd = -1,
			.does_verify = does_verify,
			.folder = folder,
			.keep = b->conf->backup.keep},
		error);
	free(place);
	return e;
}

static void
on_schedule(void *arg)
{
	struct backups *b = arg;
	struct error error = ERROR_NONE;
	int64_t done, total;

	if (store_backup_progress(b->store, &done, &total)) {
		plan(b, BUSY_MS);
		return;
	}
	plan(b, b->conf->backup.every_ms);
	if (start_into_folder(b, b->conf->backup.verify, &error) != OK) {
		note_failure(b, &error);
		return;
	}
	b->last_job = peers_next_job(b->peers);
	b->peer = 0;
	b->is_for_folder = true;
}

/* Telling who asked. */

static struct json_out
begin_notice(const struct backups *b, struct buf *params, int64_t done, int64_t total)
{
	struct json_out o;

	buf_init(params, RESULT_MAX);
	o = json_out_start(params);
	json_begin_object(&o, NULL);
	json_put_int(&o, "job", b->last_job);
	json_put_int(&o, "done", done);
	json_put_int(&o, "total", total);
	return o;
}

static void
end_notice(struct peer *p, struct json_out *o, struct buf *params)
{
	json_end_object(o);
	peer_notify(p, "job", buf_span(params));
	buf_fini(params);
}

static void
on_telling(void *arg)
{
	struct backups *b = arg;
	struct peer *p = peers_find(b->peers, b->peer);
	int64_t done, total;
	struct json_out o;
	struct buf params;

	if (p == NULL || p->dismissal != NULL)
		store_backup_stop(b->store);
	if (p == NULL)
		return;
	loop_timer_start(b->telling, TELL_EVERY_MS);
	if (!store_backup_progress(b->store, &done, &total) || done == b->told || done == total)
		return; /* nothing new, or the end is to come */
	b->told = done;
	o = begin_notice(b, &params, done, total);
	end_notice(p, &o, &params);
}

static void
tell_end(struct backups *b, enum err result, const struct error *error, struct span reply)
{
	struct peer *p = peers_find(b->peers, b->peer);
	struct json_out o;
	struct buf params;
	int64_t done, total;

	loop_timer_stop(b->telling);
	if (p == NULL)
		return;
	store_backup_progress(b->store, &done, &total);
	o = begin_notice(b, &params, done, total);
	if (result == OK)
		json_put_raw(&o, "result", reply);
	else
		rpc_put_error(&o, error);
	end_notice(p, &o, &params);
	peer_end_work(p);
}

void
backups_done(struct backups *b, enum err result, const struct error *error, struct span reply)
{
	if (b->peer != 0)
		tell_end(b, result, error, reply);
	if (result == OK) {
		log_info("backup", "backup made", F_SPAN("result", reply));
	} else if (result != ERR_UNAVAILABLE) {
		note_failure(b, error);
	} else {
		log_info("backup", "backup stopped", F_ERROR(error));
	}
	if (result != OK || !b->is_for_folder)
		return;
	buf_reset(&b->last);
	buf_add_span(&b->last, reply);
	b->last_at = clock_wall_ms();
	plan(b, b->conf->backup.every_ms);
}

/** Only an empty file that can be written and read back: not one that was passed by mistake. */
static enum err
check_file(int fd, struct error *error)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) != 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "the descriptor");
	if (!S_ISREG(st.st_mode) || (flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND) != 0)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"descriptor: it must be that of a file, open for reading and writing");
	if (st.st_size != 0)
		return error_set(error, ERR_INVALID_ARGUMENT, "descriptor: its file must be empty");
	return OK;
}

static enum err
start_into_file(struct backups *b, const struct backup_wish *wish, struct error *error)
{
	enum err e = check_file(wish->fd, error);
	int own;

	if (e != OK)
		return e;
	own = fcntl(wish->fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "the descriptor");
	return store_backup(b->store,
		&(struct store_backup){.fd = own, .does_verify = wish->does_verify}, error);
}

enum err
backups_ask(struct backups *b, uint64_t peer, const struct backup_wish *wish, int64_t *job,
	struct error *error)
{
	struct peer *p = peers_find(b->peers, peer);
	enum err e = wish->fd >= 0 ? start_into_file(b, wish, error)
				   : start_into_folder(b, wish->does_verify, error);

	if (e != OK)
		return e;
	b->peer = peer;
	b->told = 0;
	b->is_for_folder = wish->fd < 0;
	peer_begin_work(p);
	loop_timer_start(b->telling, TELL_EVERY_MS);
	*job = b->last_job = peers_next_job(b->peers);
	return OK;
}

void
backups_add_status(const struct backups *b, struct json_out *o)
{
	int64_t done, total;

	json_begin_object(o, "backup");
	if (store_backup_progress(b->store, &done, &total)) {
		json_begin_object(o, "running");
		json_put_int(o, "job", b->last_job);
		json_put_int(o, "done", done);
		json_put_int(o, "total", total);
		json_end_object(o);
	}
	if (b->conf->backup.folder[0] != '\0')
		json_put_str(o, "folder", b->conf->backup.folder);
	if (b->last_at != INT64_MIN)
		json_put_int(o, "last_at", b->last_at);
	if (b->last.n > 0)
		json_put_raw(o, "last", buf_span(&b->last));
	if (b->failed_at != 0) {
		json_put_int(o, "failed_at", b->failed_at);
		json_put_str(o, "failure", b->failure.text);
	}
	if (b->next_ms != INT64_MAX)
		json_put_int(o, "next_at", clock_wall_ms() + b->next_ms - clock_mono_ms());
	json_end_object(o);
}

struct backups *
backups_new(struct loop *loop, struct store *store, struct peers *peers, const struct conf *conf)
{
	struct backups *b = xnew(struct backups);
	const char *folder = conf->backup.folder;

	b->loop = loop;
	b->store = store;
	b->peers = peers;
	b->conf = conf;
	b->schedule = loop_timer_new(loop, on_schedule, b);
	b->telling = loop_timer_new(loop, on_telling, b);
	buf_init(&b->last, RESULT_MAX);
	b->last_at = folder[0] != '\0' ? folder_newest(folder) : INT64_MIN;
	if (folder[0] != '\0')
		folder_trim(folder, INT64_MAX, NULL);
	plan_first(b);
	return b;
}

void
backups_free(struct backups *b)
{
	if (b == NULL)
		return;
	loop_timer_free(b->schedule);
	loop_timer_free(b->telling);
	buf_fini(&b->last);
	free(b);
}

void
backups_reload(struct backups *b, const struct conf *conf)
{
	b->conf = conf;
	plan_first(b);
}

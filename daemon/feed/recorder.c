/* Recording: see recorder.h. */

#include "daemon/feed/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64.h"
#include "common/list.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/offload.h"

#define PIECE_MAX  ((size_t)1 << 30)
#define PIECE_KEPT ((size_t)16 << 10) /* a buffer that has grown beyond it is given back */

struct recorders {
	struct offload *offload;
	char *folder;
	struct list all; /* those that are closed while they write, too */
};

/** Messages that are written together. */
struct piece {
	struct buf lines;
	uint64_t n;
};

struct recorder {
	struct offload_work work; /* first */
	struct recorders *owner;
	struct list link;
	char *name;
	char *path;
	char *old_path;
	int64_t max;
	void (*written)(void *arg);
	void *arg;
	struct piece next; /* is added to */
	struct piece piece;
	bool is_writing; /* the thread has `piece`, `fd`, `size` and `error` */
	bool is_retired;
	bool is_closed;
	int fd; /* -1: not open */
	int64_t size;
	struct error error; /* of the last piece */
	bool is_failing;    /* that was told */
	uint64_t messages;
	uint64_t lost;
};

struct recorders *
recorders_new(struct loop *loop, const char *folder)
{
	struct recorders *rs = xnew(struct recorders);

	rs->offload = offload_new(loop);
	rs->folder = xstrdup(folder);
	list_init(&rs->all);
	return rs;
}

static void
recorder_free(struct recorder *r)
{
	list_remove(&r->link);
	buf_fini(&r->next.lines);
	buf_fini(&r->piece.lines);
	if (r->fd >= 0)
		close(r->fd);
	free(r->name);
	free(r->path);
	free(r->old_path);
	free(r);
}

void
recorders_free(struct recorders *rs)
{
	if (rs == NULL)
		return;
	offload_free(rs->offload);
	while (!list_is_empty(&rs->all))
		recorder_free(list_item(rs->all.next, struct recorder, link));
	free(rs->folder);
	free(rs);
}

struct recorder *
recorder_open(struct recorders *rs, const struct recorder_wish *wish)
{
	struct recorder *r;
	struct list *at, *tmp;

	list_each (at, tmp, &rs->all) {
		r = list_item(at, struct recorder, link);
		if (!r->is_retired && strcmp(r->name, wish->name) == 0)
			return NULL;
	}
	r = xnew(struct recorder);
	r->owner = rs;
	r->name = xstrdup(wish->name);
	r->path = xasprintf("%s/%s.ndjson", rs->folder, wish->name);
	r->old_path = xasprintf("%s.1", r->path);
	r->max = wish->max;
	r->written = wish->written;
	r->arg = wish->arg;
	r->fd = -1;
	r->error = ERROR_NONE;
	buf_init(&r->next.lines, PIECE_MAX);
	buf_init(&r->piece.lines, PIECE_MAX);
	list_append(&rs->all, &r->link);
	return r;
}

void
recorder_retire(struct recorder *r)
{
	r->is_retired = true;
}

void
recorder_close(struct recorder *r)
{
	if (r == NULL)
		return;
	r->is_closed = r->is_retired = true;
	if (!r->is_writing)
		recorder_free(r);
}

static void
add_base64(struct buf *out, struct span message)
{
	char *to;

	buf_add_char(out, '"');
	to = buf_reserve(out, base64_size(message.n));
	if (to != NULL) {
		base64_write(message, to);
		out->n += strlen(to);
	}
	buf_add_char(out, '"');
}

void
recorder_add(struct recorder *r, int64_t at_ms, bool is_text, struct span message)
{
	struct buf *lines = &r->next.lines;

	buf_addf(lines, "{\"at\":%lld,\"%s\":", (long long)at_ms, is_text ? "text" : "base64");
	if (is_text)
		json_add_string(lines, message);
	else
		add_base64(lines, message);
	buf_add(lines, "}\n", 2);
	r->next.n++;
}

/* On the thread. */

static enum err
failed(struct recorder *r, const char *what, const char *path)
{
	return error_set_errno(&r->error, ERR_IO_ERROR, errno, "%s %s", what, path);
}

/** A line that a death has left half-written must not take the next one with it. */
static enum err
end_last_line(struct recorder *r)
{
	char last = '\n';

	if (r->size > 0 && pread(r->fd, &last, 1, r->size - 1) != 1)
		return failed(r, "reading", r->path);
	if (last != '\n' && write(r->fd, "\n", 1) != 1)
		return failed(r, "writing", r->path);
	r->size += last != '\n';
	return OK;
}

static enum err
open_file(struct recorder *r)
{
	struct stat st;

	if (mkdir(r->owner->folder, 0700) != 0 && errno != EEXIST)
		return failed(r, "making", r->owner->folder);
	r->fd = open(r->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->fd < 0)
		return failed(r, "opening", r->path);
	if (fstat(r->fd, &st) != 0)
		return failed(r, "looking at", r->path);
	r->size = st.st_size;
	return end_last_line(r);
}

static void
close_file(struct recorder *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

/** Opens the file if it is not, and begins a new one if this has become too large. */
static enum err
make_room(struct recorder *r)
{
	enum err e = r->fd < 0 ? open_file(r) : OK;

	if (e != OK || r->size == 0 || r->size + (int64_t)r->piece.lines.n <= r->max / 2)
		return e;
	close_file(r);
	if (rename(r->path, r->old_path) != 0)
		return failed(r, "renaming", r->path);
	return open_file(r);
}

static enum err
write_piece(struct recorder *r)
{
	const struct buf *lines = &r->piece.lines;
	size_t done = 0;

	while (done < lines->n) {
		ssize_t n = write(r->fd, lines->p + done, lines->n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(r, "writing", r->path);
		done += (size_t)n;
	}
	r->size += (int64_t)done;
	return OK;
}

static void
run(struct offload_work *work)
{
	struct recorder *r = (struct recorder *)(void *)work;
	enum err e = r->piece.lines.failed
			     ? error_set(&r->error, ERR_LIMIT_EXCEEDED, "out of memory")
			     : make_room(r);

	if (e == OK) {
		e = write_piece(r);
		/* Half a piece would end in half a line. */
		if (e != OK && ftruncate(r->fd, r->size) != 0)
			close_file(r);
	}
	if (e != OK && r->size == 0)
		close_file(r); /* perhaps it can be opened the next time */
	if (e == OK)
		r->error = ERROR_NONE;
}

/* On the loop again. */

static void
note(struct recorder *r)
{
	bool is_failing = r->error.code != OK;

	if (is_failing && !r->is_failing)
		log_error("feed", "nothing is recorded", F_STR("record", r->name),
			F_ERROR(&r->error));
	else if (!is_failing && r->is_failing)
		log_info("feed", "recording works again", F_STR("record", r->name),
			F_INT("lost", r->lost));
	r->is_failing = is_failing;
	if (is_failing)
		r->lost += r->piece.n;
	else
		r->messages += r->piece.n;
}

static void
done(struct offload_work *work)
{
	struct recorder *r = (struct recorder *)(void *)work;

	r->is_writing = false;
	note(r);
	if (r->is_closed) {
		recorder_free(r);
		return;
	}
	r->piece.n = 0;
	buf_clear(&r->piece.lines, PIECE_KEPT);
	r->written(r->arg);
}

bool
recorder_write(struct recorder *r)
{
	struct piece empty = r->piece;

	must(!r->is_writing);
	if (r->next.n == 0)
		return false;
	r->piece = r->next;
	r->next = empty;
	r->is_writing = true;
	r->work.run = run;
	r->work.done = done;
	offload_submit(r->owner->offload, &r->work);
	return true;
}

bool
recorder_is_writing(const struct recorder *r)
{
	return r->is_writing;
}

void
recorder_add_status(const struct recorder *r, struct json_out *o)
{
	json_put_str(o, "file", r->path);
	json_put_int(o, "messages", (int64_t)r->messages);
	if (r->lost > 0)
		json_put_int(o, "lost", (int64_t)r->lost);
	if (r->is_failing && !r->is_writing)
		json_put_str(o, "error", r->error.text);
}

/* The record of who did what: see audit.h. */

#include "daemon/guard/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/json.h"
#include "common/log.h"
#include "common/time.h"
#include "common/xalloc.h"

#define FILE_MODE      0640
#define LINE_MAX_BYTES 8192 /* more than all the texts of an entry with each byte escaped */
#define REFUSALS_PER_S 20

struct audit {
	int fd; /* -1: no file */
	bool is_failing;
	bool is_torn;   /* the last line has no end */
	int64_t second; /* that refusals are counted in */
	unsigned refusals;
	unsigned left_out; /* since the last one that was told */
	struct counter noted;
	struct counter suppressed;
};

static enum err
open_file(const char *path, int *fd, struct error *error)
{
	*fd = -1;
	if (path[0] == '\0')
		return OK;
	*fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, FILE_MODE);
	if (*fd >= 0)
		return OK;
	return error_set_errno(error, errno == EACCES ? ERR_PERMISSION_DENIED : ERR_IO_ERROR, errno,
		"opening the audit log %s (log.audit)", path);
}

enum err
audit_open(const char *path, struct stats *stats, struct audit **out, struct error *error)
{
	struct audit *a = xnew(struct audit);
	enum err e = open_file(path, &a->fd, error);

	if (e != OK) {
		free(a);
		return e;
	}
	stats_add_counter(stats, "sysrt_audit_entries_total", &a->noted);
	stats_add_counter(stats, "sysrt_audit_suppressed_total", &a->suppressed);
	*out = a;
	return OK;
}

enum err
audit_reopen(struct audit *a, const char *path, struct error *error)
{
	int fd;
	enum err e = open_file(path, &fd, error);

	if (e != OK)
		return e;
	if (a->fd >= 0)
		close(a->fd);
	a->fd = fd;
	return OK;
}

void
audit_close(struct audit *a)
{
	if (a == NULL)
		return;
	if (a->fd >= 0)
		close(a->fd);
	free(a);
}

static const char *
result_of(const struct audit_entry *entry)
{
	return entry->result == OK ? "OK" : err_info(entry->result)->name;
}

static void
write_line(struct audit *a, struct span line)
{
	ssize_t written = write(a->fd, line.p, line.n);
	bool failed = written != (ssize_t)line.n;

	if (written > 0)
		a->is_torn = failed;
	if (failed && !a->is_failing)
		log_error("audit", "the audit log cannot be written", F_INT("errno", errno));
	a->is_failing = failed;
}

static void
write_entry(struct audit *a, const struct audit_entry *entry, int64_t wall_ms)
{
	char time[TIME_TEXT_SIZE];
	struct json_out o;
	struct buf line;

	buf_init(&line, LINE_MAX_BYTES);
	if (a->is_torn)
		buf_add_char(&line, '\n');
	o = json_out_start(&line);
	time_format(wall_ms, time);
	json_begin_object(&o, NULL);
	json_put_str(&o, "time", time);
	json_put_str(&o, "what", entry->what);
	json_put_str(&o, "who", entry->who);
	if (entry->session != 0)
		json_put_int(&o, "session", (int64_t)entry->session);
	if (entry->name.n > 0)
		json_put_string(&o, "name", entry->name);
	json_put_str(&o, "result", result_of(entry));
	if (entry->result != OK)
		json_put_str(&o, "error", entry->error->text);
	if (a->left_out > 0)
		json_put_int(&o, "left_out", a->left_out);
	json_end_object(&o);
	buf_add_char(&line, '\n');
	write_line(a, buf_span(&line));
	buf_fini(&line);
}

/** True if it is one of too many in this second. */
static bool
is_flood(struct audit *a, const struct audit_entry *entry, int64_t wall_ms)
{
	if (entry->result != ERR_PERMISSION_DENIED && entry->result != ERR_UNAUTHENTICATED)
		return false;
	if (wall_ms / 1000 != a->second) {
		a->second = wall_ms / 1000;
		a->refusals = 0;
	}
	return a->refusals++ >= REFUSALS_PER_S;
}

void
audit_note(struct audit *a, const struct audit_entry *entry, int64_t wall_ms)
{
	if (is_flood(a, entry, wall_ms)) {
		a->left_out++;
		counter_add(&a->suppressed, 1);
		return;
	}
	counter_add(&a->noted, 1);
	log_info("audit", "noted", F_STR("what", entry->what), F_STR("who", entry->who),
		F_INT("session", entry->session), F_SPAN("name", entry->name),
		F_STR("result", result_of(entry)),
		F_STR("error", entry->result != OK ? entry->error->text : ""),
		F_INT("left_out", a->left_out));
	if (a->fd >= 0)
		write_entry(a, entry, wall_ms);
	a->left_out = 0;
}

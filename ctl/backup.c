/*
 * backup: a copy of the store, made by the daemon: in its folder, or into a file
 * that is opened here, so that it belongs to who asked for it and the daemon needs
 * no right to the place. The file gets its name when the copy is whole; before
 * that it is FILE.tmp, locked against a second one.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/follow.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/progress.h"

#define LINE_MAX_BYTES 65536

struct backup {
	struct ctl *c;
	const char *dest; /* NULL: the daemon's folder */
	char *temporary;  /* its name until it is whole */
	int fd;
	int64_t job;
	struct progress progress;
};

/** A file that is there is replaced: but no device, and not the store by its copy. */
static int
check_dest(struct backup *b)
{
	struct stat dest, store;
	struct buf params;
	char *result, *path;
	int status = 0;

	if (stat(b->dest, &dest) != 0)
		return 0;
	if (S_ISDIR(dest.st_mode))
		return ctl_refuse("%s is a folder: name a file in it", b->dest);
	if (!S_ISREG(dest.st_mode))
		return ctl_refuse("%s is there and is no file", b->dest);
	ctl_params(&params);
	buf_add_char(&params, '}');
	status = ctl_call(b->c, "status", &params, &result);
	if (status != 0)
		return status;
	path = answer_dup(answer_member(answer_value(span_of(result)), "store"), "path");
	if (path != NULL && stat(path, &store) == 0 && store.st_dev == dest.st_dev &&
		store.st_ino == dest.st_ino)
		status = ctl_refuse("%s is the store itself", b->dest);
	free(path);
	free(result);
	return status;
}

/** Whoever had the lock before may have given the file its name since it was opened. */
static bool
is_still_there(const struct backup *b)
{
	struct stat opened, named;

	return fstat(b->fd, &opened) == 0 && lstat(b->temporary, &named) == 0 &&
	       opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

static int
open_temporary(struct backup *b)
{
	b->temporary = xasprintf("%s.tmp", b->dest);
	b->fd = open(b->temporary, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (b->fd < 0)
		return ctl_refuse("%s: %s", b->temporary, strerror(errno));
	if (flock(b->fd, LOCK_EX | LOCK_NB) != 0 || !is_still_there(b)) {
		close(b->fd);
		b->fd = -1;
		return ctl_refuse("%s: another backup is being made there", b->temporary);
	}
	if (ftruncate(b->fd, 0) != 0 || fchmod(b->fd, 0600) != 0)
		return ctl_refuse("%s: %s", b->temporary, strerror(errno));
	return 0;
}

static int
begin(struct backup *b)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	if (b->dest != NULL)
		json_put_bool(&o, "descriptor", true);
	if (ctl_option(b->c, "verify") != NULL)
		json_put_bool(&o, "verify", true);
	json_end_object(&o);
	status = ctl_connect(b->c);
	if (status == 0 && b->dest != NULL)
		sysrt_pass(b->c->sysrt, b->fd);
	if (status == 0)
		status = ctl_call(b->c, "system.backup", &params, &result);
	else
		buf_fini(&params);
	if (status != 0)
		return status;
	b->job = answer_int(answer_value(span_of(result)), "job", 0);
	free(result);
	return 0;
}

static void
on_progress(void *arg, int64_t done, int64_t total)
{
	progress_show_bytes(arg, done, total);
}

/** The file is whole, and on the disk: it gets its name. */
static int
put_in_place(struct backup *b)
{
	const char *slash = strrchr(b->dest, '/');
	char *folder =
		slash == NULL ? xstrdup(".") : xstrndup(b->dest, (size_t)(slash - b->dest) + 1);
	int fd = -1, status = 0;

	if (rename(b->temporary, b->dest) != 0)
		status = ctl_refuse("%s: %s", b->dest, strerror(errno));
	else if ((fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(fd) != 0)
		status = ctl_refuse("%s: %s", folder, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(folder);
	return status;
}

/** One line, which can go into a log: "file=... epoch=... seq=...". */
static void
print_line(struct span json)
{
	struct json_walk w = json_walk_start(answer_value(json));
	struct json_value value;
	struct buf line;
	struct span key;

	buf_init(&line, LINE_MAX_BYTES);
	while (json_object_next(&w, &key, &value)) {
		char *text = xcalloc(1, value.raw.n + 1);

		if (value.type == JSON_STRING)
			json_string_text(value.raw, text, value.raw.n + 1);
		else
			memcpy(text, value.raw.p, value.raw.n);
		buf_addf(&line, "%s%.*s=", line.n > 0 ? " " : "", (int)key.n - 2, key.p + 1);
		out_add_safe(&line, span_of(text));
		free(text);
	}
	buf_add_char(&line, '\n');
	fwrite(line.p, 1, line.n, stdout);
	buf_fini(&line);
}

/** What the backup holds, with the name of its file. */
static void
print(struct backup *b, const char *result)
{
	struct buf json;

	buf_init(&json, LINE_MAX_BYTES);
	if (b->dest != NULL) {
		buf_addf(&json, "{\"file\":");
		json_add_string(&json, span_of(b->dest));
		buf_addf(&json, ",%s", result + 1);
	} else {
		buf_add_span(&json, span_of(result));
	}
	if (b->c->format == FORMAT_TABLE)
		print_line(buf_span(&json));
	else
		out_object(b->c, buf_span(&json));
	buf_fini(&json);
}

int
backup_run(struct ctl *c)
{
	struct backup b = {.c = c, .fd = -1, .dest = c->words_n > 0 ? c->words[0] : NULL};
	char *result = NULL;
	int status = 0;

	interrupt_catch();
	if (b.dest != NULL)
		status = check_dest(&b);
	if (status == 0 && b.dest != NULL)
		status = open_temporary(&b);
	progress_start(&b.progress, 0, c->is_quiet);
	if (status == 0)
		status = begin(&b);
	if (status == 0)
		status = follow_job(c, b.job, on_progress, &b.progress, &result);
	progress_clear(&b.progress);
	if (status == 0 && b.dest != NULL)
		status = put_in_place(&b);
	if (status != 0 && b.fd >= 0)
		unlink(b.temporary);
	if (status == 0)
		print(&b, result);
	if (b.fd >= 0)
		close(b.fd);
	free(b.temporary);
	free(result);
	return status != 0 && interrupt_status() != 0 ? interrupt_status() : status;
}

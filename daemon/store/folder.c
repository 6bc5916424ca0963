/* The folder of backups: see folder.h. */

#include "daemon/store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/time.h"
#include "common/xalloc.h"

#define PREFIX     "sysrt-"
#define SUFFIX     ".db"
#define UNFINISHED SUFFIX ".tmp"
#define STAMP_N    (FOLDER_STAMP_SIZE - 1)

char *
folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? xstrdup(".") : xstrndup(path, (size_t)(slash - path) + 1);
}

enum err
folder_sync(const char *path, struct error *error)
{
	char *folder = folder_of(path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err e = OK;

	if (fd < 0 || fsync(fd) != 0)
		e = error_set_errno(
			error, ERR_IO_ERROR, errno, "writing the folder %s to the disk", folder);
	if (fd >= 0)
		close(fd);
	free(folder);
	return e;
}

void
folder_stamp(int64_t ms, char out[FOLDER_STAMP_SIZE])
{
	char text[TIME_TEXT_SIZE];
	size_t n = 0;

	time_format(ms, text);
	for (const char *p = text; *p != '\0' && n < STAMP_N; p++)
		if (*p != '-' && *p != ':')
			out[n++] = *p;
	out[n] = '\0';
}

char *
folder_path(const char *folder, int64_t ms)
{
	char stamp[FOLDER_STAMP_SIZE];

	folder_stamp(ms, stamp);
	return xasprintf("%s/" PREFIX "%s" SUFFIX, folder, stamp);
}

/** The time of a name that ends so; false if it is none of ours. */
static bool
read_name(const char *name, const char *suffix, int64_t *ms)
{
	const char *s = name + strlen(PREFIX);
	char text[TIME_TEXT_SIZE];

	if (strlen(name) != strlen(PREFIX) + STAMP_N + strlen(suffix) ||
		strncmp(name, PREFIX, strlen(PREFIX)) != 0 || strcmp(s + STAMP_N, suffix) != 0)
		return false;
	snprintf(text, sizeof(text), "%.4s-%.2s-%.5s:%.2s:%.7s", s, s + 4, s + 6, s + 11, s + 13);
	return time_parse(span_of(text), ms);
}

struct names {
	char **v;
	size_t n;
};

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/** The names with this end, oldest first. */
static struct names
read_folder(const char *folder, const char *suffix)
{
	struct names names = {.v = NULL};
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int64_t ms;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!read_name(entry->d_name, suffix, &ms))
			continue;
		names.v = xrealloc(names.v, names.n + 1, sizeof(*names.v));
		names.v[names.n++] = xstrdup(entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	if (names.n > 0)
		qsort(names.v, names.n, sizeof(*names.v), compare);
	return names;
}

static void
names_fini(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
}

int64_t
folder_newest(const char *folder)
{
	struct names names = read_folder(folder, SUFFIX);
	int64_t ms = INT64_MIN;

	if (names.n > 0)
		read_name(names.v[names.n - 1], SUFFIX, &ms);
	names_fini(&names);
	return ms;
}

/** Removes a file unless it is the one that stays. */
static bool
remove_one(const char *folder, const char *name, const char *stays)
{
	char *path = xasprintf("%s/%s", folder, name);
	bool is_gone = (stays == NULL || strcmp(path, stays) != 0) && unlink(path) == 0;

	free(path);
	return is_gone;
}

unsigned
folder_trim(const char *folder, int64_t keep, const char *just_made)
{
	struct names names = read_folder(folder, SUFFIX);
	struct names unfinished = read_folder(folder, UNFINISHED);
	unsigned n = 0;

	for (size_t i = 0; i < names.n && (int64_t)(names.n - n) > keep; i++)
		n += remove_one(folder, names.v[i], just_made);
	for (size_t i = 0; i < unfinished.n; i++)
		remove_one(folder, unfinished.v[i], NULL);
	names_fini(&names);
	names_fini(&unfinished);
	return n;
}

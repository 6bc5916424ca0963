/* Where the store's files are: see place.h. */

#include "daemon/store/place.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum err
place_init(struct place *p, sqlite3 *db, struct error *error)
{
	const char *name = sqlite3_db_filename(db, "main");

	p->files[0].name = name;
	p->files[1].name = sqlite3_filename_wal(name);
	for (int i = 0; i < 2; i++) {
		struct place_file *f = &p->files[i];
		struct stat st;

		if (stat(f->name, &st) != 0)
			return error_set_errno(
				error, ERR_IO_ERROR, errno, "looking for %s", f->name);
		f->dev = st.st_dev;
		f->ino = st.st_ino;
	}
	return OK;
}

/** What is wrong with this one; NULL: nothing. */
static const char *
fault_of(const struct place_file *f)
{
	struct stat st;

	if (stat(f->name, &st) != 0)
		return strerrordesc_np(errno);
	return st.st_dev == f->dev && st.st_ino == f->ino ? NULL : "another file is there";
}

enum err
place_check(const struct place *p, struct error *error)
{
	for (int i = 0; i < 2; i++) {
		const char *why = fault_of(&p->files[i]);

		if (why != NULL)
			return error_set(error, ERR_UNAVAILABLE,
				"the store's file %s has gone (%s): put it back, or restart sysrtd "
				"to go on with what is there",
				p->files[i].name, why);
	}
	return OK;
}

/*
 * Fuzzes what reads a damaged database file: the input is two bytes, how long
 * the log is, the file, and its log. Whatever it holds, what comes of it is a store that is whole.
 */

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/store/migrate.h"
#include "daemon/store/salvage.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	return fd;
}

/** An empty store; made once, and copied. */
static sqlite3 *
empty_store(void)
{
	static unsigned char *image;
	static sqlite3_int64 size;
	unsigned char *copy;
	sqlite3 *db;

	must(sqlite3_open(":memory:", &db) == SQLITE_OK);
	if (image == NULL) {
		must(sodium_init() >= 0 && migrate_to(db, migrate_newest(), NULL) == OK);
		image = sqlite3_serialize(db, "main", &size, 0);
	}
	copy = sqlite3_malloc64((sqlite3_uint64)size);
	memcpy(copy, image, (size_t)size);
	must(sqlite3_deserialize(db, "main", copy, size, size,
		     SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) == SQLITE_OK);
	must(sum_add_function(db, NULL) == OK);
	return db;
}

static void
check(sqlite3 *db)
{
	int64_t wrong_n = -1;

	must(sql_query_int(db,
		     "SELECT (SELECT count(*) FROM records WHERE sum IS NOT " SUM_RECORDS ") + "
		     "(SELECT count(*) FROM tombstones JOIN records USING (category, id))",
		     -1, &wrong_n, NULL) == OK);
	must(wrong_n == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct findings findings = {.n = 0};
	struct salvaged s;
	struct pages pages;
	size_t log_n;
	sqlite3 *db;

	if (size < 2)
		return 0;
	log_n = (size_t)(data[0] << 8 | data[1]);
	if (log_n > size - 2)
		log_n = 0;
	must(pages_init(&pages, file_of(data + 2, size - 2 - log_n),
		     log_n > 0 ? file_of(data + size - log_n, log_n) : -1, NULL) == OK);
	db = empty_store();
	must(salvage_run(&pages, db, &s, &findings, NULL) == OK);
	check(db);
	sqlite3_close(db);
	pages_close(&pages);
	findings_fini(&findings);
	return 0;
}

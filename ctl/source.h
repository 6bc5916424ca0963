#pragma once
/*
 * An input that yields items: lines, the items of a JSON array, rows of CSV.
 * Items are spans into what was read, nothing is copied. Its memory is bounded
 * by the longest item that is of use; a longer one is told and passed over.
 */

#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "ctl/csv.h"
#include "ctl/sender.h"
#include "ctl/unarray.h"

#define SOURCE_ITEM_MAX                                                                            \
	((int64_t)64 << 20) /* bytes of an item at most, whatever the daemon takes */

enum source_format {
	SOURCE_JSON, /* an array or lines: the first byte tells */
	SOURCE_LINES,
	SOURCE_ARRAY,
	SOURCE_CSV,
};

struct source {
	int fd;           /* borrowed */
	const char *name; /* borrowed */
	enum source_format format;
	char separator;  /* of CSV */
	size_t item_max; /* bytes */
	struct buf window;
	size_t start;     /* of the item in the window */
	size_t seen;      /* bytes from start that were looked at */
	int64_t end;      /* offset in the input of the end of the window */
	uint64_t line;    /* number of the line that is at `start` */
	bool has_begun;   /* what may stand before the first item is behind us */
	bool is_skipping; /* the rest of an item that is too long */
	bool is_over;     /* nothing more comes: the end, or a fault that spoils the rest */
	union {
		enum csv_state csv;
		struct unarray unarray;
	} state;
};

enum source_found {
	SOURCE_ITEM,
	SOURCE_BAD,  /* item->place and item->why; the next item may be fine */
	SOURCE_NONE, /* not until source_read() has brought more */
};

struct source_item {
	struct span text; /* borrowed until source_read() */
	struct place place;
	const char *why;
};

void source_init(struct source *s, int fd, const char *name, enum source_format format);
void source_fini(struct source *s);
/** Goes on behind an item, whose end is at this offset, in this line; one item at least was read
 * before, so that it is known what the input is. False: errno says why not. */
bool source_seek(struct source *s, int64_t offset, uint64_t line);
/** Reads some more, when source_next() has nothing left: how many bytes, 0 at the end, -1 after
 * telling why not, or when a signal came. */
ssize_t source_read(struct source *s);
/** The next item; at_end: source_read() has returned 0. */
enum source_found source_next(struct source *s, bool at_end, struct source_item *item);

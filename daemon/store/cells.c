/* The rows on a page: see cells.h. The file's format is documented and fixed. */

#include "daemon/store/cells.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define FILE_HEAD_BYTES 100 /* on the first page, before what is on all */
#define VARINT_MAX      9
#define CELL_POINTER    2
#define PAYLOAD_MAX     (UINT64_C(1) << 30)

/* Serial types: 0 NULL, 1 to 6 integers, 7 a double, 8 and 9 the integers 0 and 1, from 12 on blobs
 * (even) and texts (odd). */
#define SERIAL_DOUBLE 7
#define SERIAL_ZERO   8
#define SERIAL_ONE    9
#define SERIAL_BLOB   12

/** Bytes that are read from the front. */
struct bytes {
	const unsigned char *p;
	size_t n;
};

/** Takes a number of SQLite's variable length; false if the bytes end in it. */
static bool
take_varint(struct bytes *b, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < b->n && i < VARINT_MAX; i++) {
		if (i == VARINT_MAX - 1) {
			v = v << 8 | b->p[i];
		} else {
			v = v << 7 | (b->p[i] & 0x7f);
			if (b->p[i] & 0x80)
				continue;
		}
		b->p += i + 1;
		b->n -= i + 1;
		*out = v;
		return true;
	}
	return false;
}

void
cells_init(struct cells *c, const struct pages *pages)
{
	*c = (struct cells){.pages = pages};
	c->bytes = xcalloc(1, pages->size);
	c->overflow = xcalloc(1, pages->size);
	buf_init(&c->payload, PAYLOAD_MAX + 1);
}

void
cells_fini(struct cells *c)
{
	free(c->bytes);
	free(c->overflow);
	buf_fini(&c->payload);
}

static unsigned
head_at(const struct cells *c)
{
	return c->page == 1 ? FILE_HEAD_BYTES : 0;
}

static bool
is_interior(const struct cells *c)
{
	return c->type == PAGE_INDEX || c->type == PAGE_TABLE;
}

static unsigned
head_bytes(const struct cells *c)
{
	return is_interior(c) ? 12 : 8;
}

static bool
is_tree(unsigned type)
{
	return type == PAGE_INDEX || type == PAGE_TABLE || type == PAGE_INDEX_LEAF ||
	       type == PAGE_TABLE_LEAF;
}

static void
start(struct cells *c)
{
	unsigned room = (c->pages->usable - head_at(c) - head_bytes(c)) / CELL_POINTER;

	c->next = c->broken_n = 0;
	c->is_again = false;
	c->n = is_tree(c->type) ? pages_get16(c->bytes + head_at(c) + 3) : 0;
	if (c->n > room)
		c->n = room;
}

bool
cells_open(struct cells *c, uint32_t page)
{
	bool is_whole = pages_read(c->pages, page, c->bytes);

	c->page = page;
	c->type = c->bytes[head_at(c)];
	start(c);
	return is_whole;
}

void
cells_force_type(struct cells *c, enum page_type type)
{
	c->type = type;
	start(c);
}

/** The bytes from the i-th cell to the end of what is used of the page. */
static struct bytes
cell_bytes(const struct cells *c, unsigned i)
{
	unsigned at = pages_get16(c->bytes + head_at(c) + head_bytes(c) + (size_t)i * CELL_POINTER);

	if (at < head_at(c) + head_bytes(c) || at >= c->pages->usable)
		return (struct bytes){c->bytes, 0};
	return (struct bytes){c->bytes + at, c->pages->usable - at};
}

uint32_t
cells_child(const struct cells *c, unsigned i)
{
	struct bytes b;

	if (!is_interior(c) || i > c->n)
		return 0;
	if (i == c->n)
		return pages_get32(c->bytes + head_at(c) + 8);
	b = cell_bytes(c, i);
	return b.n >= 4 ? pages_get32(b.p) : 0;
}

/** How much of a payload lies on the page itself. */
static uint64_t
local_bytes(const struct cells *c, uint64_t payload)
{
	uint64_t u = c->pages->usable, least = (u - 12) * 32 / 255 - 23, some;
	uint64_t most = c->type == PAGE_TABLE_LEAF ? u - 35 : (u - 12) * 64 / 255 - 23;

	if (payload <= most)
		return payload;
	some = least + (payload - least) % (u - 4);
	return some <= most ? some : least;
}

/** Takes the next type of a payload's head. The head ends where its last type does: of one that
 * seems to go on, the top bit has flipped, and what is there counts. */
static uint64_t
take_type(struct bytes *head)
{
	uint64_t type = 0;

	if (take_varint(head, &type))
		return type;
	for (; head->n > 0; head->p++, head->n--)
		type = type << 7 | (*head->p & 0x7f);
	return type;
}

/** The types at the front of a payload, of which `have` bytes are there, and how long all of it is
 * by them; false if that cannot be the head of one. */
static bool
read_types(struct bytes have, uint64_t types[ROW_COLUMNS_MAX], unsigned *types_n, size_t *head_n,
	uint64_t *total)
{
	struct bytes rest = have;
	uint64_t head;

	if (!take_varint(&rest, &head) || head > have.n || head < have.n - rest.n)
		return false;
	rest.n = head - (have.n - rest.n);
	*total = *head_n = head;
	for (*types_n = 0; rest.n > 0; (*types_n)++) {
		static const unsigned char lengths[SERIAL_BLOB] = {
			0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};
		uint64_t type;

		if (*types_n == ROW_COLUMNS_MAX)
			return false;
		type = take_type(&rest);
		*total += type < SERIAL_BLOB ? lengths[type] : (type - SERIAL_BLOB) / 2;
		if (*total > PAYLOAD_MAX)
			return false;
		types[*types_n] = type;
	}
	return true;
}

static int64_t
read_int(const unsigned char *p, unsigned n)
{
	uint64_t v = n > 0 && p[0] & 0x80 ? UINT64_MAX : 0;

	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

static struct column
read_column(struct bytes *rest, uint64_t type)
{
	static const unsigned char lengths[SERIAL_DOUBLE] = {0, 1, 2, 3, 4, 6, 8};
	struct column c = {.type = COLUMN_OTHER};
	uint64_t n = 0;

	if (type >= SERIAL_BLOB) {
		n = (type - SERIAL_BLOB) / 2;
		c.type = type & 1 ? COLUMN_TEXT : COLUMN_OTHER;
	} else if (type < SERIAL_DOUBLE) {
		n = lengths[type];
		c.type = type == 0 ? COLUMN_NULL : COLUMN_INT;
	} else if (type == SERIAL_ZERO || type == SERIAL_ONE) {
		c.type = COLUMN_INT;
		c.value = type == SERIAL_ONE;
	} else if (type == SERIAL_DOUBLE) {
		n = 8;
	}
	if (n > rest->n) { /* cut */
		n = rest->n;
		c.type = c.type == COLUMN_TEXT ? COLUMN_TEXT : COLUMN_OTHER;
	}
	if (c.type == COLUMN_INT && type < SERIAL_DOUBLE)
		c.value = read_int(rest->p, (unsigned)n);
	c.text = (struct span){(const char *)rest->p, (size_t)n};
	rest->p += n;
	rest->n -= n;
	return c;
}

/** Puts the payload of n bytes together; what the chain of pages does not give is left out. */
static void
gather(struct cells *c, struct bytes cell, uint64_t n, uint64_t local)
{
	uint32_t next = 0;

	buf_reset(&c->payload);
	buf_add(&c->payload, (const char *)cell.p, local);
	if (local < n)
		next = pages_get32(cell.p + local);
	while (c->payload.n < n && next != 0 && !c->payload.failed) {
		uint64_t part = c->pages->usable - 4;

		if (!pages_read(c->pages, next, c->overflow))
			return;
		if (part > n - c->payload.n)
			part = n - c->payload.n;
		buf_add(&c->payload, (const char *)c->overflow + 4, part);
		next = pages_get32(c->overflow);
	}
}

/** Takes what is in front of a cell's payload; false if there is no cell. */
static bool
take_head(const struct cells *c, struct bytes *cell, uint64_t *n, uint64_t *rowid)
{
	if (c->type == PAGE_INDEX) {
		if (cell->n < 4)
			return false;
		*cell = (struct bytes){cell->p + 4, cell->n - 4};
	}
	*rowid = 0;
	return take_varint(cell, n) && (c->type != PAGE_TABLE_LEAF || take_varint(cell, rowid));
}

/** The row in the bytes from a cell on; false if there is none. is_again: as long as it says. */
static bool
read_row(struct cells *c, struct bytes cell, bool is_again, struct row *row)
{
	uint64_t n, rowid, total, local, types[ROW_COLUMNS_MAX];
	struct bytes rest;
	size_t head_n;

	if (!take_head(c, &cell, &n, &rowid) || !read_types(cell, types, &row->n, &head_n, &total))
		return false;
	row->length = total == n ? ROW_AGREES : is_again ? ROW_BY_LENGTH : ROW_BY_COLUMNS;
	if (row->length == ROW_BY_COLUMNS)
		n = total;
	local = local_bytes(c, n);
	if (cell.n < local + (local < n ? 4 : 0) || n > PAYLOAD_MAX ||
		n > (uint64_t)c->pages->n * c->pages->usable)
		n = local = local < cell.n ? local : cell.n; /* there is no more of it */
	if (local < head_n) {
		row->n = 0;
		return row->length == ROW_BY_COLUMNS; /* once more */
	}
	gather(c, cell, n, local);
	row->rowid = (int64_t)rowid;
	row->is_cut = c->payload.n < total;
	rest = (struct bytes){(const unsigned char *)c->payload.p + head_n, c->payload.n - head_n};
	for (unsigned i = 0; i < row->n; i++)
		row->columns[i] = read_column(&rest, types[i]);
	return true;
}

bool
cells_next(struct cells *c, struct row *row)
{
	if (c->type == PAGE_TABLE)
		return false;
	while (c->next < c->n || c->is_again) {
		bool is_again = c->is_again;
		struct bytes cell;

		c->is_again = false;
		if (!is_again)
			c->next++;
		cell = cell_bytes(c, c->next - 1);
		if (read_row(c, cell, is_again, row)) {
			c->is_again = row->length == ROW_BY_COLUMNS;
			return true;
		}
		c->broken_n += cell.n > 0;
	}
	return false;
}

/* Which page belongs to what: see salvage_map.h. */

#include "daemon/store/salvage_map.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define DEPTH_MAX  20 /* of a tree: 20 levels hold more than any file */
#define FREE_HEAD  32 /* in the file's head: the first trunk page of the free list, and */
#define FREE_COUNT 36 /* how many pages are free */
#define ROOTS_MAX  1000

/* In a file that can give pages back one page in so many says whose those after it are: a kind and
 * a number for each. */
#define MAP_FIRST    2
#define MAP_ENTRY    5
#define MAP_KIND_MAX 5
#define MAP_DAMAGE   8                   /* one entry in so many may be wrong */
#define LOCK_AT      (UINT32_C(1) << 30) /* in the file; that page is not used */

/* Columns of sqlite_schema. */
#define SCHEMA_TABLE 2
#define SCHEMA_ROOT  3

static void
note_children(struct salvage_map *m, const struct cells *c)
{
	for (unsigned i = 0; i <= c->n; i++) {
		uint32_t child = cells_child(c, i);

		if (child > 1 && child <= m->n && child != c->page)
			m->parents[child] = c->page;
	}
}

/** Notes the pages of one trunk of the free list; how many, -1: the list is damaged. */
static int64_t
walk_trunk(const struct cells *c, unsigned char *is_free, uint32_t *trunk, uint32_t pages_n)
{
	uint32_t n = pages_get32(c->bytes + 4), page = *trunk;

	if (n > c->pages->usable / 4 - 2)
		return -1;
	*trunk = pages_get32(c->bytes);
	for (uint32_t i = 0; i <= n; i++) {
		if (i > 0)
			page = pages_get32(c->bytes + 4 + 4 * (size_t)i);
		if (page < 2 || page > pages_n || is_free[page])
			return -1;
		is_free[page] = 1;
	}
	return n + 1;
}

/** Whether a page of such a file would be a map. */
static bool
is_map_place(const struct pages *p, uint32_t page)
{
	uint32_t group = p->usable / MAP_ENTRY + 1;
	uint32_t place = (page - MAP_FIRST) / group * group + MAP_FIRST;

	if (place == LOCK_AT / p->size + 1)
		place++;
	return page == place;
}

/** Whether it looks like one: a tree's page never does. */
static bool
is_map(const struct cells *c, uint32_t page, uint32_t pages_n)
{
	unsigned good = 0, bad = 0;

	if (page < MAP_FIRST || !is_map_place(c->pages, page))
		return false;
	for (size_t at = 0; at + MAP_ENTRY <= c->pages->usable; at += MAP_ENTRY) {
		unsigned kind = c->bytes[at];
		uint32_t parent = pages_get32(c->bytes + at + 1);

		if (kind >= 1 && kind <= MAP_KIND_MAX && parent <= pages_n)
			good++;
		else if (kind != 0 || parent != 0)
			bad++;
	}
	return good > 0 && bad <= good / MAP_DAMAGE;
}

/** Which pages are free, as far as the list of them is whole. */
static unsigned char *
read_free(const struct salvage_map *m, struct cells *c)
{
	unsigned char *is_free = xcalloc((size_t)m->n + 1, 1);
	uint32_t trunk;
	int64_t left;

	cells_open(c, 1);
	trunk = pages_get32(c->bytes + FREE_HEAD);
	for (left = pages_get32(c->bytes + FREE_COUNT); left > 0 && trunk > 1 && trunk <= m->n;) {
		int64_t n;

		cells_open(c, trunk);
		n = walk_trunk(c, is_free, &trunk, m->n);
		left = n < 0 ? -1 : left - n;
	}
	if (left != 0 || trunk != 0)
		memset(is_free, 0, (size_t)m->n + 1);
	return is_free;
}

/** Old rows may be left on free pages: those do not count, unless a tree holds the page. */
static void
look_at_pages(struct salvage_map *m, struct cells *c)
{
	unsigned char *is_free = read_free(m, c);

	for (uint32_t page = 1; page <= m->n; page++) {
		m->unreadable += !cells_open(c, page);
		if (is_map(c, page, m->n))
			continue;
		m->types[page] = (unsigned char)c->type;
		if (!is_free[page] && (c->type == PAGE_TABLE || c->type == PAGE_INDEX))
			note_children(m, c);
	}
	for (uint32_t page = 2; page <= m->n; page++)
		if (is_free[page] && m->parents[page] == 0)
			m->types[page] = 0;
	free(is_free);
}

/** The page that no page is above; 0: a circle. */
static uint32_t
root_of(const struct salvage_map *m, uint32_t page)
{
	for (unsigned i = 0; i < DEPTH_MAX; i++) {
		if (m->parents[page] == 0)
			return page;
		page = m->parents[page];
	}
	return 0;
}

static void
note_root(struct salvage_map *m, const struct row *row)
{
	const struct column *table = &row->columns[SCHEMA_TABLE];
	const struct column *root = &row->columns[SCHEMA_ROOT];
	struct salvage_root *r;

	if (row->n <= SCHEMA_ROOT || row->is_cut || table->type != COLUMN_TEXT ||
		table->text.n >= sizeof(r->table) || root->type != COLUMN_INT || root->value < 2 ||
		root->value > m->n || m->roots_n == ROOTS_MAX)
		return;
	m->roots = xrealloc(m->roots, m->roots_n + 1, sizeof(*m->roots));
	r = &m->roots[m->roots_n++];
	*r = (struct salvage_root){.page = (uint32_t)root->value};
	memcpy(r->table, table->text.p, table->text.n);
}

static void
read_schema(struct salvage_map *m, struct cells *c)
{
	struct row row;

	for (uint32_t page = 1; page <= m->n; page++) {
		if (m->types[page] != PAGE_TABLE_LEAF || root_of(m, page) != 1)
			continue;
		cells_open(c, page);
		while (cells_next(c, &row))
			note_root(m, &row);
	}
}

void
salvage_map_init(struct salvage_map *m, struct cells *c)
{
	*m = (struct salvage_map){.n = c->pages->n};
	m->types = xcalloc((size_t)m->n + 1, 1);
	m->parents = xcalloc((size_t)m->n + 1, sizeof(*m->parents));
	look_at_pages(m, c);
	read_schema(m, c);
}

void
salvage_map_fini(struct salvage_map *m)
{
	free(m->types);
	free(m->parents);
	free(m->roots);
}

const char *
salvage_map_table(const struct salvage_map *m, uint32_t page)
{
	uint32_t root = root_of(m, page);

	for (size_t i = 0; i < m->roots_n; i++)
		if (m->roots[i].page == root)
			return m->roots[i].table;
	return NULL;
}

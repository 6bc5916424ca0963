#pragma once
/*
 * Which page of a damaged file belongs to what, as far as the trees can still be
 * followed: for salvage. Unknown is a good answer. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/cells.h"

struct salvage_root {
	uint32_t page;
	char table[32];
};

struct salvage_map {
	uint32_t n;
	unsigned char *types; /* by page: its first byte; 0: free, or a map */
	uint32_t *parents;    /* by page; 0: unknown */
	struct salvage_root *roots;
	size_t roots_n;
	int64_t unreadable; /* pages */
};

void salvage_map_init(struct salvage_map *m, struct cells *c);
void salvage_map_fini(struct salvage_map *m);
/** The table that the page belongs to (as one of it, or of its indexes), or NULL. */
const char *salvage_map_table(const struct salvage_map *m, uint32_t page);

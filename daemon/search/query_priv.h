#pragma once
/* The tree of a query. Private to query*.c. */

#include "daemon/search/query.h"

enum node_kind {
	NODE_TERM,
	NODE_ALL, /* all children that are not excluded, none of the excluded ones */
	NODE_ANY,
};

struct node {
	enum node_kind kind;
	bool is_excluded; /* child of a NODE_ALL */
	/* NODE_TERM */
	bool is_prefix; /* the last token is the beginning of one */
	bool is_name_only;
	uint32_t number;
	struct span text; /* in the query's text */
	size_t first;     /* token, of the query's */
	size_t tokens_n;  /* at least 1 */
	/* the tree: all owned by the query */
	struct node *child;
	struct node *next; /* sibling */
	struct node *made_before;
};

struct query {
	struct node *root;
	struct node *last_made;
	uint32_t terms_n;
	char *text; /* owned: the terms' spans point into it */
	struct tokens tokens;
	struct buf match_text;
};

/** Writes the text for MATCH. */
void query_write_match(struct query *q);

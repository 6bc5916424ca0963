#pragma once
/*
 * One search: the newest records that match, out of the index on the disk and the
 * tail in memory, as if they were one. The index's snapshot is opened before the
 * store's, so that nothing is between the two. Entries whose record has moved on
 * or gone are passed over. At most rank_limit matches are ranked, the newest; and
 * at most so many entries are looked at for a search that is restricted, however
 * many there are. Searcher thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/search/follow.h"
#include "daemon/search/shared.h"
#include "daemon/store/job.h"

/** A record that matches. */
struct match_found {
	int64_t seq;
	double score; /* with order "rank" */
	enum conf_search kind;
};

/** What one search found. */
struct found {
	struct query *queries[INDEX_KINDS]; /* owned; NULL: the kind was not searched */
	struct match_found *v;              /* owned; newest first, or best first */
	size_t n;
	size_t total;   /* how many match, up to the limit */
	bool is_capped; /* there are more */
	int64_t next;   /* order "newest": the page ends above this seq; 0: there is no more */
	int64_t upto;   /* order "rank": the newest seq that was considered */
	size_t offset;  /* of the page among v, and what earlier pages have shown */
	bool is_wrong;  /* a record of it does not match: the index is damaged */
};

struct finder;

struct finder *finder_new(struct search_shared *shared, const struct conf *conf);
void finder_free(struct finder *f);

/** Opens what is not open, and both snapshots, and brings the tail up to them. ERR_UNAVAILABLE
 * while the index is being made. finder_end() also after a failure. */
enum err finder_begin(struct finder *f, int64_t deadline_us, struct error *error);
void finder_end(struct finder *f);
/** Frees the memory of the tail: nobody has searched for a while. */
void finder_rest(struct finder *f);

/** Runs the search of a job. found_fini() also after a failure. */
enum err finder_run(
	struct finder *f, const struct read_params *p, struct found *found, struct error *error);
void found_fini(struct found *found);

/** The index says what is not so: it will be made anew. ERR_UNAVAILABLE, which says so. */
enum err finder_note_damage(struct finder *f, struct error *error);
/** For reading the records that were found. */
struct follow *finder_store(struct finder *f);

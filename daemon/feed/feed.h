#pragma once
/*
 * A feed: what comes over its link is recorded, mapped and written, or told to topics.
 * While what it has read waits for the store, its recorder or its rate, it does not
 * read: the upstream's own socket fills. Nothing that was read is dropped; what cannot
 * be mapped is counted. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "common/list.h"
#include "daemon/base/conf.h"
#include "daemon/feed/link.h"
#include "daemon/store/job.h"

struct feed;
struct hub;
struct mapping;
struct recorders;
struct store;

/** What all feeds share; borrowed. */
struct feed_context {
	struct loop *loop;
	struct store *store;
	struct hub *hub;
	struct links *links;
	struct recorders *recorders;
	const struct conf *conf; /* in force: changes at a reload */
	/** One that is retired may be idle now; it must not be freed from inside. */
	void (*idle)(void *arg);
	void *arg;
};

/** Where it is defined. */
enum feed_source { FEED_OF_CONF, FEED_OF_STORE };

/** Takes the definition, NULLs it on success; not started. id: of its jobs' origin.
 * ERR_INVALID_ARGUMENT: it cannot be mapped so. */
enum err feed_new(const struct feed_context *all, uint64_t id, struct conf_feed **def,
	enum feed_source source, struct feed **out, struct error *error);
/** What is not written is lost: see feed_is_idle(). */
void feed_free(struct feed *f);
/** The list that it is in. */
struct list *feed_in_list(struct feed *f);
struct feed *feed_of_list(struct list *link);

uint64_t feed_id(const struct feed *f);
const char *feed_name(const struct feed *f);
enum feed_source feed_source(const struct feed *f);
enum machine_state feed_state(const struct feed *f);
const struct conf_feed *feed_definition(const struct feed *f);
struct mapping *feed_mapping(struct feed *f);

/** Another one of its name still writes what it has read: it starts when that is done. */
void feed_withhold(struct feed *f);
void feed_release(struct feed *f);
/** Starts it anew, out of a back-off too. */
void feed_start(struct feed *f);
/** The connection ends; what was read is still written. */
void feed_stop(struct feed *f);
/** It stops for good, and says by all->idle when it can be freed. feed_hand_on() follows. */
void feed_retire(struct feed *f);
/** heir: the one in its place, not started: of a feed that is down it is so since then. NULL: there
 * is none. */
void feed_hand_on(struct feed *f, struct feed *heir);
/** The configuration in force is another one, in which its definition is the same. */
void feed_reload(struct feed *f);
void feed_secrets_changed(struct feed *f);
/** The daemon stops: it ends, and all of it is written at once. */
void feed_hurry(struct feed *f);
/** True when all that was read is written. */
bool feed_is_idle(const struct feed *f);
/** A job of its is back; takes it if it is to be tried again. */
void feed_done(struct feed *f, struct job **job);
/** All is told up to this seq: true if something of it is not. */
bool feed_told(struct feed *f, int64_t published);

/** Writes the members of an item of feed.list; all: those of feed.show. */
void feed_add_status(const struct feed *f, bool all, struct json_out *o);
/** Writes what happened to it as items of a list. */
void feed_add_logs(const struct feed *f, size_t limit, struct json_out *o);

/** The figures of one, for families of metrics. */
struct feed_figure {
	const char *name;
	double (*read)(const void *feed);
};

extern const struct feed_figure feed_figures[];
extern const size_t feed_figures_n;

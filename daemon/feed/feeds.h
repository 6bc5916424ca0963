#pragma once
/*
 * All feeds, by name: those of the configuration, and those that were added while the
 * daemon ran, which the store keeps. One that is gone or defined otherwise is stopped,
 * and writes what it has read. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/base/conf.h"
#include "daemon/feed/feed.h"
#include "daemon/store/feedrow.h"
#include "daemon/store/job.h"

struct feeds;
struct hub;
struct loop;
struct net;
struct playback;
struct stats;
struct store;
struct vault;

/* In the ids of feeds, which no peer has. */
#define FEEDS_ID_BIT (UINT64_C(1) << 63)

/** Answers a request that was PENDING. */
typedef void feeds_answer_fn(void *arg, const struct origin *origin, enum err result,
	struct span reply, const struct error *error);

/** What they stand on; borrowed. */
struct feeds_parts {
	struct loop *loop;
	struct net *net;
	struct store *store;
	struct hub *hub;
	struct vault *vault;
	struct stats *stats;
	const struct conf *conf;
	feeds_answer_fn *answer;
	void *arg;
};

/** With those of the configuration and of the rows, not started. */
struct feeds *feeds_new(const struct feeds_parts *parts, const struct feedrow_list *rows);
void feeds_free(struct feeds *fs);
/** Starts those that are enabled. */
void feeds_begin(struct feeds *fs);
/** Those that are defined as before go on. */
void feeds_reload(struct feeds *fs, const struct conf *conf);

/** NULL: there is none. */
struct feed *feeds_find(const struct feeds *fs, struct span name);
/** The same, or ERR_NOT_FOUND. */
enum err feeds_get(
	const struct feeds *fs, struct span name, struct feed **out, struct error *error);
/** Judges a definition for feed.add. ERR_INVALID_ARGUMENT; ERR_CONFLICT: there is one of this name,
 * and it is not to be replaced, or is of the configuration. */
enum err feeds_check_new(const struct feeds *fs, struct span name, struct json_value definition,
	bool replaces, struct error *error);
/** A feed of the store, for feed.remove. ERR_NOT_FOUND; ERR_CONFLICT: it is of the configuration.
 */
enum err feeds_check_remove(const struct feeds *fs, struct span name, struct error *error);
/** ERR_UNAVAILABLE: the daemon stops. */
enum err feeds_start(struct feeds *fs, struct feed *f, struct error *error);
/** An operation on feeds is committed. */
void feeds_take(struct feeds *fs, const struct op *op);
/** A job of one of them is back; takes it if it is to be tried again. */
void feeds_done(struct feeds *fs, struct job **job);
/** The vault was opened, or has other secrets. */
void feeds_secrets_changed(struct feeds *fs);

/** What a trial of a feed is to be. */
struct feeds_trial {
	struct span name;             /* of one that is there, or of the definition's */
	struct json_value definition; /* raw.n == 0: that of the feed */
	int64_t messages;
	int64_t timeout_ms;
};

/** PENDING: it is answered when the trial is over; at most a few at a time. */
enum err feeds_try(struct feeds *fs, const struct origin *origin, const struct feeds_trial *wish,
	struct error *error);
/** Messages of a recording, through the mapping of a feed into the store, as what `client` writes:
 * playback_end() is given. ERR_NOT_FOUND. */
enum err feeds_play(struct feeds *fs, struct span name, struct playback **out, struct error *error);
/** The last of them was added; takes it. OK, and *result is the answer, or PENDING. */
enum err feeds_end_play(struct feeds *fs, struct playback **p, const struct origin *origin,
	struct store_client *client, struct buf *result, struct error *error);

/** The daemon stops: they all end, and write what they have read. */
void feeds_hurry(struct feeds *fs);
bool feeds_are_idle(const struct feeds *fs);

/** Writes them as items of a list, by name. */
void feeds_add_list(const struct feeds *fs, struct json_out *o);
/** Writes the members of status's "feeds": how many are how. */
void feeds_add_status(const struct feeds *fs, struct json_out *o);

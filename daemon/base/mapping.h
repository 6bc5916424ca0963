#pragma once
/*
 * The mapping of a feed: which records, or messages to a topic, a message that came
 * in is. Compiled once from the feed's settings; what it tells are spans into the
 * message, and texts of its own. Pure; one thread at a time.
 *
 * A message is one item, or with `split` the items of an array in it. `where` is of
 * the whole message. What cannot be mapped is told, with the place that it lacks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/span.h"

#define MAPPING_DEPTH_MAX 120 /* of a message: what is listed of it has to be read by others */

struct conf_feed;
struct mapping;

/** One record, or message to a topic. The spans hold until the callback returns. */
struct mapped {
	bool is_topic;        /* then there is no id, no name and no time of its own */
	struct span category; /* or the topic's name: a name either way */
	struct span id;       /* n == 0: one has to be made */
	struct span name;     /* n == 0: the id is the name */
	struct json_value data;
	bool has_received_at; /* for mapping_add_data(): a member of that name */
	int64_t time_ms;      /* as the upstream says, but never after now; else now */
};

/** Why something is not mapped. */
struct unmapped {
	const char *key;   /* "category", "split": the setting; NULL: the message is not JSON */
	struct span place; /* the pointer that has nothing for it; n == 0: none, or all of it */
	const char *why;   /* a sentence, with both, and with nothing out of the message */
	size_t item;       /* which one, from 0; 0 where messages are not split */
};

struct mapping_input {
	struct span text; /* the message */
	int64_t now_ms;
	int64_t max_record; /* bytes that data may have, without white space */
};

struct mapping_sink {
	void (*on_mapped)(void *arg, const struct mapped *r);
	void (*on_unmapped)(void *arg, const struct unmapped *u);
	void *arg;
};

/** ERR_INVALID_ARGUMENT names the setting that is wrong, and what to do. The feed is not needed
 * any longer afterwards. */
enum err mapping_new(const struct conf_feed *f, struct mapping **out, struct error *error);
void mapping_free(struct mapping *m);

/** Tells the sink of all that the message is, in order; false: `where` is not true of it, and
 * nothing was told. */
bool mapping_run(
	struct mapping *m, const struct mapping_input *in, const struct mapping_sink *sink);

/** Appends the data without white space between tokens; with `received_at` that member is added
 * (in the place of one of that name) if it is an object. At most as many bytes as data.raw has,
 * and mapping_extra(). */
void mapping_add_data(
	const struct mapping *m, const struct mapped *r, int64_t received_ms, struct buf *out);
size_t mapping_extra(const struct mapping *m);

/** Which categories, or topics, it can be of: the name itself (is_prefix false), or how they all
 * begin. The mapping's own. */
struct span mapping_reach(const struct mapping *m, bool *is_prefix);

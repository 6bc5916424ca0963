/* All feeds: see feeds.h. */

#include "daemon/feed/feeds.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/base/stats.h"
#include "daemon/feed/link.h"
#include "daemon/feed/playback.h"
#include "daemon/feed/recorder.h"
#include "daemon/feed/trial.h"
#include "daemon/feed/upstream.h"
#include "daemon/hub/hub.h"
#include "daemon/store/store.h"

#define FEEDS_MAX  1000 /* that are kept in the store */
#define TRIALS_MAX 8
#define ANSWER_MAX ((size_t)8 << 20)

/** A definition that the store keeps. */
struct row {
	char *name;
	char *definition;
};

struct feeds {
	struct feeds_parts parts;
	struct feed_context context;
	struct upstreams *upstreams;
	struct stats_kind kind;
	struct list all;     /* by name */
	struct list retired; /* until they have written what they read */
	struct list trials;
	struct list playbacks; /* whose jobs are under way */
	struct row *rows;      /* by name */
	size_t rows_n;
	uint64_t last_id;
	bool has_begun;
	bool is_stopping;
	bool looks_retired; /* a look at those is deferred */
	bool looks_told;    /* a look at what is told is deferred */
};

static struct feed *
find_name(const struct list *all, struct span name)
{
	for (struct list *at = all->next; at != all; at = at->next)
		if (span_is(name, feed_name(feed_of_list(at))))
			return feed_of_list(at);
	return NULL;
}

/** Those that have written what they read are gone; then another one of their name starts. */
static void
look_at_retired(void *arg)
{
	struct feeds *fs = arg;
	struct list *at, *tmp;

	fs->looks_retired = false;
	list_each (at, tmp, &fs->retired)
		if (feed_is_idle(feed_of_list(at)))
			feed_free(feed_of_list(at));
	list_each (at, tmp, &fs->all)
		if (find_name(&fs->retired, span_of(feed_name(feed_of_list(at)))) == NULL)
			feed_release(feed_of_list(at));
}

static void
on_idle(void *arg)
{
	struct feeds *fs = arg;

	if (!fs->looks_retired)
		loop_defer(fs->parts.loop, look_at_retired, fs);
	fs->looks_retired = true;
}

/* Which there are to be. */

struct feed *
feeds_find(const struct feeds *fs, struct span name)
{
	return find_name(&fs->all, name);
}

enum err
feeds_get(const struct feeds *fs, struct span name, struct feed **out, struct error *error)
{
	*out = feeds_find(fs, name);
	return *out != NULL
		       ? OK
		       : error_set(error, ERR_NOT_FOUND, "there is no feed %.*s", SPAN_FMT(name));
}

static struct row *
find_row(const struct feeds *fs, struct span name)
{
	for (size_t i = 0; i < fs->rows_n; i++)
		if (span_is(name, fs->rows[i].name))
			return &fs->rows[i];
	return NULL;
}

static enum err
read_definition(
	struct span name, struct span definition, struct conf_feed **out, struct error *error)
{
	struct json_value value;
	struct json_fault fault;

	if (json_check(definition, JSON_DEPTH_MAX, &value, &fault) != OK)
		return error_set(
			error, ERR_INVALID_ARGUMENT, "the definition is no JSON: %s", fault.what);
	return conf_feed_read(name, value, out, error);
}

/** What a name stands for now: the configuration goes first. The caller owns *def; NULL: nothing.
 */
static struct conf_feed *
wanted(const struct feeds *fs, struct span name, enum feed_source *source)
{
	const struct conf_feed *of_conf = conf_feed_find(fs->parts.conf, name);
	const struct row *row = find_row(fs, name);
	struct error error = ERROR_NONE;
	struct conf_feed *def = NULL;

	*source = of_conf != NULL ? FEED_OF_CONF : FEED_OF_STORE;
	if (of_conf != NULL)
		return conf_feed_dup(of_conf);
	if (row != NULL && read_definition(name, span_of(row->definition), &def, &error) != OK)
		log_error("feed", "a feed of the store is left out", F_SPAN("feed", name),
			F_ERROR(&error));
	return def;
}

static void
insert(struct feeds *fs, struct feed *f)
{
	struct list *at = fs->all.next;

	while (at != &fs->all && strcmp(feed_name(feed_of_list(at)), feed_name(f)) < 0)
		at = at->next;
	list_append(at, feed_in_list(f));
}

static void
begin(struct feed *f)
{
	if (feed_definition(f)->enabled)
		feed_start(f);
}

/** Makes the feed of a name, if there is to be one. */
static struct feed *
make(struct feeds *fs, struct span name)
{
	struct error error = ERROR_NONE;
	enum feed_source source;
	struct conf_feed *def = wanted(fs, name, &source);
	struct feed *f = NULL;

	if (def == NULL)
		return NULL;
	if (feed_new(&fs->context, FEEDS_ID_BIT | ++fs->last_id, &def, source, &f, &error) != OK) {
		log_error("feed", "a feed is left out", F_SPAN("feed", name), F_ERROR(&error));
		conf_feed_free(def);
		return NULL;
	}
	insert(fs, f);
	if (find_name(&fs->retired, name) != NULL)
		feed_withhold(f);
	return f;
}

/** True if it is what it should be. */
static bool
is_wanted(const struct feeds *fs, const struct feed *f)
{
	enum feed_source source;
	struct conf_feed *def = wanted(fs, span_of(feed_name(f)), &source);
	bool is_same = def != NULL && source == feed_source(f) &&
		       conf_feed_is_equal(def, feed_definition(f));

	conf_feed_free(def);
	return is_same;
}

/** What there is of this name becomes what there should be. The name is not the feed's own. */
static void
settle(struct feeds *fs, struct span name)
{
	struct feed *old = feeds_find(fs, name), *f;

	if (old != NULL && is_wanted(fs, old))
		return;
	if (old != NULL) {
		list_remove(feed_in_list(old));
		list_append(&fs->retired, feed_in_list(old));
		feed_retire(old);
	}
	f = make(fs, name);
	if (old != NULL)
		feed_hand_on(old, f);
	if (f != NULL && fs->has_begun && !fs->is_stopping)
		begin(f);
}

static void
settle_new(struct feeds *fs, struct span name)
{
	if (feeds_find(fs, name) == NULL)
		settle(fs, name);
}

/** The same of all names. */
static void
settle_all(struct feeds *fs)
{
	struct list *at, *tmp;

	list_each (at, tmp, &fs->all) {
		char *name = xstrdup(feed_name(feed_of_list(at)));

		settle(fs, span_of(name));
		free(name);
	}
	for (size_t i = 0; i < fs->parts.conf->feeds.n; i++)
		settle_new(fs, span_of(conf_feed_at(fs->parts.conf, i)->named.name));
	for (size_t i = 0; i < fs->rows_n; i++)
		settle_new(fs, span_of(fs->rows[i].name));
}

static void
reload_all(struct list *feeds)
{
	for (struct list *at = feeds->next; at != feeds; at = at->next)
		feed_reload(feed_of_list(at));
}

void
feeds_reload(struct feeds *fs, const struct conf *conf)
{
	fs->parts.conf = fs->context.conf = conf;
	reload_all(&fs->all);
	reload_all(&fs->retired); /* they write by it, too */
	settle_all(fs);
}

/* Adding and removing. */

/** A recording is of one feed. */
static enum err
check_record(const struct feeds *fs, const struct conf_feed *def, struct error *error)
{
	for (struct list *at = fs->all.next; at != &fs->all; at = at->next) {
		const struct conf_feed *other = feed_definition(feed_of_list(at));

		if (def->record[0] != '\0' && strcmp(def->record, other->record) == 0 &&
			strcmp(def->named.name, other->named.name) != 0)
			return error_set(error, ERR_CONFLICT,
				"the feed %s records as %s: name another recording (record)",
				other->named.name, def->record);
	}
	return OK;
}

enum err
feeds_check_new(const struct feeds *fs, struct span name, struct json_value definition,
	bool replaces, struct error *error)
{
	struct conf_feed *def = NULL;
	enum err e;

	if (conf_feed_find(fs->parts.conf, name) != NULL)
		return error_set(error, ERR_CONFLICT,
			"the feed %.*s is one of the configuration: change it there, and reload",
			SPAN_FMT(name));
	if (!replaces && feeds_find(fs, name) != NULL)
		return error_set(error, ERR_CONFLICT,
			"there is a feed %.*s: ask for it to be replaced", SPAN_FMT(name));
	if (fs->rows_n >= FEEDS_MAX && find_row(fs, name) == NULL)
		return error_set(error, ERR_LIMIT_EXCEEDED,
			"there are %d feeds in the store, which is the most", FEEDS_MAX);
	e = conf_feed_read(name, definition, &def, error);
	if (e == OK)
		e = check_record(fs, def, error);
	conf_feed_free(def);
	return e;
}

enum err
feeds_check_remove(const struct feeds *fs, struct span name, struct error *error)
{
	if (conf_feed_find(fs->parts.conf, name) != NULL)
		return error_set(error, ERR_CONFLICT,
			"the feed %.*s is one of the configuration: take it out there, and reload",
			SPAN_FMT(name));
	return find_row(fs, name) != NULL
		       ? OK
		       : error_set(error, ERR_NOT_FOUND, "there is no feed %.*s", SPAN_FMT(name));
}

static void
drop_row(struct feeds *fs, struct row *row)
{
	size_t at = (size_t)(row - fs->rows);

	free(row->name);
	free(row->definition);
	memmove(row, row + 1, (fs->rows_n - at - 1) * sizeof(*row));
	fs->rows_n--;
}

static void
put_row(struct feeds *fs, struct span name, struct span definition)
{
	struct row *row = find_row(fs, name);

	if (row == NULL) {
		fs->rows = xrealloc(fs->rows, fs->rows_n + 1, sizeof(*fs->rows));
		row = &fs->rows[fs->rows_n++];
		*row = (struct row){.name = xstrndup(name.p, name.n)};
	}
	free(row->definition);
	row->definition = xstrndup(definition.p, definition.n);
}

void
feeds_take(struct feeds *fs, const struct op *op)
{
	struct row *row = find_row(fs, op->name);

	if (op->kind == OP_FEED_SET)
		put_row(fs, op->name, op->data);
	else if (op->kind == OP_FEED_DROP && row != NULL)
		drop_row(fs, row);
	else
		return;
	settle(fs, op->name);
}

enum err
feeds_start(struct feeds *fs, struct feed *f, struct error *error)
{
	if (fs->is_stopping)
		return error_set(error, ERR_UNAVAILABLE, "the daemon is shutting down");
	feed_start(f);
	return OK;
}

void
feeds_secrets_changed(struct feeds *fs)
{
	for (struct list *at = fs->all.next; at != &fs->all && !fs->is_stopping; at = at->next)
		feed_secrets_changed(feed_of_list(at));
}

/* What comes back from the store. */

static void
look_at_told(void *arg)
{
	struct feeds *fs = arg;
	int64_t published = hub_published(fs->parts.hub);
	bool has_more = false;

	for (struct list *at = fs->all.next; at != &fs->all; at = at->next)
		has_more |= feed_told(feed_of_list(at), published);
	fs->looks_told = has_more;
	if (has_more)
		loop_defer(fs->parts.loop, look_at_told, fs);
}

static struct feed *
find_id(struct list *all, uint64_t id)
{
	for (struct list *at = all->next; at != all; at = at->next)
		if (feed_id(feed_of_list(at)) == id)
			return feed_of_list(at);
	return NULL;
}

static struct playback *
find_playback(const struct feeds *fs, uint64_t id)
{
	for (struct list *at = fs->playbacks.next; at != &fs->playbacks; at = at->next)
		if (playback_id(playback_of_list(at)) == id)
			return playback_of_list(at);
	return NULL;
}

static void
answer_playback(struct feeds *fs, struct playback *p, const struct job *j)
{
	struct buf text;

	buf_init(&text, ANSWER_MAX);
	if (j->result == OK)
		playback_add_answer(p, j, &text);
	fs->parts.answer(fs->parts.arg, playback_origin(p), j->result, buf_span(&text), &j->error);
	buf_fini(&text);
	playback_free(p);
}

void
feeds_done(struct feeds *fs, struct job **job)
{
	uint64_t id = (*job)->origin.peer;
	struct feed *f = find_id(&fs->all, id);
	struct playback *p = f == NULL ? find_playback(fs, id) : NULL;

	if (f == NULL)
		f = find_id(&fs->retired, id);
	if (f != NULL)
		feed_done(f, job);
	else if (p != NULL)
		answer_playback(fs, p, *job);
	if (!fs->looks_told)
		loop_defer(fs->parts.loop, look_at_told, fs);
	fs->looks_told = true;
}

/* Playing and trying. */

enum err
feeds_play(struct feeds *fs, struct span name, struct playback **out, struct error *error)
{
	struct feed *f;
	enum err e = feeds_get(fs, name, &f, error);

	if (e == OK)
		*out = playback_new(&(struct playback_of){
			feed_definition(f), feed_mapping(f), fs->parts.conf, fs->parts.hub});
	return e;
}

enum err
feeds_end_play(struct feeds *fs, struct playback **playback, const struct origin *origin,
	struct store_client *client, struct buf *result, struct error *error)
{
	struct playback *p = *playback;
	struct job *j = NULL;
	enum err e = playback_job(p, FEEDS_ID_BIT | ++fs->last_id, origin, &j, error);

	*playback = NULL;
	if (e == OK && j == NULL)
		playback_add_answer(p, NULL, result);
	else if (e == OK)
		e = store_submit(fs->parts.store, client, &j, error);
	job_free(j);
	if (e == PENDING)
		list_append(&fs->playbacks, playback_in_list(p));
	else
		playback_free(p);
	return e;
}

static void
on_trial_over(void *arg, struct trial *t)
{
	struct feeds *fs = arg;
	struct error error = ERROR_NONE;
	struct buf text;
	enum err e = OK;

	buf_init(&text, ANSWER_MAX);
	trial_add_answer(t, &text);
	if (text.failed)
		e = error_set(&error, ERR_LIMIT_EXCEEDED, "the answer is too large");
	fs->parts.answer(fs->parts.arg, trial_origin(t), e, buf_span(&text), &error);
	buf_fini(&text);
	trial_free(t);
}

static unsigned
count(const struct list *all)
{
	unsigned n = 0;

	for (const struct list *at = all->next; at != all; at = at->next)
		n++;
	return n;
}

enum err
feeds_try(struct feeds *fs, const struct origin *origin, const struct feeds_trial *wish,
	struct error *error)
{
	struct conf_feed *def = NULL;
	struct feed *f = NULL;
	struct trial *t;
	enum err e = OK;

	if (fs->is_stopping || count(&fs->trials) >= TRIALS_MAX)
		return error_set(error, ERR_UNAVAILABLE,
			"%d feeds are tried already, or the daemon stops: try again", TRIALS_MAX);
	if (wish->definition.raw.n > 0)
		e = conf_feed_read(wish->name, wish->definition, &def, error);
	else
		e = feeds_get(fs, wish->name, &f, error);
	if (f != NULL)
		def = conf_feed_dup(feed_definition(f));
	if (e == OK)
		e = trial_start(&(struct trial_wish){.loop = fs->parts.loop,
					.links = fs->context.links,
					.origin = origin,
					.max_record = fs->parts.conf->store.max_record,
					.messages = wish->messages,
					.timeout_ms = wish->timeout_ms,
					.over = on_trial_over,
					.arg = fs},
			&def, &t, error);
	conf_feed_free(def);
	if (e != OK)
		return e;
	list_append(&fs->trials, trial_in_list(t));
	return PENDING;
}

/* The end. */

void
feeds_hurry(struct feeds *fs)
{
	fs->is_stopping = true;
	while (!list_is_empty(&fs->trials)) {
		struct trial *t = trial_of_list(fs->trials.next);

		trial_end(t, "the daemon stops");
		on_trial_over(fs, t);
	}
	for (struct list *at = fs->all.next; at != &fs->all; at = at->next)
		feed_hurry(feed_of_list(at));
	for (struct list *at = fs->retired.next; at != &fs->retired; at = at->next)
		feed_hurry(feed_of_list(at));
}

bool
feeds_are_idle(const struct feeds *fs)
{
	for (struct list *at = fs->all.next; at != &fs->all; at = at->next)
		if (!feed_is_idle(feed_of_list(at)))
			return false;
	return list_is_empty(&fs->retired) && links_are_idle(fs->context.links);
}

/* What is told of them. */

void
feeds_add_list(const struct feeds *fs, struct json_out *o)
{
	for (struct list *at = fs->all.next; at != &fs->all; at = at->next) {
		json_begin_object(o, NULL);
		feed_add_status(feed_of_list(at), false, o);
		json_end_object(o);
	}
}

void
feeds_add_status(const struct feeds *fs, struct json_out *o)
{
	int64_t n[FEED_STATES] = {0};

	for (struct list *at = fs->all.next; at != &fs->all; at = at->next)
		n[feed_state(feed_of_list(at))]++;
	json_put_int(o, "count", count(&fs->all));
	for (unsigned i = 0; i < FEED_STATES; i++)
		if (n[i] > 0)
			json_put_int(o, machine_state_name(i), n[i]);
}

static const void *
next_feed(const void *arg, const void *item, struct span *name)
{
	const struct feeds *fs = arg;
	struct list *at =
		item != NULL ? feed_in_list((struct feed *)(uintptr_t)item)->next : fs->all.next;

	if (at == &fs->all)
		return NULL;
	*name = span_of(feed_name(feed_of_list(at)));
	return feed_of_list(at);
}

/* Life. */

/** Beside the store. */
static char *
recordings_folder(const struct conf *conf)
{
	const char *slash = strrchr(conf->store.path, '/');

	return slash != NULL ? xasprintf("%.*s/recordings", (int)(slash - conf->store.path),
				       conf->store.path)
			     : xstrdup("recordings");
}

static void
make_parts(struct feeds *fs)
{
	const struct feeds_parts *p = &fs->parts;
	char *folder = recordings_folder(p->conf);

	fs->upstreams = upstreams_new(p->loop, p->net);
	fs->context = (struct feed_context){
		.loop = p->loop,
		.store = p->store,
		.hub = p->hub,
		.links = links_new(p->loop, fs->upstreams, p->vault),
		.recorders = recorders_new(p->loop, folder),
		.conf = p->conf,
		.idle = on_idle,
		.arg = fs,
	};
	free(folder);
	fs->kind = (struct stats_kind){"feed", next_feed, fs};
	upstreams_add_stats(fs->upstreams, p->stats);
	for (size_t i = 0; i < feed_figures_n; i++)
		stats_add_family(p->stats, feed_figures[i].name, &fs->kind, feed_figures[i].read);
}

struct feeds *
feeds_new(const struct feeds_parts *parts, const struct feedrow_list *rows)
{
	struct feeds *fs = xnew(struct feeds);

	fs->parts = *parts;
	list_init(&fs->all);
	list_init(&fs->retired);
	list_init(&fs->trials);
	list_init(&fs->playbacks);
	make_parts(fs);
	for (size_t i = 0; i < rows->n; i++)
		put_row(fs, span_of(rows->v[i].name), span_of(rows->v[i].definition));
	settle_all(fs);
	return fs;
}

static void
free_all(struct list *feeds)
{
	while (!list_is_empty(feeds))
		feed_free(feed_of_list(feeds->next));
}

void
feeds_free(struct feeds *fs)
{
	if (fs == NULL)
		return;
	loop_undefer(fs->parts.loop, fs);
	while (!list_is_empty(&fs->trials))
		trial_free(trial_of_list(fs->trials.next));
	while (!list_is_empty(&fs->playbacks))
		playback_free(playback_of_list(fs->playbacks.next));
	free_all(&fs->all);
	free_all(&fs->retired);
	links_free(fs->context.links);
	recorders_free(fs->context.recorders);
	upstreams_free(fs->upstreams);
	while (fs->rows_n > 0)
		drop_row(fs, &fs->rows[fs->rows_n - 1]);
	free(fs->rows);
	free(fs);
}

void
feeds_begin(struct feeds *fs)
{
	fs->has_begun = true;
	for (struct list *at = fs->all.next; at != &fs->all; at = at->next)
		begin(feed_of_list(at));
}

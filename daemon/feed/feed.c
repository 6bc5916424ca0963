/*
 * One feed: see feed.h. A message is recorded if that is wanted, and waits until it is
 * on its way to the disk; then it is mapped, and its records are gathered. At the end
 * of a read what was gathered goes to the store.
 */

#include "daemon/feed/feed.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/base/mapping.h"
#include "daemon/feed/feed_priv.h"
#include "daemon/feed/recorder.h"
#include "daemon/feed/writing.h"
#include "daemon/hub/hub.h"
#include "daemon/hub/outage.h"

#define LINE_EVERY_MS 10000
#define WAITING_KEPT  ((size_t)16 << 10) /* of the memory of messages that wait */

/** What stands before each message in `waiting`. */
struct waiting_head {
	int64_t at_ms;
	int64_t came_us;
	size_t n;
};

static void
journal(struct feed *f, const char *what, const char *detail)
{
	journal_note(&f->journal, clock_wall_ms(), what, detail);
}

/* Reading, and not reading. */

int64_t
feed_paused_us(const struct feed *f)
{
	return f->paused_us + (f->held_us != 0 ? clock_mono_us() - f->held_us : 0);
}

static void
set_hold(struct feed *f, enum feed_hold why, bool holds)
{
	unsigned all = holds ? f->holds | why : f->holds & ~(unsigned)why;
	bool is_paused = (all & (HOLD_STORE | HOLD_RATE)) != 0;

	if (is_paused && f->held_us == 0) {
		f->held_us = clock_mono_us();
	} else if (!is_paused && f->held_us != 0) {
		f->paused_us += clock_mono_us() - f->held_us;
		f->held_us = 0;
	}
	f->holds = all;
	link_hold(f->link, all != 0);
}

static void
look_for_room(struct feed *f)
{
	set_hold(f, HOLD_STORE, writing_is_full(f->writing));
}

/** One message less; when that was the last for now, none is read until there is another. */
static void
take_rate(struct feed *f)
{
	int64_t now = loop_now_ms(f->all->loop), wait_ms = 0;

	if (rate_is_unlimited(&f->def->rate))
		return;
	bucket_take(&f->bucket, &f->def->rate, 1, now, &wait_ms);
	if (bucket_level(&f->bucket, &f->def->rate, now) > 0)
		return;
	if (bucket_take(&f->bucket, &f->def->rate, 1, now, &wait_ms))
		bucket_give(&f->bucket, &f->def->rate, 1);
	set_hold(f, HOLD_RATE, true);
	loop_timer_start(f->rate_timer, wait_ms > 0 ? wait_ms : 1);
}

static void
on_rate(void *arg)
{
	set_hold(arg, HOLD_RATE, false);
}

/* Mapping. */

/** What is unmapped is told now and then, when somebody wants to know. */
static void
count_unmapped(struct feed *f, const char *detail)
{
	int64_t now = loop_now_ms(f->all->loop);

	f->unmapped++;
	f->unmapped_untold++;
	if (f->def->drop_unmapped || now < f->next_line_ms)
		return;
	log_warn("feed", "not mapped", F_STR("feed", f->def->named.name), F_STR("why", detail),
		F_INT("times", f->unmapped_untold));
	journal(f, "not mapped", detail);
	f->next_line_ms = now + LINE_EVERY_MS;
	f->unmapped_untold = 0;
}

/** One message on its way through the mapping. */
struct passage {
	struct feed *feed;
	struct feedrecord_times at;
};

static void
on_unmapped(void *arg, const struct unmapped *u)
{
	count_unmapped(((const struct passage *)arg)->feed, u->why);
}

static void
on_mapped(void *arg, const struct mapped *r)
{
	const struct passage *p = arg;
	struct feed *f = p->feed;
	struct error error = ERROR_NONE;
	struct feed_record record;
	enum err e = OK;

	if (!feedrecord_make(f->def, f->mapping, r, &p->at, &f->texts, &record))
		e = error_set(&error, ERR_LIMIT_EXCEEDED, "out of memory");
	else if (r->is_topic)
		hub_publish_topic(f->all->hub, r->category, record.data);
	else
		e = writing_add(f->writing, &record, &error);
	feedrecord_texts_clear(&f->texts);
	if (e == OK)
		f->mapped++;
	else
		count_unmapped(f, error.text); /* without what came: it may be secret */
}

static void
map(struct feed *f, struct span message, int64_t at_ms, int64_t came_us)
{
	struct passage p = {
		f, {at_ms, at_ms, came_us}
        };
	struct mapping_input in = {
		.text = message,
		.now_ms = at_ms,
		.max_record = f->all->conf->store.max_record,
	};

	if (!mapping_run(f->mapping, &in, &(struct mapping_sink){on_mapped, on_unmapped, &p}))
		f->ignored++;
}

/* Recording. */

/** Has it wait, all of it or nothing. */
static void
keep_waiting(struct feed *f, struct span message)
{
	struct waiting_head head = {f->batch_ms, f->batch_us, message.n};

	if (buf_reserve(&f->waiting, sizeof(head) + message.n) == NULL) {
		f->waiting.failed = false; /* a smaller one may have room */
		count_unmapped(f, "out of memory");
		return;
	}
	buf_add(&f->waiting, &head, sizeof(head));
	buf_add_span(&f->waiting, message);
}

static void
record(struct feed *f, bool is_text, struct span message)
{
	struct buf safe;

	buf_init(&safe, SIZE_MAX / 2);
	recorder_add(f->recorder, f->batch_ms, is_text,
		link_redact(f->link, message, &safe) ? buf_span(&safe) : message);
	buf_fini(&safe);
	keep_waiting(f, message);
}

/** What waits is written, all at once. What comes meanwhile, out of a connection that is given up,
 * is written when that is done. */
static void
write_waiting(struct feed *f)
{
	if (recorder_is_writing(f->recorder))
		return;
	f->recording = f->waiting.n;
	set_hold(f, HOLD_RECORDER, recorder_write(f->recorder));
}

/** What was recorded goes on. */
static void
on_recorded(void *arg)
{
	struct feed *f = arg;
	size_t at = 0;

	while (at < f->recording) {
		struct waiting_head head;

		memcpy(&head, f->waiting.p + at, sizeof(head));
		at += sizeof(head);
		map(f, (struct span){f->waiting.p + at, head.n}, head.at_ms, head.came_us);
		at += head.n;
	}
	buf_consume(&f->waiting, at);
	if (f->waiting.n == 0)
		buf_clear(&f->waiting, WAITING_KEPT);
	writing_flush(f->writing);
	look_for_room(f);
	write_waiting(f);
	if (f->is_retired)
		f->all->idle(f->all->arg);
}

/* What the link tells. */

static void
on_message(void *arg, enum ws_opcode opcode, struct span payload)
{
	struct feed *f = arg;

	if (f->batch_us == 0) {
		f->batch_ms = clock_wall_ms();
		f->batch_us = clock_mono_us();
	}
	f->messages++;
	f->last_message_ms = f->batch_ms;
	if (f->recorder != NULL) {
		record(f, opcode == WS_TEXT, payload);
	} else {
		map(f, payload, f->batch_ms, f->batch_us);
		look_for_room(f);
	}
	take_rate(f);
}

static void
on_batch(void *arg)
{
	struct feed *f = arg;

	f->batch_us = 0;
	if (f->recorder != NULL)
		write_waiting(f);
	writing_flush(f->writing);
	look_for_room(f);
}

/** It is not live any longer: subscribers are told, if that lasts. */
static void
go_down(struct feed *f)
{
	if (f->down_ms != 0)
		return;
	f->down_ms = clock_wall_ms();
	if (f->outage != NULL)
		loop_timer_start(f->stale_timer, f->def->stale_after_ms);
}

static void
on_stale(void *arg)
{
	struct feed *f = arg;

	log_warn("feed", "stale", F_STR("feed", f->def->named.name), F_INT("since", f->down_ms));
	journal(f, "stale", NULL);
	outage_begin(f->outage, f->down_ms);
}

static void
go_up(struct feed *f)
{
	f->connects++;
	f->down_ms = 0;
	loop_timer_stop(f->stale_timer);
	if (f->outage == NULL || !outage_has_begun(f->outage))
		return;
	journal(f, "fresh", NULL);
	outage_end(f->outage);
}

/** What people want to know; the rest is for who looks closely. */
static enum log_level
level_of(const struct feed *f, enum machine_state from, enum machine_state to)
{
	if (to == FEED_FAILED || to == FEED_PAUSED || from == FEED_LIVE)
		return to == FEED_IDLE ? LOG_INFO : LOG_WARN;
	if (to == FEED_LIVE || to == FEED_IDLE)
		return LOG_INFO;
	return to == FEED_BACKOFF && link_retries(f->link) == 1 ? LOG_WARN : LOG_DEBUG;
}

static void
on_moved(void *arg, enum machine_state from)
{
	struct feed *f = arg;
	enum machine_state to = link_state(f->link);
	const char *why = link_why(f->link);

	log_at(level_of(f, from, to), "feed", "feed moves", F_STR("feed", f->def->named.name),
		F_STR("old", machine_state_name(from)), F_STR("new", machine_state_name(to)),
		F_STR("why", why));
	f->moved_ms = clock_wall_ms();
	f->tries += to == FEED_RESOLVING;
	/* Ways to a connection are of no interest afterwards. */
	if (to == FEED_RESOLVING || to == FEED_LIVE || to == FEED_IDLE || to >= FEED_BACKOFF)
		journal(f, to == FEED_RESOLVING ? "connecting" : machine_state_name(to), why);
	if (to == FEED_LIVE)
		go_up(f);
	else
		go_down(f);
}

/* What the writes tell. */

static void
on_room(void *arg)
{
	struct feed *f = arg;

	look_for_room(f);
	if (f->is_retired)
		f->all->idle(f->all->arg);
}

static void
on_committed(void *arg, size_t n, int64_t seq, int64_t came_us)
{
	struct feed *f = arg;
	int64_t now = clock_mono_us();

	(void)n;
	histogram_count(&f->commit_times, now - came_us);
	if (f->pushes_n < FEED_PUSHES)
		f->pushes[f->pushes_n++] = (struct feed_push){seq, now};
}

static void
on_failing(void *arg, const struct error *error)
{
	struct feed *f = arg;

	if (error == NULL) {
		log_info(
			"feed", "the store takes records again", F_STR("feed", f->def->named.name));
		journal(f, "writing again", NULL);
		return;
	}
	log_warn("feed", "the store does not take records, they are kept and tried again",
		F_STR("feed", f->def->named.name), F_ERROR(error));
	journal(f, "not written, trying again", error->text);
}

/* Life. */

static void
open_recorder(struct feed *f)
{
	if (f->def->record[0] == '\0')
		return;
	f->recorder =
		recorder_open(f->all->recorders, &(struct recorder_wish){.name = f->def->record,
							 .max = f->def->record_max,
							 .written = on_recorded,
							 .arg = f});
	if (f->recorder != NULL)
		return;
	log_error("feed", "not recorded: another feed records under this name",
		F_STR("feed", f->def->named.name), F_STR("record", f->def->record));
	journal(f, "not recorded: another feed records under this name", f->def->record);
}

static struct outage_of
outage_of(const struct feed *f)
{
	bool is_prefix;
	struct span text = mapping_reach(f->mapping, &is_prefix);

	return (struct outage_of){
		.feed = span_of(f->def->named.name),
		.names = {text, is_prefix},
		.is_topic = f->def->topic[0] != '\0',
	};
}

static void
make_outage(struct feed *f)
{
	struct outage_of of = outage_of(f);

	if (f->def->stale_after_ms != CONF_UNLIMITED)
		f->outage = outage_new(f->all->hub, &of);
}
static void
make_parts(struct feed *f)
{
	static const struct link_ops link_ops = {
		.message = on_message, .batch = on_batch, .moved = on_moved};
	static const struct writing_ops writing_ops = {
		.room = on_room, .committed = on_committed, .failing = on_failing};
	struct link_ops to_link = link_ops;
	struct writing_ops to_writing = writing_ops;
	struct writing_wish wish = {f->all->conf, f->id, f->def->on_full == FULL_CONFLATE};

	to_link.arg = to_writing.arg = f;
	f->link = link_new(f->all->links, f->def, &to_link);
	f->writing = writing_new(f->all->loop, f->all->store, &wish, &to_writing);
	f->rate_timer = loop_timer_new(f->all->loop, on_rate, f);
	f->stale_timer = loop_timer_new(f->all->loop, on_stale, f);
	feedrecord_texts_init(&f->texts);
	buf_init(&f->waiting, SIZE_MAX / 2);
	open_recorder(f);
	make_outage(f);
}

enum err
feed_new(const struct feed_context *all, uint64_t id, struct conf_feed **def,
	enum feed_source source, struct feed **out, struct error *error)
{
	struct mapping *mapping = NULL;
	struct feed *f;
	enum err e = mapping_new(*def, &mapping, error);

	if (e != OK)
		return e;
	f = xnew(struct feed);
	f->id = id;
	f->source = source;
	f->all = all;
	f->def = *def;
	*def = NULL;
	f->mapping = mapping;
	f->moved_ms = clock_wall_ms();
	list_init(&f->in_list);
	make_parts(f);
	*out = f;
	return OK;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	list_remove(&f->in_list);
	link_free(f->link);
	recorder_close(f->recorder);
	writing_free(f->writing);
	outage_free(f->outage);
	loop_timer_free(f->rate_timer);
	loop_timer_free(f->stale_timer);
	mapping_free(f->mapping);
	feedrecord_texts_fini(&f->texts);
	buf_fini(&f->waiting);
	journal_fini(&f->journal);
	conf_feed_free(f->def);
	free(f);
}

struct list *
feed_in_list(struct feed *f)
{
	return &f->in_list;
}

struct feed *
feed_of_list(struct list *link)
{
	return list_item(link, struct feed, in_list);
}

uint64_t
feed_id(const struct feed *f)
{
	return f->id;
}

const char *
feed_name(const struct feed *f)
{
	return f->def->named.name;
}

enum feed_source
feed_source(const struct feed *f)
{
	return f->source;
}

enum machine_state
feed_state(const struct feed *f)
{
	return link_state(f->link);
}

const struct conf_feed *
feed_definition(const struct feed *f)
{
	return f->def;
}

struct mapping *
feed_mapping(struct feed *f)
{
	return f->mapping;
}

void
feed_withhold(struct feed *f)
{
	f->is_withheld = true;
}

void
feed_release(struct feed *f)
{
	bool wants_start = f->wants_start;

	f->is_withheld = f->wants_start = false;
	if (wants_start)
		link_start(f->link);
}

void
feed_start(struct feed *f)
{
	if (link_state(f->link) != FEED_LIVE)
		go_down(f);
	f->wants_start = f->is_withheld;
	if (!f->is_withheld)
		link_start(f->link);
}

void
feed_stop(struct feed *f)
{
	f->wants_start = false;
	link_stop(f->link);
}

void
feed_retire(struct feed *f)
{
	f->is_retired = true;
	feed_stop(f);
	loop_timer_stop(f->stale_timer);
	if (f->recorder != NULL)
		recorder_retire(f->recorder);
	writing_flush(f->writing);
	f->all->idle(f->all->arg);
}

static void
swap_outages(struct feed *f, struct feed *heir)
{
	int64_t left_ms = f->down_ms + heir->def->stale_after_ms - clock_wall_ms();
	struct outage *outage = heir->outage;

	heir->down_ms = f->down_ms;
	heir->outage = f->outage;
	f->outage = outage;
	if (!outage_has_begun(heir->outage))
		loop_timer_start(heir->stale_timer, left_ms > 0 ? left_ms : 0);
}

void
feed_hand_on(struct feed *f, struct feed *heir)
{
	struct outage_of of = outage_of(heir != NULL ? heir : f);

	if (heir != NULL && heir->outage != NULL && f->outage != NULL && f->down_ms != 0 &&
		outage_is_of(f->outage, &of))
		swap_outages(f, heir);
	outage_free(f->outage);
	f->outage = NULL;
}

void
feed_reload(struct feed *f)
{
	writing_reload(f->writing, f->all->conf, f->def->on_full == FULL_CONFLATE);
}

void
feed_secrets_changed(struct feed *f)
{
	link_secrets_changed(f->link);
}

void
feed_hurry(struct feed *f)
{
	feed_stop(f);
	writing_hurry(f->writing);
}

bool
feed_is_idle(const struct feed *f)
{
	return f->waiting.n == 0 && writing_is_idle(f->writing);
}

void
feed_done(struct feed *f, struct job **job)
{
	writing_done(f->writing, job);
}

bool
feed_told(struct feed *f, int64_t published)
{
	int64_t now = clock_mono_us();
	unsigned left = 0;

	for (unsigned i = 0; i < f->pushes_n; i++) {
		if (f->pushes[i].seq > published)
			f->pushes[left++] = f->pushes[i];
		else
			histogram_count(&f->push_times, now - f->pushes[i].committed_us);
	}
	f->pushes_n = left;
	return left > 0;
}

void
feed_add_logs(const struct feed *f, size_t limit, struct json_out *o)
{
	journal_add_items(&f->journal, limit, o);
}

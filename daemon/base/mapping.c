/* The mapping of a feed: see mapping.h. */

#include "daemon/base/mapping.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json_pointer.h"
#include "common/name.h"
#include "common/time.h"
#include "common/where.h"
#include "common/xalloc.h"
#include "daemon/base/conf.h"
#include "daemon/base/template.h"

#define TEXTS_MAX (64u << 10) /* of one item */

/* The greatest numbers that are taken for seconds, milliseconds and microseconds. */
#define SECONDS_MAX      1e11
#define MILLISECONDS_MAX 1e14
#define MICROSECONDS_MAX 1e17
#define NANOSECONDS_MAX  1e19

enum field { CATEGORY, ID, NAME, DATA, TIME, FIELDS };

struct mapping {
	bool is_topic;
	bool splits;
	struct json_pointer *split; /* owned, as is what follows */
	char *split_text;
	struct where *where;             /* NULL: all messages */
	struct template *fields[FIELDS]; /* NULL: it is not given */
	char *received_at;               /* the name of a member; NULL: none */
	struct buf member;               /* and how it begins: `"received_at":` */
	struct buf texts;                /* of the item that is being mapped */
	struct error error;              /* why the item was refused */
};

/** One message on its way. */
struct run {
	struct mapping *m;
	const struct mapping_input *in;
	const struct mapping_sink *sink;
	struct json_members item; /* that is being mapped, and its place */
	size_t item_at;
	struct json_members message;
	struct template_input from; /* these two */
};

/** A text in m->texts, which may move while others are added. */
struct place {
	size_t at;
	size_t n;
};

static const char *const keys[FIELDS] = {
	[CATEGORY] = "category", [ID] = "id", [NAME] = "name", [DATA] = "data", [TIME] = "time"};

static const char *
key_of(const struct mapping *m, enum field field)
{
	return field == CATEGORY && m->is_topic ? "topic" : keys[field];
}

static enum err
compile(struct mapping *m, enum field field, const char *text, struct error *error)
{
	enum err e = template_new(span_of(text), &m->fields[field], error);

	return e == OK ? OK : error_wrap(error, "%s", key_of(m, field));
}

/** What every name of a category or topic will begin with has to be the beginning of one. */
static enum err
compile_category(struct mapping *m, const struct conf_feed *f, struct error *error)
{
	const char *text = f->category;
	struct span beginning;
	bool is_all;
	enum err e;

	if (m->is_topic)
		text = f->topic;
	else if (text[0] == '\0')
		text = f->named.name;
	e = compile(m, CATEGORY, text, error);
	if (e != OK)
		return e;
	beginning = template_beginning(m->fields[CATEGORY], &is_all);
	return name_check(key_of(m, CATEGORY), beginning, !is_all, error);
}

static enum err
compile_data(struct mapping *m, const struct conf_feed *f, struct error *error)
{
	enum err e = compile(m, DATA, f->data, error);

	if (e != OK || template_is_place(m->fields[DATA]))
		return e;
	return error_set(error, ERR_INVALID_ARGUMENT,
		"data is one place and nothing else, such as \"{}\" or \"{/data}\"");
}

static enum err
compile_split(struct mapping *m, const struct conf_feed *f, struct error *error)
{
	struct span text = span_is(span_of(f->split), "{}") ? SPAN("") : span_of(f->split);
	enum err e;

	m->splits = f->split[0] != '\0';
	if (!m->splits)
		return OK;
	m->split_text = xstrndup(text.p, text.n);
	e = json_pointer_new(text, &m->split, error);
	return e == OK ? OK
		       : error_wrap(error, "split (\"{}\" for a message that is the array itself)");
}

static enum err
compile_where(struct mapping *m, const struct conf_feed *f, struct error *error)
{
	struct json_value value;
	struct json_fault fault;
	enum err e;

	if (f->where[0] == '\0')
		return OK;
	if (json_check(span_of(f->where), JSON_DEPTH_MAX, &value, &fault) != OK)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"where is a condition such as '{\"/type\":\"trade\"}': at byte %zu %s",
			fault.offset + 1, fault.what);
	e = where_new(value, &m->where, error);
	return e == OK ? OK : error_wrap(error, "where");
}

static enum err
compile_all(struct mapping *m, const struct conf_feed *f, struct error *error)
{
	enum err e = compile_where(m, f, error);

	if (e == OK)
		e = compile_split(m, f, error);
	if (e == OK)
		e = compile_category(m, f, error);
	if (e == OK)
		e = compile_data(m, f, error);
	if (e == OK && f->id[0] != '\0')
		e = compile(m, ID, f->id, error);
	if (e == OK && f->name[0] != '\0')
		e = compile(m, NAME, f->name, error);
	if (e == OK && f->time[0] != '\0')
		e = compile(m, TIME, f->time, error);
	return e;
}

enum err
mapping_new(const struct conf_feed *f, struct mapping **out, struct error *error)
{
	struct mapping *m = xnew(struct mapping);
	enum err e;

	m->is_topic = f->topic[0] != '\0';
	buf_init(&m->texts, TEXTS_MAX);
	buf_init(&m->member, SIZE_MAX / 2);
	if (f->received_at[0] != '\0') {
		m->received_at = xstrdup(f->received_at);
		json_add_string(&m->member, span_of(f->received_at));
		buf_add_char(&m->member, ':');
	}
	e = compile_all(m, f, error);
	if (e != OK) {
		mapping_free(m);
		return e;
	}
	*out = m;
	return OK;
}

void
mapping_free(struct mapping *m)
{
	if (m == NULL)
		return;
	for (int i = 0; i < FIELDS; i++)
		template_free(m->fields[i]);
	free(m->split);
	free(m->split_text);
	free(m->received_at);
	free(m->where);
	buf_fini(&m->member);
	buf_fini(&m->texts);
	free(m);
}

/** Tells that the item, or the message, is not mapped; m->error says why. */
static void
refuse(struct run *r, const char *key, struct span place)
{
	struct unmapped u = {key, place, r->m->error.text, r->item_at};

	r->sink->on_unmapped(r->sink->arg, &u);
}

/** A template had nothing at one of its places. */
static bool
refuse_place(struct run *r, enum field field, const struct template_fault *fault)
{
	const char *key = key_of(r->m, field);
	struct span place = fault->place;

	if (place.n == 0)
		place = r->m->splits ? SPAN("the item") : SPAN("the message");
	else if (span_is(place, "$"))
		place = SPAN("the message");
	error_set(&r->m->error, ERR_INVALID_ARGUMENT, "%s: %.*s %s", key, SPAN_FMT(place),
		fault->what);
	refuse(r, key, fault->place);
	return false;
}

/** What was filled in is not what it has to be. */
static bool
refuse_text(struct run *r, enum field field)
{
	refuse(r, key_of(r->m, field), SPAN(""));
	return false;
}

/** Appends what a template comes to. */
static bool
fill(struct run *r, enum field field, struct place *place)
{
	struct mapping *m = r->m;
	struct template_fault fault;

	place->at = m->texts.n;
	if (m->fields[field] == NULL)
		return true;
	if (!template_fill(m->fields[field], &r->from, &m->texts, &fault))
		return refuse_place(r, field, &fault);
	if (m->texts.failed) {
		error_set(&m->error, ERR_INVALID_ARGUMENT, "%s: the text is too long",
			key_of(m, field));
		return refuse_text(r, field);
	}
	place->n = m->texts.n - place->at;
	return true;
}

static struct span
text_at(const struct mapping *m, const struct place *place)
{
	return place->n > 0 ? (struct span){m->texts.p + place->at, place->n}
			    : (struct span){"", 0};
}

static bool
fill_category(struct run *r, struct place *place)
{
	struct mapping *m = r->m;

	if (!fill(r, CATEGORY, place))
		return false;
	if (name_check(key_of(m, CATEGORY), text_at(m, place), false, &m->error) != OK)
		return refuse_text(r, CATEGORY);
	return true;
}

static bool
fill_id(struct run *r, struct place *place)
{
	struct mapping *m = r->m;

	if (!fill(r, ID, place))
		return false;
	if (m->fields[ID] != NULL && name_check_id("id", text_at(m, place), false, &m->error) != OK)
		return refuse_text(r, ID);
	return true;
}

static bool
fill_name(struct run *r, struct place *place)
{
	struct mapping *m = r->m;
	struct span text;

	if (!fill(r, NAME, place))
		return false;
	text = text_at(m, place);
	if (text.n <= RECORD_NAME_MAX && memchr(text.p, '\0', text.n) == NULL)
		return true;
	error_set(&m->error, ERR_INVALID_ARGUMENT, "name has at most %d bytes, and no NUL",
		RECORD_NAME_MAX);
	return refuse_text(r, NAME);
}

/** A number since 1970, of seconds, milliseconds, microseconds or nanoseconds: by its size they
 * cannot be confused in centuries. Terminated. */
static bool
parse_number(struct span text, int64_t *ms)
{
	double number;

	if (text.n == 0 || strspn(text.p, "0123456789.eE+-") != text.n || text.p[0] < '0' ||
		text.p[0] > '9')
		return false;
	number = strtod(text.p, NULL);
	if (number < SECONDS_MAX)
		number *= 1e3;
	else if (number >= NANOSECONDS_MAX)
		return false;
	else if (number >= MICROSECONDS_MAX)
		number /= 1e6;
	else if (number >= MILLISECONDS_MAX)
		number /= 1e3;
	*ms = llround(number);
	return true;
}

/** Terminated. What was before 1970 was not sent now. */
static bool
parse_time(struct span text, int64_t *ms)
{
	return (time_parse(text, ms) || parse_number(text, ms)) && *ms > 0;
}

static bool
fill_time(struct run *r, int64_t *ms)
{
	struct mapping *m = r->m;
	struct place place = {.n = 0};
	struct span text;
	int64_t time_ms;

	*ms = r->in->now_ms;
	if (m->fields[TIME] == NULL)
		return true;
	if (!fill(r, TIME, &place))
		return false;
	buf_add_char(&m->texts, '\0');
	text = text_at(m, &place);
	if (m->texts.failed || !parse_time(text, &time_ms)) {
		error_set(&m->error, ERR_INVALID_ARGUMENT,
			"time: it is neither RFC 3339 nor a number, since 1970");
		return refuse_text(r, TIME);
	}
	if (time_ms < *ms)
		*ms = time_ms;
	return true;
}

/** Only what has more bytes than allowed is counted without its white space. */
static bool
is_small_enough(const struct run *r, struct json_value data)
{
	size_t extra = data.type == JSON_OBJECT ? mapping_extra(r->m) : 0;
	size_t max = (size_t)r->in->max_record;
	struct buf compact;
	bool fits;

	max -= extra < max ? extra : max;
	if (data.raw.n <= max)
		return true;
	buf_init(&compact, max);
	json_compact(data, &compact);
	fits = !compact.failed;
	buf_fini(&compact);
	return fits;
}

static bool
find_data(struct run *r, struct json_value *data)
{
	struct template_fault fault;

	if (!template_find(r->m->fields[DATA], &r->from, data, &fault))
		return refuse_place(r, DATA, &fault);
	if (is_small_enough(r, *data))
		return true;
	error_set(&r->m->error, ERR_LIMIT_EXCEEDED,
		"data has more than %lld bytes (store.max_record)", (long long)r->in->max_record);
	return refuse_text(r, DATA);
}

/** Whether data has a member of the name that is added: it is most often the item. */
static bool
has_received_at(struct run *r, struct json_value data)
{
	struct json_members other;
	struct json_value value;

	if (r->m->received_at == NULL)
		return false;
	if (data.raw.p == r->from.item->of.raw.p)
		return json_members_find(r->from.item, span_of(r->m->received_at), &value);
	json_members_start(&other, data);
	return json_members_find(&other, span_of(r->m->received_at), &value);
}

static void
map_item(struct run *r)
{
	struct mapping *m = r->m;
	struct mapped mapped = {.is_topic = m->is_topic};
	struct place category = {.n = 0}, id = {.n = 0}, name = {.n = 0};

	buf_reset(&m->texts);
	if (!fill_category(r, &category) || !fill_id(r, &id) || !fill_name(r, &name) ||
		!find_data(r, &mapped.data) || !fill_time(r, &mapped.time_ms))
		return;
	mapped.has_received_at = has_received_at(r, mapped.data);
	mapped.category = text_at(m, &category);
	mapped.id = text_at(m, &id);
	mapped.name = text_at(m, &name);
	r->sink->on_mapped(r->sink->arg, &mapped);
}

static void
map_items(struct run *r)
{
	struct mapping *m = r->m;
	struct span place = span_of(m->split_text);
	struct json_value items, item;
	struct json_walk w;
	bool is_there = json_pointer_find(m->split, r->message.of, &items);

	if (!is_there || items.type != JSON_ARRAY) {
		error_set(&m->error, ERR_INVALID_ARGUMENT, "split: %s is %s",
			place.n > 0 ? place.p : "the message", is_there ? "no array" : "not there");
		refuse(r, "split", place);
		return;
	}
	for (w = json_walk_start(items); json_array_next(&w, &item); r->item_at++) {
		json_members_start(&r->item, item);
		map_item(r);
	}
}

bool
mapping_run(struct mapping *m, const struct mapping_input *in, const struct mapping_sink *sink)
{
	struct json_value message;
	struct json_fault fault;
	struct run r;

	r.m = m;
	r.in = in;
	r.sink = sink;
	r.item_at = 0;
	if (json_check(in->text, MAPPING_DEPTH_MAX, &message, &fault) != OK) {
		error_set(&m->error, ERR_PARSE_ERROR, "the message is not JSON: at byte %zu %s",
			fault.offset + 1, fault.what);
		refuse(&r, NULL, SPAN(""));
		return true;
	}
	if (m->where != NULL && !where_matches(m->where, message.raw))
		return false;
	json_members_start(&r.message, message);
	r.from = (struct template_input){m->splits ? &r.item : &r.message, &r.message};
	if (m->splits)
		map_items(&r);
	else
		map_item(&r);
	return true;
}

size_t
mapping_extra(const struct mapping *m)
{
	/* A comma, and the digits of a number. */
	return m->member.n > 0 ? 1 + m->member.n + 20 : 0;
}

/** All but those of the name that is added, with a comma behind each. */
static void
add_other_members(const struct mapping *m, struct json_value object, struct buf *out)
{
	struct json_walk w = json_walk_start(object);
	struct json_value value;
	struct span key;

	buf_add_char(out, '{');
	while (json_object_next(&w, &key, &value)) {
		if (json_string_eq(key, span_of(m->received_at)))
			continue;
		buf_add_span(out, key);
		buf_add_char(out, ':');
		json_compact(value, out);
		buf_add_char(out, ',');
	}
}

/** The object without its end, ready for another member. */
static void
add_open_object(struct json_value object, struct buf *out)
{
	struct json_walk w = json_walk_start(object);

	object.raw.n--;
	json_compact(object, out);
	if (w.p < w.end)
		buf_add_char(out, ',');
}

void
mapping_add_data(
	const struct mapping *m, const struct mapped *r, int64_t received_ms, struct buf *out)
{
	if (m->member.n == 0 || r->data.type != JSON_OBJECT) {
		json_compact(r->data, out);
		return;
	}
	if (r->has_received_at)
		add_other_members(m, r->data, out);
	else
		add_open_object(r->data, out);
	buf_add_span(out, buf_span(&m->member));
	buf_add_int(out, received_ms);
	buf_add_char(out, '}');
}

struct span
mapping_reach(const struct mapping *m, bool *is_prefix)
{
	bool is_all;
	struct span beginning = template_beginning(m->fields[CATEGORY], &is_all);

	*is_prefix = !is_all;
	return beginning;
}

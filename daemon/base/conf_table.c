/* The table of options and their values: see conf_table.h. */

#include "daemon/base/conf_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/time.h"
#include "common/xalloc.h"

#define KIB INT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define DAY (INT64_C(86400) * 1000)

#define AT(member) offsetof(struct conf, member)

/* clang-format off */
const struct conf_option conf_options[] = {
	/* name, type, member, default, least, most, words allowed, needs a restart, help */
	{"store.path", CONF_TEXT, AT(store.path),
	 "\"/var/lib/sysrt/sysrt.db\"", 1, 4000, NULL, true,
	 "The file that holds everything."},
	{"store.durability", CONF_CHOICE, AT(store.durability),
	 "\"full\"", 0, 0, "normal full", true,
	 "full: a commit is on the disk before the reply. normal: survives a crash of the daemon "
	 "and a kill, may lose the last moments at power loss."},
	{"store.readers", CONF_COUNT, AT(store.readers), "2", 1, 64, NULL, true,
	 "Threads that read; with more than one, the first is for replay."},
	{"store.queue", CONF_COUNT, AT(store.queue), "256", 8, 65536, NULL, false,
	 "Operations waiting for the writer."},
	{"store.queue_bytes", CONF_SIZE, AT(store.queue_bytes),
	 "\"64MiB\"", MIB, 64 * GIB, NULL, false,
	 "Bytes of operations waiting for the writer."},
	{"store.max_record", CONF_SIZE, AT(store.max_record),
	 "\"1MiB\"", KIB, 256 * MIB, NULL, false,
	 "Data of one record."},
	{"store.tombstone_retention", CONF_DURATION, AT(store.tombstone_retention_ms),
	 "\"7d\"", 0, INT64_MAX, NULL, false,
	 "How long a deletion is remembered, so that a client that was away learns of it."},
	{"store.tombstone_max", CONF_COUNT, AT(store.tombstone_max),
	 "1000000", 0, INT64_MAX, NULL, false,
	 "Deletions remembered at most; older ones are forgotten early."},
	{"store.read_timeout", CONF_DURATION, AT(store.read_timeout_ms),
	 "\"10s\"", 1, DAY, NULL, false,
	 "A read that takes longer is answered TIMEOUT."},
	{"store.cache", CONF_SIZE, AT(store.cache_bytes), "\"64MiB\"", MIB, 64 * GIB, NULL, true,
	 "Page cache of the writer and of each reader, at most."},
	{"store.wal_limit", CONF_SIZE, AT(store.wal_limit),
	 "\"256MiB\"", MIB, 1024 * GIB, NULL, false,
	 "The write-ahead log is restarted at this size."},
	{"store.wal_hard_limit", CONF_SIZE, AT(store.wal_hard_limit),
	 "\"4GiB\"", MIB, INT64_MAX, NULL, false,
	 "Writes are refused while the write-ahead log is larger."},

	{"websocket.listen", CONF_TEXTS, AT(websocket.listen),
	 "[\"127.0.0.1:7117\", \"[::1]:7117\"]", 0, 16, NULL, true,
	 "Addresses to listen on: loopback only. Port 0: the kernel chooses, `status` says "
	 "which."},
	{"websocket.echo", CONF_BOOL, AT(websocket.echo), "false", 0, 0, NULL, false,
	 "Serve /echo, a plain WebSocket echo for testing proxies and clients."},
	{"websocket.max_sessions", CONF_COUNT, AT(websocket.max_sessions),
	 "10000", 1, 1000000, NULL, false,
	 "WebSocket sessions at a time."},
	{"websocket.max_message", CONF_SIZE, AT(websocket.max_message),
	 "\"4MiB\"", KIB, 256 * MIB, NULL, false,
	 "A message on either door."},
	{"websocket.max_input", CONF_SIZE, AT(websocket.max_input),
	 "\"256MiB\"", MIB, INT64_MAX, NULL, false,
	 "Unfinished messages of all sessions together, on either door."},
	{"websocket.send_queue", CONF_SIZE, AT(websocket.send_queue),
	 "\"256KiB\"", 4 * KIB, GIB, NULL, false,
	 "Unsent bytes of a session before its subscriptions fall back to replay."},
	{"websocket.heartbeat", CONF_DURATION, AT(websocket.heartbeat_ms),
	 "\"30s\"", 100, DAY, NULL, false,
	 "Between pings; a session that leaves three unanswered is closed."},
	{"websocket.origins", CONF_TEXTS, AT(websocket.origins), "[]", 0, 1000, NULL, false,
	 "Web pages that may connect, such as \"https://app.example.org\"."},
	{"websocket.hosts", CONF_TEXTS, AT(websocket.hosts), "[]", 0, 1000, NULL, false,
	 "Names under which clients may reach the listener, besides localhost."},
	{"websocket.max_in_flight", CONF_COUNT, AT(websocket.max_in_flight),
	 "256", 1, 65536, NULL, false,
	 "Requests of a session that wait for their answers; then it is not read."},
	{"websocket.max_subscriptions", CONF_COUNT, AT(websocket.max_subscriptions),
	 "100", 1, 100000, NULL, false,
	 "Subscriptions of one session."},
	{"websocket.max_header", CONF_SIZE, AT(websocket.max_header),
	 "\"16KiB\"", KIB, MIB, NULL, false,
	 "The head of an HTTP request."},
	{"websocket.header_timeout", CONF_DURATION, AT(websocket.header_timeout_ms),
	 "\"10s\"", 10, DAY, NULL, false,
	 "For the head of an HTTP request to arrive."},
	{"websocket.stall_timeout", CONF_DURATION, AT(websocket.stall_timeout_ms),
	 "\"60s\"", 100, DAY, NULL, false,
	 "A session that accepts nothing for so long is closed."},
	{"websocket.anonymous", CONF_TEXTS, AT(websocket.anonymous),
	 "[\"read\", \"write\", \"publish\"]", 0, 3, "read write publish", false,
	 "What a WebSocket client may do."},
	{"websocket.shutdown_delay", CONF_DURATION, AT(websocket.shutdown_delay_ms),
	 "\"0s\"", 0, DAY, NULL, false,
	 "How long /readyz says 503 before listening stops."},

	{"control.socket", CONF_TEXT, AT(control.socket),
	 "\"/run/sysrt/control.sock\"", 1, 100, NULL, true,
	 "The Unix socket for sysrtctl and scripts."},
	{"control.admin_group", CONF_TEXT, AT(control.admin_group),
	 "\"sysrt\"", 0, 100, NULL, false,
	 "Members may use the control socket, besides root and the daemon's own user."},
	{"control.max_per_uid", CONF_COUNT, AT(control.max_per_uid), "256", 1, 100000, NULL, false,
	 "Connections of one user to the control socket."},

	{"hub.recent", CONF_COUNT, AT(hub.recent), "1024", 0, 10000000, NULL, false,
	 "Newest changes kept in memory, for clients that fell a little behind."},
	{"hub.recent_bytes", CONF_SIZE, AT(hub.recent_bytes),
	 "\"16MiB\"", 64 * KIB, 64 * GIB, NULL, false,
	 "Bytes of them, at most."},

	{"log.filter", CONF_FILTER, AT(log.filter), "\"info\"", 1, 1000, NULL, false,
	 "Level, or levels per part: \"info,store=debug\". Levels: error warn info debug trace."},
	{"log.format", CONF_CHOICE, AT(log.format), "\"logfmt\"", 0, 0, "logfmt json", false,
	 "How log lines are written."},

	{"daemon.shutdown_timeout", CONF_DURATION, AT(daemon.shutdown_timeout_ms),
	 "\"30s\"", 100, DAY, NULL, false,
	 "For a stop; then what still waits is answered UNAVAILABLE."},
};
/* clang-format on */

const size_t conf_options_n = sizeof(conf_options) / sizeof(conf_options[0]);

const struct conf_option *
conf_option_find(struct span name)
{
	for (size_t i = 0; i < conf_options_n; i++)
		if (span_is(name, conf_options[i].name))
			return &conf_options[i];
	return NULL;
}

#define NAME_MAX_N 64

/** Levenshtein's distance; names longer than NAME_MAX_N are far from everything. */
static size_t
distance(struct span a, struct span b)
{
	size_t row[NAME_MAX_N + 1];

	if (a.n > NAME_MAX_N || b.n > NAME_MAX_N)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = diagonal + (a.p[i - 1] != b.p[j - 1]);
			size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diagonal = row[j];
			row[j] = change < least ? change : least;
		}
	}
	return row[b.n];
}

const char *
conf_option_nearest(struct span name)
{
	size_t best = name.n / 4 + 2;
	const char *nearest = NULL;

	for (size_t i = 0; i < conf_options_n; i++) {
		size_t d = distance(name, span_of(conf_options[i].name));

		if (d < best) {
			best = d;
			nearest = conf_options[i].name;
		}
	}
	return nearest;
}

static void *
value_of(const struct conf *c, const struct conf_option *o)
{
	return (char *)(uintptr_t)c + o->offset;
}

static void
list_clear(struct conf_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct conf_list){.v = NULL};
}

void
conf_clear(struct conf *c, const struct conf_option *o)
{
	if (o->type == CONF_TEXT || o->type == CONF_FILTER) {
		char **text = value_of(c, o);

		free(*text);
		*text = NULL;
	} else if (o->type == CONF_TEXTS) {
		list_clear(value_of(c, o));
	}
}

/** Which of the words of `choices` this is, or -1. */
static int
choice_of(const char *choices, struct span text)
{
	int i = 0;

	for (const char *p = choices; *p != '\0'; i++) {
		size_t n = strcspn(p, " ");

		if (span_eq(text, (struct span){p, n}))
			return i;
		p += n + (p[n] == ' ');
	}
	return -1;
}

static struct span
choice_text(const char *choices, int i)
{
	const char *p = choices;

	while (i-- > 0)
		p += strcspn(p, " ") + 1;
	return (struct span){p, strcspn(p, " ")};
}

static enum err
wrong_type(const struct conf_option *o, struct error *error)
{
	static const char *const wanted[] = {
		[CONF_TEXT] = "a string",
		[CONF_BOOL] = "true or false",
		[CONF_COUNT] = "an integer",
		[CONF_SIZE] = "a size such as \"64KiB\", or an integer of bytes",
		[CONF_DURATION] = "a string with a unit such as \"30s\"",
		[CONF_CHOICE] = "a string",
		[CONF_TEXTS] = "a string or an array of strings",
		[CONF_FILTER] = "a string",
	};

	if (o->type == CONF_CHOICE)
		return error_set(
			error, ERR_CONFIG_ERROR, "%s must be one of: %s", o->name, o->choices);
	return error_set(error, ERR_CONFIG_ERROR, "%s must be %s%s", o->name, wanted[o->type],
		o->max == INT64_MAX ? ", or \"unlimited\"" : "");
}

static void
format_number(const struct conf_option *o, int64_t value, char out[TIME_TEXT_SIZE])
{
	if (value == CONF_UNLIMITED)
		snprintf(out, TIME_TEXT_SIZE, "unlimited");
	else if (o->type == CONF_SIZE)
		size_format(value, out);
	else if (o->type == CONF_DURATION)
		duration_format(value, out);
	else
		snprintf(out, TIME_TEXT_SIZE, "%" PRId64, value);
}

static enum err
set_number(struct conf *c, const struct conf_option *o, int64_t value, struct error *error)
{
	char least[TIME_TEXT_SIZE], most[TIME_TEXT_SIZE];

	if (value < o->min || value > o->max) {
		format_number(o, o->min, least);
		format_number(o, o->max, most);
		return error_set(error, ERR_CONFIG_ERROR, "%s must be between %s and %s", o->name,
			least, most);
	}
	*(int64_t *)value_of(c, o) = value;
	return OK;
}

/** Text from outside is a count if JSON would call it an integer. */
static bool
count_parse(struct span text, int64_t *value)
{
	struct json_value number;
	struct json_fault fault;

	return json_check(text, 0, &number, &fault) == OK && number.type == JSON_NUMBER &&
	       json_number_int64(number.raw, value);
}

/** A number as a text: with a unit, plain, or "unlimited". */
static enum err
set_number_text(struct conf *c, const struct conf_option *o, struct span text, struct error *error)
{
	int64_t value;
	bool is_valid;

	if (o->max == INT64_MAX && span_is(text, "unlimited"))
		return set_number(c, o, CONF_UNLIMITED, error);
	if (o->type == CONF_SIZE)
		is_valid = size_parse(text, &value);
	else if (o->type == CONF_DURATION)
		is_valid = duration_parse(text, &value);
	else
		is_valid = count_parse(text, &value);
	return is_valid ? set_number(c, o, value, error) : wrong_type(o, error);
}

static enum err
check_word(const struct conf_option *o, struct span text, struct error *error)
{
	if (memchr(text.p, '\0', text.n) != NULL)
		return wrong_type(o, error);
	if (o->choices != NULL && choice_of(o->choices, text) < 0)
		return error_set(error, ERR_CONFIG_ERROR, "%s: \"%.*s\" is none of: %s", o->name,
			SPAN_FMT(text), o->choices);
	return OK;
}

static enum err
set_word(struct conf *c, const struct conf_option *o, struct span text, struct error *error)
{
	char **value = value_of(c, o);

	if (memchr(text.p, '\0', text.n) != NULL)
		return wrong_type(o, error);
	if ((int64_t)text.n < o->min || (int64_t)text.n > o->max)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s must have %" PRId64 " to %" PRId64 " bytes", o->name, o->min, o->max);
	if (o->type == CONF_FILTER && log_check_filter(text, error) != OK)
		return error_wrap(error, "%s", o->name);
	free(*value);
	*value = xstrndup(text.p, text.n);
	return OK;
}

static enum err
set_choice(struct conf *c, const struct conf_option *o, struct span text, struct error *error)
{
	int i = choice_of(o->choices, text);

	if (i < 0)
		return wrong_type(o, error);
	*(unsigned *)value_of(c, o) = (unsigned)i;
	return OK;
}

static enum err
list_append_text(
	struct conf_list *l, const struct conf_option *o, struct span text, struct error *error)
{
	enum err e = check_word(o, text, error);

	if (e != OK)
		return e;
	if ((int64_t)l->n >= o->max)
		return error_set(error, ERR_CONFIG_ERROR, "%s: at most %" PRId64 " of them",
			o->name, o->max);
	l->v = xrealloc(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = xstrndup(text.p, text.n);
	return OK;
}

/** Takes over a list that was read without an error, drops it otherwise. */
static enum err
finish_list(struct conf *c, const struct conf_option *o, struct conf_list *l, enum err e)
{
	if (e != OK) {
		list_clear(l);
		return e;
	}
	list_clear(value_of(c, o));
	*(struct conf_list *)value_of(c, o) = *l;
	return OK;
}

static enum err
set_list_toml(struct conf *c, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	const struct toml_node *item = node->type == TOML_ARRAY ? node->first : node;
	struct conf_list l = {.v = NULL};
	enum err e = OK;

	for (; item != NULL && e == OK; item = node->type == TOML_ARRAY ? item->next : NULL) {
		if (item->type != TOML_STRING)
			e = wrong_type(o, error);
		else
			e = list_append_text(&l, o, item->text, error);
	}
	return finish_list(c, o, &l, e);
}

/** A list in the environment: parted by commas. */
static enum err
set_list_text(struct conf *c, const struct conf_option *o, struct span text, struct error *error)
{
	struct conf_list l = {.v = NULL};
	const char *p = text.p, *end = text.p + text.n;
	enum err e = OK;

	while (p < end && e == OK) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma != NULL ? comma : end;

		e = list_append_text(&l, o, (struct span){p, (size_t)(stop - p)}, error);
		p = comma != NULL ? comma + 1 : end;
	}
	return finish_list(c, o, &l, e);
}

enum err
conf_set_text(struct conf *c, const struct conf_option *o, struct span text, struct error *error)
{
	switch (o->type) {
	case CONF_TEXT:
	case CONF_FILTER:
		return set_word(c, o, text, error);
	case CONF_CHOICE:
		return set_choice(c, o, text, error);
	case CONF_TEXTS:
		return set_list_text(c, o, text, error);
	case CONF_BOOL:
		if (!span_is(text, "true") && !span_is(text, "false"))
			return wrong_type(o, error);
		*(bool *)value_of(c, o) = span_is(text, "true");
		return OK;
	case CONF_COUNT:
	case CONF_SIZE:
	case CONF_DURATION:
		break;
	}
	return set_number_text(c, o, text, error);
}

enum err
conf_set_toml(struct conf *c, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	if (o->type == CONF_TEXTS)
		return set_list_toml(c, o, node, error);
	if (o->type == CONF_BOOL && node->type == TOML_BOOL) {
		*(bool *)value_of(c, o) = node->boolean;
		return OK;
	}
	if ((o->type == CONF_COUNT || o->type == CONF_SIZE) && node->type == TOML_INTEGER)
		return set_number(c, o, node->integer, error);
	if (node->type != TOML_STRING || o->type == CONF_BOOL ||
		(o->type == CONF_COUNT && !span_is(node->text, "unlimited")))
		return wrong_type(o, error);
	return conf_set_text(c, o, node->text, error);
}

void
conf_copy(struct conf *to, const struct conf *from, const struct conf_option *o)
{
	const struct conf_list *list = value_of(from, o);
	struct conf_list copy;

	switch (o->type) {
	case CONF_TEXT:
	case CONF_FILTER:
		conf_clear(to, o);
		*(char **)value_of(to, o) = xstrdup(*(char **)value_of(from, o));
		break;
	case CONF_TEXTS:
		conf_clear(to, o);
		copy = (struct conf_list){xnew_n(list->n + 1, char *), list->n};
		for (size_t i = 0; i < list->n; i++)
			copy.v[i] = xstrdup(list->v[i]);
		*(struct conf_list *)value_of(to, o) = copy;
		break;
	case CONF_BOOL:
		*(bool *)value_of(to, o) = *(bool *)value_of(from, o);
		break;
	case CONF_CHOICE:
		*(unsigned *)value_of(to, o) = *(unsigned *)value_of(from, o);
		break;
	case CONF_COUNT:
	case CONF_SIZE:
	case CONF_DURATION:
		*(int64_t *)value_of(to, o) = *(int64_t *)value_of(from, o);
		break;
	}
}

void
conf_add_value(const struct conf *c, const struct conf_option *o, struct buf *out)
{
	const struct conf_list *list = value_of(c, o);
	char text[TIME_TEXT_SIZE];
	int64_t number;

	switch (o->type) {
	case CONF_TEXT:
	case CONF_FILTER:
		json_add_string(out, span_of(*(char **)value_of(c, o)));
		break;
	case CONF_CHOICE:
		json_add_string(out, choice_text(o->choices, (int)*(unsigned *)value_of(c, o)));
		break;
	case CONF_BOOL:
		buf_addf(out, "%s", *(bool *)value_of(c, o) ? "true" : "false");
		break;
	case CONF_TEXTS:
		buf_add_char(out, '[');
		for (size_t i = 0; i < list->n; i++) {
			buf_addf(out, "%s", i > 0 ? ", " : "");
			json_add_string(out, span_of(list->v[i]));
		}
		buf_add_char(out, ']');
		break;
	case CONF_COUNT:
	case CONF_SIZE:
	case CONF_DURATION:
		number = *(int64_t *)value_of(c, o);
		format_number(o, number, text);
		if (o->type == CONF_COUNT && number != CONF_UNLIMITED)
			buf_addf(out, "%s", text);
		else
			json_add_string(out, span_of(text));
		break;
	}
}

static void
add_words(const char *choices, struct buf *out)
{
	for (int i = 0; *choices != '\0'; i++) {
		size_t n = strcspn(choices, " ");

		buf_addf(out, "%s\"%.*s\"", i > 0 ? ", " : "", (int)n, choices);
		choices += n + (choices[n] == ' ');
	}
}

void
conf_add_bounds(const struct conf_option *o, struct buf *out)
{
	char least[TIME_TEXT_SIZE], most[TIME_TEXT_SIZE];

	if (o->choices != NULL) {
		buf_addf(out, o->type == CONF_CHOICE ? "One of " : "Any of ");
		add_words(o->choices, out);
	} else if (o->type == CONF_TEXT || o->type == CONF_FILTER) {
		buf_addf(out, "%" PRId64 " to %" PRId64 " bytes", o->min, o->max);
	} else if (o->type == CONF_TEXTS) {
		buf_addf(out, "At most %" PRId64, o->max);
	} else if (o->type == CONF_BOOL) {
		buf_addf(out, "true or false");
	} else {
		format_number(o, o->min, least);
		format_number(o, o->max, most);
		buf_addf(out, o->max == INT64_MAX ? "At least %s, or \"%s\"" : "%s to %s", least,
			most);
	}
}

bool
conf_is_equal(const struct conf *a, const struct conf *b, const struct conf_option *o)
{
	struct buf x, y;
	bool equal;

	buf_init(&x, SIZE_MAX / 2);
	buf_init(&y, SIZE_MAX / 2);
	conf_add_value(a, o, &x);
	conf_add_value(b, o, &y);
	equal = span_eq(buf_span(&x), buf_span(&y));
	buf_fini(&x);
	buf_fini(&y);
	return equal;
}

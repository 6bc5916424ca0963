/*
 * The log. A line is put together on the stack and written with one write(2). A
 * value that is very long is cut, and a field that does not fit is left out, so
 * that a line always ends well. Values are escaped as in JSON in either format:
 * whatever bytes they hold, a line stays a line of valid UTF-8.
 *
 * The filter is behind a lock; most questions are answered without it, by the
 * loudest and the quietest level that it gives to any part.
 */

#include "common/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/time.h"
#include "common/utf8.h"

#define FILTER_MAX 1001
#define RULES_MAX  32
#define VALUE_MAX  1024 /* bytes of one value, which is up to six times as long when escaped */
#define LINE_SIZE  8192

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
	[LOG_TRACE] = "trace",
};

/** "store=debug"; part points into the text of the filter. */
struct rule {
	struct span part;
	enum log_level level;
};

struct filter {
	char text[FILTER_MAX];
	enum log_level base;
	struct rule rules[RULES_MAX];
	size_t rules_n;
};

static struct {
	pthread_mutex_t lock;
	struct filter filter;
	_Atomic enum log_level loudest;
	_Atomic enum log_level quietest;
	_Atomic enum log_format format;
} state = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.filter = {.text = "info", .base = LOG_INFO},
	.loudest = LOG_INFO,
	.quietest = LOG_INFO,
};

struct line {
	char bytes[LINE_SIZE];
	size_t n;
	bool is_json;
	bool overflowed;
};

/** Cuts the text at the first `at`: what stands before it is returned, what comes behind stays in
 * *rest (all of it is returned and *rest is emptied when there is none). */
static struct span
split(struct span *rest, char at)
{
	const char *hit = rest->n > 0 ? memchr(rest->p, at, rest->n) : NULL;
	struct span head = *rest;

	if (hit == NULL) {
		*rest = (struct span){0};
		return head;
	}
	head.n = (size_t)(hit - head.p);
	*rest = (struct span){hit + 1, rest->n - head.n - 1};
	return head;
}

static enum err
parse_level(struct span name, enum log_level *level, struct error *error)
{
	for (enum log_level l = LOG_ERROR; l <= LOG_TRACE; l++) {
		if (span_is(name, level_names[l])) {
			*level = l;
			return OK;
		}
	}
	return error_set(error, ERR_CONFIG_ERROR,
		"unknown log level \"%.*s\": it is error, warn, info, debug or trace",
		SPAN_FMT(name));
}

static enum err
add_rule(struct filter *f, struct span item, struct error *error)
{
	struct span level = item;
	struct span part = split(&level, '=');
	struct rule *rule = &f->rules[f->rules_n];

	if (item.n == 0)
		return error_set(error, ERR_CONFIG_ERROR, "the log filter has an empty item");
	if (level.p == NULL)
		return parse_level(item, &f->base, error);
	if (f->rules_n == RULES_MAX)
		return error_set(error, ERR_CONFIG_ERROR, "the log filter names more than %d parts",
			RULES_MAX);
	rule->part = span_trim(part);
	if (rule->part.n == 0)
		return error_set(error, ERR_CONFIG_ERROR,
			"the log filter's item \"%.*s\" names no part", SPAN_FMT(item));
	f->rules_n++;
	return parse_level(span_trim(level), &rule->level, error);
}

static enum err
parse_filter(struct filter *f, struct span text, struct error *error)
{
	struct span rest;

	if (text.n >= FILTER_MAX)
		return error_set(error, ERR_CONFIG_ERROR, "the log filter is longer than %d bytes",
			FILTER_MAX - 1);
	*f = (struct filter){.base = LOG_INFO};
	if (text.n > 0)
		memcpy(f->text, text.p, text.n);
	rest = (struct span){f->text, text.n};
	do {
		enum err e = add_rule(f, span_trim(split(&rest, ',')), error);

		if (e != OK)
			return e;
	} while (rest.p != NULL);
	return OK;
}

/** Copies a parsed filter; its rules point into its own text afterwards. */
static void
install_filter(const struct filter *from)
{
	struct filter *to = &state.filter;
	enum log_level loudest = from->base;
	enum log_level quietest = from->base;

	*to = *from;
	for (size_t i = 0; i < to->rules_n; i++) {
		struct rule *r = &to->rules[i];

		r->part.p = to->text + (from->rules[i].part.p - from->text);
		loudest = r->level > loudest ? r->level : loudest;
		quietest = r->level < quietest ? r->level : quietest;
	}
	atomic_store_explicit(&state.loudest, loudest, memory_order_relaxed);
	atomic_store_explicit(&state.quietest, quietest, memory_order_relaxed);
}

static enum log_level
level_of(const char *part)
{
	const struct filter *f = &state.filter;
	enum log_level level;

	pthread_mutex_lock(&state.lock);
	level = f->base;
	for (size_t i = 0; i < f->rules_n; i++)
		if (span_is(f->rules[i].part, part))
			level = f->rules[i].level;
	pthread_mutex_unlock(&state.lock);
	return level;
}

static void
add_bytes(struct line *l, const char *p, size_t n)
{
	if (l->overflowed || n > LINE_SIZE - 2 - l->n) { /* two for the end of the line */
		l->overflowed = true;
		return;
	}
	memcpy(l->bytes + l->n, p, n);
	l->n += n;
}

static void
add_text(struct line *l, const char *text)
{
	add_bytes(l, text, strlen(text));
}

/** One character at p, escaped; returns how many bytes of the value it was. */
static size_t
add_escaped(struct line *l, const char *p, const char *end)
{
	static const char *const short_forms[0x80] = {
		['"'] = "\\\"",
		['\\'] = "\\\\",
		['\b'] = "\\b",
		['\f'] = "\\f",
		['\n'] = "\\n",
		['\r'] = "\\r",
		['\t'] = "\\t",
	};
	unsigned char c = (unsigned char)*p;
	size_t n = utf8_next(p, end);
	char escape[8];

	if (n == 0) {
		add_text(l, "\xef\xbf\xbd"); /* U+FFFD */
		return 1;
	}
	if (n == 1 && short_forms[c] != NULL) {
		add_text(l, short_forms[c]);
	} else if (c < 0x20 || c == 0x7f) {
		snprintf(escape, sizeof(escape), "\\u%04x", c);
		add_text(l, escape);
	} else {
		add_bytes(l, p, n);
	}
	return n;
}

/** True if logfmt takes the value without quotes. */
static bool
is_bare(struct span value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return value.n > 0;
}

static void
add_quoted(struct line *l, struct span value)
{
	bool is_cut = value.n > VALUE_MAX;
	size_t n = is_cut ? utf8_cut(value.p, VALUE_MAX) : value.n;
	size_t i = 0;

	add_text(l, "\"");
	while (i < n)
		i += add_escaped(l, value.p + i, value.p + n);
	add_text(l, is_cut ? "...\"" : "\"");
}

static void
add_key(struct line *l, const char *key)
{
	if (l->is_json)
		add_text(l, l->n == 0 ? "{\"" : ",\"");
	else if (l->n > 0)
		add_text(l, " ");
	add_text(l, key);
	add_text(l, l->is_json ? "\":" : "=");
}

/** Adds the field whole or not at all. */
static void
add_field(struct line *l, const struct log_field *f)
{
	size_t start = l->n;
	char digits[24];

	l->overflowed = false;
	add_key(l, f->key);
	if (f->kind == LOG_FIELD_INT) {
		snprintf(digits, sizeof(digits), "%lld", (long long)f->i);
		add_text(l, digits);
	} else if (f->kind == LOG_FIELD_BOOL) {
		add_text(l, f->i != 0 ? "true" : "false");
	} else if (!l->is_json && f->s.n <= VALUE_MAX && is_bare(f->s)) {
		add_bytes(l, f->s.p, f->s.n);
	} else {
		add_quoted(l, f->s);
	}
	if (l->overflowed)
		l->n = start;
}

/** The message is for people: in logfmt it always stands in quotes. */
static void
add_message(struct line *l, const char *message)
{
	add_key(l, "msg");
	add_quoted(l, span_of(message));
}

enum err
log_set_filter(struct span filter, struct error *error)
{
	struct filter parsed;
	enum err e = parse_filter(&parsed, filter, error);

	if (e != OK)
		return e;
	pthread_mutex_lock(&state.lock);
	install_filter(&parsed);
	pthread_mutex_unlock(&state.lock);
	return OK;
}

enum err
log_check_filter(struct span filter, struct error *error)
{
	struct filter parsed;

	return parse_filter(&parsed, filter, error);
}

void
log_set_format(enum log_format format)
{
	atomic_store_explicit(&state.format, format, memory_order_relaxed);
}

const char *
log_filter(void)
{
	return state.filter.text;
}

bool
log_is_on(enum log_level level, const char *part)
{
	if (level > atomic_load_explicit(&state.loudest, memory_order_relaxed))
		return false;
	if (level <= atomic_load_explicit(&state.quietest, memory_order_relaxed))
		return true;
	return level <= level_of(part);
}

void
log_write(
	enum log_level level, const char *part, const char *message, const struct log_field *fields)
{
	struct line l; /* large: not worth clearing */
	int saved_errno = errno;
	char now[TIME_TEXT_SIZE];

	l.n = 0;
	l.overflowed = false;
	l.is_json = atomic_load_explicit(&state.format, memory_order_relaxed) == LOG_JSON;
	time_format(clock_wall_ms(), now);
	add_field(&l, &F_STR("time", now));
	add_field(&l, &F_STR("level", level_names[level]));
	add_field(&l, &F_STR("part", part));
	add_message(&l, message);
	for (const struct log_field *f = fields; f->kind != LOG_FIELD_END; f++)
		add_field(&l, f);
	if (l.is_json)
		l.bytes[l.n++] = '}';
	l.bytes[l.n++] = '\n';
	while (write(STDERR_FILENO, l.bytes, l.n) < 0 && errno == EINTR)
		continue;
	errno = saved_errno;
}

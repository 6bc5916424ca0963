/* Log entries: see preset.h. */

#include "ctl/preset.h"

#include <stdio.h>
#include <string.h>

#include "common/time.h"
#include "common/utf8.h"

#define TIME_MAX 64 /* bytes of a text that can be a time */

enum preset
preset_by_name(const char *name)
{
	if (name == NULL)
		return PRESET_NONE;
	return strcmp(name, "journald") == 0 ? PRESET_JOURNALD : PRESET_LOG;
}

const char *
preset_category(enum preset preset)
{
	return preset == PRESET_NONE ? NULL : preset == PRESET_JOURNALD ? "journal" : "log";
}

static bool
fail(char why[PRESET_WHY_SIZE], const char *text)
{
	snprintf(why, PRESET_WHY_SIZE, "%s", text);
	return false;
}

/** The place of a zone ("+01:00") in a time, or its end. */
static size_t
find_zone(const char *text, size_t n)
{
	for (size_t i = 10; i < n; i++)
		if (strchr("+-Zz", text[i]) != NULL)
			return i;
	return n;
}

bool
preset_parse_time(struct span text, int64_t *ms)
{
	char full[TIME_MAX + 16], *comma;
	size_t zone, n = text.n;

	if (time_parse(text, ms))
		return true;
	if (n < 10 || n > TIME_MAX || memchr(text.p, '\0', n) != NULL)
		return false;
	memcpy(full, text.p, n);
	full[n] = '\0';
	comma = strchr(full, ',');
	if (comma != NULL)
		*comma = '.';
	zone = find_zone(full, n);
	if (n == 10)
		snprintf(full + n, sizeof(full) - n, "T00:00:00Z");
	else if (zone == n)
		snprintf(full + n, sizeof(full) - n, "Z");
	else if (n - zone == 3)
		snprintf(full + n, sizeof(full) - n, ":00");
	else if (n - zone == 5)
		snprintf(full + zone + 3, sizeof(full) - zone - 3, ":%.2s", text.p + zone + 3);
	return time_parse(span_of(full), ms);
}

/** The first line of a text, as much as fits, behind what is there. */
static void
add_to_name(struct preset_record *r, struct json_value text)
{
	size_t n = strlen(r->name);

	if (text.type != JSON_STRING || n + 1 >= PRESET_NAME_SIZE)
		return;
	json_string_text(text.raw, r->name + n, PRESET_NAME_SIZE - n);
	r->name[n + strcspn(r->name + n, "\r\n")] = '\0';
}

/* The members of a log entry. */
enum log_member { LOG_TIMESTAMP, LOG_LEVEL, LOG_MESSAGE, LOG_FIELDS, LOG_MEMBERS };

static const char *const log_names[LOG_MEMBERS] = {"timestamp", "level", "message", "fields"};

static bool
read_log_members(
	struct json_value entry, struct json_value m[LOG_MEMBERS], char why[PRESET_WHY_SIZE])
{
	struct json_walk w = json_walk_start(entry);
	struct json_value value;
	struct span key;

	while (json_object_next(&w, &key, &value)) {
		size_t i = 0;

		while (i < LOG_MEMBERS && !json_string_is(key, log_names[i]))
			i++;
		if (i == LOG_MEMBERS || m[i].raw.n > 0) {
			snprintf(why, PRESET_WHY_SIZE, "%s member %.*s",
				i == LOG_MEMBERS ? "unknown" : "a second",
				(int)utf8_cut(key.p, key.n < 64 ? key.n : 64), key.p);
			return false;
		}
		m[i] = value;
	}
	return true;
}

static bool
read_log_time(struct json_value value, int64_t *ms)
{
	struct span text = {value.raw.p + 1, value.raw.n > 2 ? value.raw.n - 2 : 0};

	if (value.raw.n == 0)
		return false;
	if (value.type == JSON_NUMBER)
		return json_number_int64(value.raw, ms);
	return value.type == JSON_STRING && preset_parse_time(text, ms);
}

static bool
read_log(struct json_value entry, struct preset_record *out, char why[PRESET_WHY_SIZE])
{
	struct json_value m[LOG_MEMBERS] = {{.raw.n = 0}};
	struct json_out o = json_out_start(&out->data);
	int64_t ms;

	if (!read_log_members(entry, m, why))
		return false;
	if (!read_log_time(m[LOG_TIMESTAMP], &ms))
		return fail(why, "timestamp: must be there, milliseconds or a time of ISO 8601");
	if (m[LOG_MESSAGE].raw.n == 0 || m[LOG_MESSAGE].type != JSON_STRING)
		return fail(why, "message: must be there, a string");
	if (m[LOG_LEVEL].raw.n > 0 && m[LOG_LEVEL].type != JSON_STRING &&
		m[LOG_LEVEL].type != JSON_NUMBER)
		return fail(why, "level: must be a string or a number");
	if (m[LOG_FIELDS].raw.n > 0 && m[LOG_FIELDS].type != JSON_OBJECT)
		return fail(why, "fields: must be an object");
	json_begin_object(&o, NULL);
	json_put_int(&o, "timestamp", ms);
	for (size_t i = LOG_LEVEL; i < LOG_MEMBERS; i++)
		if (m[i].raw.n > 0)
			json_put_raw(&o, log_names[i], m[i].raw);
	json_end_object(&o);
	add_to_name(out, m[LOG_MESSAGE]);
	return true;
}

/* The fields of a journal entry that are looked at. */
enum journal_field {
	JOURNAL_CURSOR,
	JOURNAL_TIME,
	JOURNAL_PRIORITY,
	JOURNAL_MESSAGE,
	JOURNAL_IDENTIFIER,
	JOURNAL_COMMAND,
	JOURNAL_FIELDS
};

static const char *const journal_names[JOURNAL_FIELDS] = {
	[JOURNAL_CURSOR] = "__CURSOR",
	[JOURNAL_TIME] = "__REALTIME_TIMESTAMP",
	[JOURNAL_PRIORITY] = "PRIORITY",
	[JOURNAL_MESSAGE] = "MESSAGE",
	[JOURNAL_IDENTIFIER] = "SYSLOG_IDENTIFIER",
	[JOURNAL_COMMAND] = "_COMM",
};

/** The field of a key, or JOURNAL_FIELDS. */
static enum journal_field
find_field(struct span key)
{
	enum journal_field f = JOURNAL_CURSOR;

	while (f < JOURNAL_FIELDS && !json_string_is(key, journal_names[f]))
		f++;
	return f;
}

/** The name of a level of syslog, or NULL: then the field stays as it is. */
static const char *
level_name(struct json_value priority)
{
	static const char *const names[] = {
		"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};
	struct span raw = priority.raw;

	if (priority.type != JSON_STRING || raw.n != 3 || raw.p[1] < '0' || raw.p[1] > '7')
		return NULL;
	return names[raw.p[1] - '0'];
}

/** A string of digits, microseconds, as milliseconds. */
static bool
read_journal_time(struct json_value value, int64_t *ms)
{
	int64_t us;

	if (value.raw.n < 3 || value.type != JSON_STRING)
		return false;
	for (size_t i = 1; i < value.raw.n - 1; i++)
		if (value.raw.p[i] < '0' || value.raw.p[i] > '9')
			return false;
	if (!json_number_int64((struct span){value.raw.p + 1, value.raw.n - 2}, &us))
		return false;
	*ms = us / 1000;
	return true;
}

/** What is not text comes as an array of bytes. */
static void
put_message(struct json_out *o, struct json_value message)
{
	struct json_walk w = json_walk_start(message);
	struct json_value item;
	struct buf text;
	int64_t byte;

	if (message.type != JSON_ARRAY) {
		json_put_raw(o, "message", message.raw);
		return;
	}
	buf_init(&text, message.raw.n);
	while (json_array_next(&w, &item))
		if (item.type == JSON_NUMBER && json_number_int64(item.raw, &byte))
			buf_add_char(&text, (char)byte);
	json_put_string(o, "message", text.n > 0 ? buf_span(&text) : SPAN(""));
	buf_fini(&text);
}

/** All fields that have no place of their own, and those that could not be taken as they are. */
static void
put_fields(struct json_out *o, struct json_value entry, const char *level)
{
	struct json_walk w = json_walk_start(entry);
	struct json_value value;
	struct span key;

	json_begin_object(o, "fields");
	while (json_object_next(&w, &key, &value)) {
		enum journal_field f = find_field(key);

		if (f == JOURNAL_CURSOR || (f == JOURNAL_PRIORITY && level != NULL) ||
			(f == JOURNAL_MESSAGE && value.type == JSON_STRING))
			continue;
		json_put_raw(o, NULL, key);
		buf_add_char(o->buf, ':');
		buf_add_span(o->buf, value.raw);
	}
	json_end_object(o);
}

static bool
read_journal(struct json_value entry, struct preset_record *out, char why[PRESET_WHY_SIZE])
{
	struct json_value f[JOURNAL_FIELDS + 1] = {{.raw.n = 0}}, value;
	struct json_out o = json_out_start(&out->data);
	struct json_walk w = json_walk_start(entry);
	const char *level;
	struct span key;
	int64_t ms;

	while (json_object_next(&w, &key, &value))
		f[find_field(key)] = value;
	if (f[JOURNAL_CURSOR].raw.n == 0 || f[JOURNAL_CURSOR].type != JSON_STRING)
		return fail(why, "no entry of a journal: __CURSOR is missing");
	if (!read_journal_time(f[JOURNAL_TIME], &ms))
		return fail(why, "no entry of a journal: __REALTIME_TIMESTAMP is missing or wrong");
	level = f[JOURNAL_PRIORITY].raw.n > 0 ? level_name(f[JOURNAL_PRIORITY]) : NULL;
	json_begin_object(&o, NULL);
	json_put_int(&o, "timestamp", ms);
	if (level != NULL)
		json_put_str(&o, "level", level);
	if (f[JOURNAL_MESSAGE].raw.n > 0)
		put_message(&o, f[JOURNAL_MESSAGE]);
	put_fields(&o, entry, level);
	json_end_object(&o);
	out->id = f[JOURNAL_CURSOR].raw;
	add_to_name(out, f[f[JOURNAL_IDENTIFIER].raw.n > 0 ? JOURNAL_IDENTIFIER : JOURNAL_COMMAND]);
	if (out->name[0] != '\0' && f[JOURNAL_MESSAGE].type == JSON_STRING &&
		strlen(out->name) + 3 < PRESET_NAME_SIZE)
		snprintf(out->name + strlen(out->name), 3, ": ");
	add_to_name(out, f[JOURNAL_MESSAGE]);
	return true;
}

bool
preset_read(enum preset preset, struct json_value entry, struct preset_record *out,
	char why[PRESET_WHY_SIZE])
{
	out->id = SPAN("");
	out->name[0] = '\0';
	if (preset == PRESET_JOURNALD ? !read_journal(entry, out, why) : !read_log(entry, out, why))
		return false;
	return !out->data.failed || fail(why, "out of memory");
}

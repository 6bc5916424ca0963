/* Items become records: see mapping.h. */

#include "ctl/mapping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/resume.h"

#define ENTRY_BYTES ((size_t)256 << 20)

static const char *const mapped_names[MAPPED_COUNT] = {
	"category", "id", "name", "data", "ttl", "expires_at"};

static int
set_pointer(struct mapped_from *from, const char *shown, struct span text)
{
	struct error error = ERROR_NONE;

	free(from->pointer);
	*from = (struct mapped_from){.shown = shown};
	if (json_pointer_new(text, &from->pointer, &error) == OK)
		return 0;
	return ctl_usage("\"%s\": %s", shown, error.text);
}

/** A member by its name. */
static int
set_member(struct mapped_from *from, const char *name)
{
	struct buf pointer;
	int status;

	if (name == NULL)
		return 0;
	buf_init(&pointer, 2 * strlen(name) + 1);
	buf_add_char(&pointer, '/');
	for (const char *p = name; *p != '\0'; p++) {
		if (*p == '~' || *p == '/')
			buf_add_span(&pointer, *p == '~' ? SPAN("~0") : SPAN("~1"));
		else
			buf_add_char(&pointer, *p);
	}
	status = set_pointer(from, name, buf_span(&pointer));
	buf_fini(&pointer);
	return status;
}

/** "FIELD=POINTER" */
static int
set_mapped(struct mapping *m, const char *text)
{
	const char *equals = strchr(text, '=');
	struct span name = {text, equals != NULL ? (size_t)(equals - text) : 0};

	for (size_t i = 0; i < MAPPED_COUNT && equals != NULL; i++)
		if (span_is(name, mapped_names[i]))
			return set_pointer(&m->from[i], equals + 1, span_of(equals + 1));
	return ctl_usage("--map is FIELD=POINTER, such as id=/key, with category, id, name, data, "
			 "ttl or expires_at, not \"%s\"",
		text);
}

int
mapping_init(struct mapping *m, const struct ctl *c, bool is_table)
{
	const char *map;
	unsigned at = 0;
	int status;

	*m = (struct mapping){.preset = preset_by_name(ctl_option(c, "preset"))};
	buf_init(&m->entry.data, ENTRY_BYTES);
	m->category = ctl_option(c, "category");
	if (m->category == NULL)
		m->category = preset_category(m->preset);
	status = set_member(&m->from[MAPPED_ID], ctl_option(c, "id"));
	if (status == 0)
		status = set_member(&m->from[MAPPED_NAME], ctl_option(c, "name"));
	while (status == 0 && (map = ctl_option_next(c, "map", &at)) != NULL)
		status = set_mapped(m, map);
	m->makes_records = is_table || m->preset != PRESET_NONE;
	for (size_t i = 0; i < MAPPED_COUNT; i++)
		m->makes_records |= m->from[i].shown != NULL;
	return status;
}

void
mapping_fini(struct mapping *m)
{
	for (size_t i = 0; i < MAPPED_COUNT; i++)
		free(m->from[i].pointer);
	buf_fini(&m->entry.data);
}

const char *
mapping_missing(const struct mapping *m, struct json_value columns)
{
	struct json_value value;

	for (size_t i = 0; i < MAPPED_COUNT; i++)
		if (m->from[i].shown != NULL &&
			!json_pointer_find(m->from[i].pointer, columns, &value))
			return m->from[i].shown;
	return NULL;
}

/** What a stored record has and a put does not take. */
static bool
is_of_the_store(struct span key)
{
	return json_string_is(key, "seq") || json_string_is(key, "rev") ||
	       json_string_is(key, "created_at") || json_string_is(key, "updated_at");
}

/** True if the item can be sent as it is. */
static bool
is_as_put(struct mapping *m, struct json_value item)
{
	struct json_walk w = json_walk_start(item);
	struct json_value value;
	struct span key;
	bool has_id = false;

	while (json_object_next(&w, &key, &value)) {
		if (is_of_the_store(key))
			return false;
		has_id = has_id || json_string_is(key, "id");
	}
	m->leaves_ids |= !has_id && m->key == NULL;
	return has_id || m->key == NULL;
}

static void
put_key_id(struct mapping *m, struct json_out *o, int64_t offset)
{
	char id[RESUME_ID_SIZE];

	m->leaves_ids |= m->key == NULL;
	if (m->key == NULL)
		return;
	resume_make_id(m->key, offset, id);
	json_put_str(o, "id", id);
}

/** Appends the members that a put takes. */
static void
add_members(struct mapping *m, struct json_value item, int64_t offset, struct buf *out)
{
	struct json_walk w = json_walk_start(item);
	struct json_out o = json_out_start(out);
	struct json_value value;
	struct span key;
	bool has_id = false;

	json_begin_object(&o, NULL);
	while (json_object_next(&w, &key, &value)) {
		if (is_of_the_store(key))
			continue;
		has_id = has_id || json_string_is(key, "id");
		json_put_raw(&o, NULL, key);
		buf_add_char(out, ':');
		buf_add_span(out, value.raw);
	}
	if (!has_id)
		put_key_id(m, &o, offset);
	json_end_object(&o);
}

/** Texts may come from numbers, token for token. */
static bool
put_text(struct json_out *o, enum mapped field, struct json_value value, char why[MAPPING_WHY_SIZE])
{
	if (value.type == JSON_STRING) {
		json_put_raw(o, mapped_names[field], value.raw);
	} else if (value.type == JSON_NUMBER) {
		json_put_string(o, mapped_names[field], value.raw);
	} else {
		snprintf(why, MAPPING_WHY_SIZE, "the %s is neither a text nor a number",
			mapped_names[field]);
		return false;
	}
	return true;
}

/** A field that the item gives. An id and data must be there; where another one is not, it is what
 * it is by default. */
static bool
put_mapped(struct mapping *m, struct json_out *o, enum mapped field, struct json_value item,
	char why[MAPPING_WHY_SIZE])
{
	struct json_value value;
	bool is_there = json_pointer_find(m->from[field].pointer, item, &value);

	if (!is_there && (field == MAPPED_ID || field == MAPPED_DATA)) {
		snprintf(why, MAPPING_WHY_SIZE, "there is no \"%.64s\", which is the %s",
			m->from[field].shown, mapped_names[field]);
		return false;
	}
	if (is_there && field <= MAPPED_NAME && (field == MAPPED_ID || value.type != JSON_NULL))
		return put_text(o, field, value, why);
	if (is_there && (field == MAPPED_DATA || value.type != JSON_NULL))
		json_put_raw(o, mapped_names[field], value.raw);
	else if (field == MAPPED_CATEGORY && m->category != NULL)
		json_put_str(o, "category", m->category);
	return true;
}

/** A field that nothing is named for. */
static void
put_other(struct mapping *m, struct json_out *o, enum mapped field, struct json_value item,
	int64_t offset)
{
	bool is_entry = m->preset != PRESET_NONE;

	if (field == MAPPED_CATEGORY && m->category != NULL)
		json_put_str(o, "category", m->category);
	else if (field == MAPPED_ID && is_entry && m->entry.id.n > 0)
		json_put_raw(o, "id", m->entry.id);
	else if (field == MAPPED_ID)
		put_key_id(m, o, offset);
	else if (field == MAPPED_NAME && is_entry && m->entry.name[0] != '\0')
		json_put_str(o, "name", m->entry.name);
	else if (field == MAPPED_DATA)
		json_put_raw(o, "data", is_entry ? buf_span(&m->entry.data) : item.raw);
}

static bool
make_record(struct mapping *m, struct json_value item, int64_t offset, struct buf *out,
	char why[MAPPING_WHY_SIZE])
{
	struct json_out o = json_out_start(out);

	buf_reset(&m->entry.data);
	if (m->preset != PRESET_NONE && !preset_read(m->preset, item, &m->entry, why))
		return false;
	json_begin_object(&o, NULL);
	for (enum mapped field = 0; field < MAPPED_COUNT; field++) {
		if (m->from[field].shown == NULL)
			put_other(m, &o, field, item, offset);
		else if (!put_mapped(m, &o, field, item, why))
			return false;
	}
	json_end_object(&o);
	return true;
}

struct span
mapping_make(struct mapping *m, struct json_value item, int64_t offset, struct buf *out,
	char why[MAPPING_WHY_SIZE])
{
	if (!m->makes_records && is_as_put(m, item))
		return item.raw;
	buf_reset(out);
	if (!m->makes_records)
		add_members(m, item, offset, out);
	else if (!make_record(m, item, offset, out, why))
		return SPAN("");
	if (out->failed) {
		snprintf(why, MAPPING_WHY_SIZE, "too large");
		return SPAN("");
	}
	return buf_span(out);
}

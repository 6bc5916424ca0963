/* The members of an object: see json_members.h. */

#include "common/json_members.h"

void
json_members_start(struct json_members *m, struct json_value of)
{
	m->of = of;
	m->is_read = false;
	m->n = 0;
}

static void
read_members(struct json_members *m)
{
	m->is_read = true;
	m->rest = (struct json_walk){NULL, NULL};
	if (m->of.type != JSON_OBJECT)
		return;
	m->rest = json_walk_start(m->of);
	while (m->n < JSON_MEMBERS_MAX &&
		json_object_next(&m->rest, &m->v[m->n].key, &m->v[m->n].value))
		m->n++;
}

static bool
find_in_rest(const struct json_members *m, struct span name, struct json_value *value)
{
	struct json_walk w = m->rest;
	struct json_member member;
	bool is_there = false;

	while (json_object_next(&w, &member.key, &member.value)) {
		if (json_string_eq(member.key, name)) {
			*value = member.value;
			is_there = true;
		}
	}
	return is_there;
}

bool
json_members_find(struct json_members *m, struct span name, struct json_value *value)
{
	if (!m->is_read)
		read_members(m);
	if (find_in_rest(m, name, value))
		return true;
	for (size_t i = m->n; i > 0; i--) {
		if (json_string_eq(m->v[i - 1].key, name)) {
			*value = m->v[i - 1].value;
			return true;
		}
	}
	return false;
}

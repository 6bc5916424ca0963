/* Looking into what the daemon answered: see answer.h. */

#include "ctl/answer.h"

#include "common/xalloc.h"

struct json_value
answer_value(struct span json)
{
	struct json_value value = {.type = JSON_NULL};
	struct json_fault fault;

	if (json_check(json, JSON_DEPTH_MAX, &value, &fault) != OK)
		value = (struct json_value){.type = JSON_NULL};
	return value;
}

struct json_value
answer_member(struct json_value object, const char *name)
{
	struct json_value value;
	struct json_walk w;
	struct span key;

	if (object.type == JSON_OBJECT) {
		w = json_walk_start(object);
		while (json_object_next(&w, &key, &value))
			if (json_string_is(key, name))
				return value;
	}
	return (struct json_value){.type = JSON_NULL};
}

int64_t
answer_int(struct json_value object, const char *name, int64_t otherwise)
{
	struct json_value v = answer_member(object, name);
	int64_t number;

	return v.type == JSON_NUMBER && json_number_int64(v.raw, &number) ? number : otherwise;
}

char *
answer_dup(struct json_value object, const char *name)
{
	struct json_value v = answer_member(object, name);
	char *text;

	if (v.type != JSON_STRING)
		return NULL;
	/* An escape is never longer than what stands for it when it is shown. */
	text = xcalloc(1, v.raw.n + 1);
	json_string_text(v.raw, text, v.raw.n + 1);
	return text;
}

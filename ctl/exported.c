/* The lines of an export: see exported.h. */

#include "ctl/exported.h"

enum exported
exported_kind(struct json_value line)
{
	struct json_walk w = json_walk_start(line);
	struct json_value value;
	struct span key;

	for (bool is_first = true; json_object_next(&w, &key, &value); is_first = false) {
		if (value.type != JSON_STRING)
			continue;
		if (is_first && json_string_is(key, "export"))
			return json_string_is(value.raw, "end") ? EXPORTED_END : EXPORTED_BEGIN;
		if (json_string_is(key, "op") && json_string_is(value.raw, "delete"))
			return EXPORTED_DELETE;
	}
	return EXPORTED_RECORD;
}

#pragma once
/* The lines of an export: records as they are stored, what was deleted meanwhile, and the two lines
 * around them. Pure; any thread. */

#include "common/json.h"

enum exported {
	EXPORTED_RECORD, /* or any other object */
	EXPORTED_DELETE,
	EXPORTED_BEGIN,
	EXPORTED_END,
};

/** What an object is. */
enum exported exported_kind(struct json_value line);

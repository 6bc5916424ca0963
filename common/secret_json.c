/* A secret's value as JSON: see secret_json.h. */

#include "common/secret_json.h"

#include "common/base64.h"
#include "common/utf8.h"

/** Whether it can be a string of JSON as it is. */
static bool
is_text(struct span value)
{
	const char *p = value.p, *end = value.p + value.n;
	size_t n = 1;

	for (; p < end && n > 0 && *p != '\0'; p += n)
		n = utf8_next(p, end);
	return p == end && n > 0;
}

void
secret_put(struct json_out *o, struct span value)
{
	struct secret *text;

	if (is_text(value)) {
		json_put_str(o, "encoding", "text");
		json_put_string(o, "value", value);
		return;
	}
	text = secret_new(base64_size(value.n));
	base64_write(value, (char *)text->bytes);
	json_put_str(o, "encoding", "base64");
	json_put_str(o, "value", (const char *)text->bytes);
	secret_free(text);
}

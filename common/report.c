/* What a check or a repair has to tell: see report.h. */

#include "common/report.h"

#include <inttypes.h>

#include "common/json.h"

#define TEXT_BYTES 2048

static bool
find(struct json_value object, const char *name, struct json_value *out)
{
	struct json_walk w;
	struct span key;

	if (object.type != JSON_OBJECT)
		return false;
	w = json_walk_start(object);
	while (json_object_next(&w, &key, out))
		if (json_string_is(key, name))
			return true;
	return false;
}

static int64_t
number(struct json_value object, const char *name)
{
	struct json_value v;
	int64_t n = 0;

	if (find(object, name, &v) && v.type == JSON_NUMBER)
		json_number_int64(v.raw, &n);
	return n;
}

static void
text(struct json_value object, const char *name, char out[TEXT_BYTES])
{
	struct json_value v;

	out[0] = '\0';
	if (find(object, name, &v) && v.type == JSON_STRING)
		json_string_text(v.raw, out, TEXT_BYTES);
}

static struct json_value
parse(struct span json)
{
	struct json_value v = {
		JSON_NULL, {"", 0}
        };
	struct json_fault fault;

	if (json_check(json, JSON_DEPTH_MAX, &v, &fault) != OK)
		return (struct json_value){
			JSON_NULL, {"", 0}
                };
	return v;
}

static void
add_findings(struct buf *out, struct json_value object)
{
	char line[TEXT_BYTES];
	struct json_value list, v;
	struct json_walk w;

	if (!find(object, "findings", &list) || list.type != JSON_ARRAY)
		return;
	w = json_walk_start(list);
	while (json_array_next(&w, &v)) {
		json_string_text(v.raw, line, sizeof(line));
		buf_addf(out, "    %s\n", line);
	}
}

void
report_add_check(struct buf *out, struct span json)
{
	struct json_value report = parse(json), list, check, ok;
	char name[TEXT_BYTES];
	struct json_walk w;

	if (!find(report, "checks", &list) || list.type != JSON_ARRAY)
		return;
	w = json_walk_start(list);
	while (json_array_next(&w, &check)) {
		text(check, "check", name);
		if (find(check, "ok", &ok) && ok.type == JSON_TRUE)
			buf_addf(out, "%-9s ok\n", name);
		else
			buf_addf(out, "%-9s WRONG\n", name);
		add_findings(out, check);
	}
	if (find(report, "rebuilding", &ok) && ok.type == JSON_TRUE)
		buf_addf(out, "the search index is made anew, which goes on behind this\n");
}

static void
add_salvaged(struct buf *out, const char *path, struct json_value report)
{
	char kept[TEXT_BYTES];

	text(report, "kept", kept);
	buf_addf(out,
		"%s is a new file: %" PRId64 " records and %" PRId64
		" deletions were salvaged, of which %" PRId64 " are doubtful, and %" PRId64
		" earlier versions; %" PRId64 " rows are known to be lost\n",
		path, number(report, "records"), number(report, "tombstones"),
		number(report, "doubtful"), number(report, "versions"), number(report, "lost"));
	if (number(report, "unreadable_pages") > 0)
		buf_addf(out, "%" PRId64 " of %" PRId64 " pages could not be read\n",
			number(report, "unreadable_pages"), number(report, "pages"));
	buf_addf(out, "the damaged file is kept as %s\n", kept);
	add_findings(out, report);
}

void
report_add_repair(struct buf *out, const char *path, struct span json)
{
	struct json_value report = parse(json), how;
	char removed[TEXT_BYTES];

	if (!find(report, "how", &how))
		return;
	if (json_string_is(how.raw, "nothing"))
		buf_addf(out, "%s is whole: there is nothing to repair\n", path);
	else if (json_string_is(how.raw, "indexes"))
		buf_addf(out, "%s has new indexes: nothing was lost\n", path);
	else if (json_string_is(how.raw, "search"))
		buf_addf(out, "%s is whole, but for its search index\n", path);
	else
		add_salvaged(out, path, report);
	text(report, "removed", removed);
	if (removed[0] != '\0')
		buf_addf(out, "%s was removed: sysrtd makes the search index anew when it starts\n",
			removed);
}

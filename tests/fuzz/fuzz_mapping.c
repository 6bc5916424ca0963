/*
 * Fuzzes mappings: the input is a definition of a feed, a line feed, and a message. No
 * crash on any input; what is mapped could be written as it is: names are names, data is
 * JSON out of the message and not larger than allowed, no time is in the future. What is
 * not mapped says why. The same again is the same. A definition that is taken is its own
 * print.
 */

#include <stdint.h>
#include <stdlib.h>

#include "common/name.h"
#include "common/xalloc.h"
#include "daemon/base/conf.h"
#include "daemon/base/mapping.h"

#define NOW        INT64_C(1800000000000)
#define MAX_RECORD 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What a run told, and of what. */
struct tale {
	struct mapping *mapping;
	const struct conf_feed *feed;
	struct span message;
	struct buf text;
	size_t n;
};

static bool
is_json(struct span text, struct json_value *value)
{
	struct json_fault fault;

	return json_check(text, JSON_DEPTH_MAX, value, &fault) == OK;
}

static bool
is_in(struct span part, struct span whole)
{
	return part.p >= whole.p && part.p + part.n <= whole.p + whole.n;
}

static void
on_mapped(void *arg, const struct mapped *r)
{
	struct tale *t = arg;
	struct json_value value;
	struct span reach;
	struct buf data;
	bool is_prefix;

	must(name_check("c", r->category, false, NULL) == OK);
	reach = mapping_reach(t->mapping, &is_prefix);
	must(is_prefix ? span_has_prefix(r->category, reach) : span_eq(r->category, reach));
	must(r->is_topic == (t->feed->topic[0] != '\0'));
	must((r->id.n > 0) == (t->feed->id[0] != '\0'));
	must(r->id.n == 0 || name_check_id("id", r->id, false, NULL) == OK);
	must(r->name.n <= RECORD_NAME_MAX);
	must(r->time_ms > 0 && r->time_ms <= NOW);
	must(is_in(r->data.raw, t->message));
	buf_init(&data, r->data.raw.n + mapping_extra(t->mapping));
	mapping_add_data(t->mapping, r, NOW, &data);
	must(!data.failed && data.n <= MAX_RECORD);
	must(is_json(buf_span(&data), &value) && value.type == r->data.type);
	must(value.raw.n == data.n);
	buf_addf(&t->text, "%.*s %.*s %.*s %lld ", SPAN_FMT(r->category), SPAN_FMT(r->id),
		SPAN_FMT(r->name), (long long)r->time_ms);
	buf_add_span(&t->text, buf_span(&data));
	buf_fini(&data);
	t->n++;
}

static void
on_unmapped(void *arg, const struct unmapped *u)
{
	struct tale *t = arg;

	must(u->why[0] != '\0' && (u->item == 0 || t->feed->split[0] != '\0'));
	buf_addf(&t->text, "!%zu %s\n", u->item, u->why);
	t->n++;
}

static bool
run(struct tale *t)
{
	struct mapping_input in = {t->message, NOW, MAX_RECORD};
	struct mapping_sink sink = {on_mapped, on_unmapped, t};

	return mapping_run(t->mapping, &in, &sink);
}

static void
check_mapping(const struct conf_feed *f, struct span message)
{
	struct tale t = {.feed = f, .message = message};
	bool counts;
	struct span first;
	char *copy;
	size_t n;

	must(mapping_new(f, &t.mapping, NULL) == OK);
	buf_init(&t.text, SIZE_MAX / 2);
	counts = run(&t);
	must(counts || t.n == 0);
	must(!counts || t.n > 0 || f->split[0] != '\0');
	must(counts || f->where[0] != '\0');
	copy = buf_steal(&t.text, &n);
	first = (struct span){copy, n};
	buf_init(&t.text, SIZE_MAX / 2);
	must(run(&t) == counts && span_eq(buf_span(&t.text), first));
	buf_fini(&t.text);
	free(copy);
	mapping_free(t.mapping);
}

static void
check_print(const struct conf_feed *f)
{
	struct conf_feed *again = NULL;
	struct json_value value;
	struct json_out o;
	struct buf text;

	buf_init(&text, SIZE_MAX / 2);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	conf_feed_add(f, false, &o);
	json_end_object(&o);
	must(is_json(buf_span(&text), &value));
	must(conf_feed_read(SPAN("f"), value, &again, &(struct error){0}) == OK);
	must(conf_feed_is_equal(f, again));
	conf_feed_free(again);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	const char *line = size > 0 ? memchr(p, '\n', size) : NULL;
	struct error error = ERROR_NONE;
	struct conf_feed *f = NULL;
	struct json_value definition;

	if (line == NULL || !is_json((struct span){p, (size_t)(line - p)}, &definition))
		return 0;
	if (conf_feed_read(SPAN("f"), definition, &f, &error) != OK) {
		must(error.text[0] != '\0');
		return 0;
	}
	check_print(f);
	check_mapping(f, (struct span){line + 1, (size_t)(p + size - line - 1)});
	conf_feed_free(f);
	return 0;
}

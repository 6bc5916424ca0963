/*
 * The configuration: the table, every source of values and their order, reload,
 * and that each print parses back to what was printed. Runs in the top folder,
 * where the example file and tests/golden/conf are.
 */

#include <check.h>
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/conf.h"
#include "daemon/base/conf_table.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define GOLDEN      "tests/golden/conf/"

static char folder[64], path[96];
static struct error error;

static void
setup(void)
{
	error = ERROR_NONE;
	snprintf(folder, sizeof(folder), "/tmp/test_conf.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/config.toml", folder);
}

static void
teardown(void)
{
	unlink(path);
	rmdir(folder);
}

static void
write_file(const char *name, struct span text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text.p, text.n), (ssize_t)text.n);
	close(fd);
}

/** A whole file as a text to free. */
static char *
read_file(const char *name)
{
	FILE *f = fopen(name, "re");
	struct buf text;

	ck_assert_msg(f != NULL, "%s (run this in the top folder)", name);
	buf_init(&text, 1 << 20);
	for (int c; (c = fgetc(f)) != EOF;)
		buf_add_char(&text, (char)c);
	fclose(f);
	buf_add_char(&text, '\0');
	return buf_steal(&text, &(size_t){0});
}

static struct conf *
load(const struct conf_sources *from)
{
	struct conf *c = NULL;

	ck_assert_msg(conf_load(from, &c, &error) == OK, "%s", error.text);
	return c;
}

static struct conf *
load_file(const char *name)
{
	return load(&(struct conf_sources){.file = name, .is_file_required = true});
}

static struct conf *
load_text(struct span text)
{
	write_file(path, text);
	return load_file(path);
}

static const char *
table_difference(const struct conf *a, const struct conf *b, const struct conf_section *s)
{
	const struct conf_tables *x = conf_tables_of(a, s), *y = conf_tables_of(b, s);

	if (x->n != y->n)
		return s->name;
	for (size_t i = 0; i < x->n; i++) {
		if (strcmp(conf_tables_at(x, i)->name, conf_tables_at(y, i)->name) != 0)
			return conf_tables_at(x, i)->name;
		for (size_t row = 0; row < s->options_n; row++)
			if (!conf_is_equal(x->v[i], y->v[i], &s->options[row]))
				return s->options[row].name;
	}
	return NULL;
}

/** The first option in which they differ, or NULL. */
static const char *
difference(const struct conf *a, const struct conf *b)
{
	const char *name = NULL;

	for (size_t i = 0; i < conf_options_n; i++)
		if (!conf_is_equal(a, b, &conf_options[i]))
			return conf_options[i].name;
	for (size_t i = 0; i < conf_sections_n && name == NULL; i++)
		name = table_difference(a, b, &conf_sections[i]);
	return name;
}

static void
expect_equal(const struct conf *a, const struct conf *b)
{
	const char *name = difference(a, b);

	ck_assert_msg(name == NULL, "they differ in %s", name);
}

/** Frees the configuration; its print must be this file, and must parse to the same again. */
static void
expect_print(struct conf *c, const char *name)
{
	struct buf print;
	char *golden = read_file(name);
	struct conf *again;

	buf_init(&print, 1 << 20);
	conf_add_effective(c, &print);
	ck_assert_msg(span_is(buf_span(&print), golden), "%.*s", SPAN_FMT(buf_span(&print)));
	again = load_text(buf_span(&print));
	expect_equal(c, again);
	conf_free(again);
	conf_free(c);
	buf_fini(&print);
	free(golden);
}

static size_t
section_length(const char *name)
{
	return strcspn(name, ".");
}

START_TEST(the_table_is_whole)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];
		size_t help_n = strlen(o->help);

		ck_assert_ptr_eq(conf_option_find(span_of(o->name)), o);
		ck_assert_uint_lt(section_length(o->name), strlen(o->name) - 1);
		ck_assert_int_le(o->min, o->max);
		ck_assert_msg(help_n > 1 && o->help[help_n - 1] == '.', "%s", o->name);
		ck_assert_msg(i == 0 || o[-1].offset < o->offset, "%s: order", o->name);
	}
}
END_TEST

START_TEST(the_sections_are_whole)
{
	for (size_t i = 0; i < conf_sections_n; i++) {
		const struct conf_section *s = &conf_sections[i];

		ck_assert_ptr_eq(conf_section_find(span_of(s->name)), s);
		ck_assert_int_eq(s->help[strlen(s->help) - 1], '.');
		for (size_t row = 0; row < s->options_n; row++) {
			const struct conf_option *o = &s->options[row];

			ck_assert_ptr_eq(conf_key_find(s, span_of(o->name)), o);
			ck_assert_uint_ge(o->offset, sizeof(struct conf_named));
			ck_assert_uint_lt(o->offset, s->size);
			ck_assert_int_eq(o->help[strlen(o->help) - 1], '.');
			ck_assert_msg(!o->needs_restart, "%s: a reload takes all", o->name);
		}
	}
}
END_TEST

START_TEST(defaults)
{
	struct conf *c = conf_new();

	ck_assert_str_eq(c->store.path, "/var/lib/sysrt/sysrt.db");
	ck_assert_int_eq(c->store.durability, DURABILITY_FULL);
	ck_assert_int_eq(c->store.readers, 2);
	ck_assert_int_eq(c->store.max_record, 1 << 20);
	ck_assert_int_eq(c->store.tombstone_retention_ms, INT64_C(7) * 86400 * 1000);
	ck_assert_int_eq(c->store.wal_hard_limit, INT64_C(4) << 30);
	ck_assert_uint_eq(c->websocket.listen.n, 2);
	ck_assert_str_eq(c->websocket.listen.v[0], "127.0.0.1:7117");
	ck_assert_str_eq(c->websocket.listen.v[1], "[::1]:7117");
	ck_assert(!c->websocket.echo);
	ck_assert_int_eq(c->websocket.stall_timeout_ms, 60000);
	ck_assert_uint_eq(c->websocket.origins.n, 0);
	ck_assert_uint_eq(c->websocket.anonymous.n, 3);
	ck_assert_str_eq(c->control.socket, "/run/sysrt/control.sock");
	ck_assert_int_eq(c->log.format, LOG_LOGFMT);
	ck_assert_int_eq(conf_category(c, SPAN("any"))->history.count, 0);
	ck_assert_int_eq(conf_category(c, SPAN("any"))->ttl_ms, CONF_UNLIMITED);
	ck_assert_int_eq(conf_category(c, SPAN("any"))->max_records, CONF_UNLIMITED);
	ck_assert_int_eq(conf_category(c, SPAN("any"))->search, SEARCH_WORDS);
	conf_free(c);
	conf_free(NULL);
}
END_TEST

START_TEST(only_what_must_needs_a_restart)
{
	static const char *const names[] = {"store.path", "store.durability", "store.readers",
		"store.cache", "websocket.listen", "control.socket"};
	size_t found = 0;

	for (size_t i = 0; i < conf_options_n; i++)
		if (conf_options[i].needs_restart)
			ck_assert_str_eq(conf_options[i].name, names[found++]);
	ck_assert_uint_eq(found, COUNT_OF(names));
}
END_TEST

START_TEST(the_nearest_name)
{
	static const struct {
		const char *name, *nearest;
	} cases[] = {
		{"stor.path",            "store.path"         },
		{"store.paht",           "store.path"         },
		{"log.fillter",          "log.filter"         },
		{"websocket.heart_beat", "websocket.heartbeat"},
		{"x",                    NULL                 },
		{"nothing.like_this",    NULL                 },
		{"",		     NULL                 },
	};
	char longest[400];

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		ck_assert_pstr_eq(conf_option_nearest(span_of(cases[i].name)), cases[i].nearest);
	memset(longest, 'x', sizeof(longest));
	ck_assert_ptr_null(conf_option_nearest((struct span){longest, sizeof(longest)}));
}
END_TEST

START_TEST(the_example_file_is_the_defaults)
{
	struct conf *standard = conf_new(), *c = load_file("config.example.toml");
	char *example = read_file("config.example.toml");
	struct buf print;

	expect_equal(standard, c);
	buf_init(&print, 1 << 20);
	conf_add_defaults(&print);
	ck_assert(span_is(buf_span(&print), example));
	buf_fini(&print);
	free(example);
	conf_free(c);
	conf_free(standard);
}
END_TEST

static void
expect_sensors(const struct conf_category *c)
{
	ck_assert_int_eq(c->history.count, CONF_UNLIMITED);
	ck_assert_int_eq(c->history.age_ms, INT64_C(7) * 86400 * 1000);
	ck_assert_int_eq(c->ttl_ms, 3600 * 1000);
	ck_assert_int_eq(c->max_records, 1000);
	ck_assert_int_eq(c->max_data, 64 << 10);
	ck_assert_int_eq(c->search, SEARCH_TRIGRAM);
}

START_TEST(every_option_can_be_set)
{
	struct conf *standard = conf_new(), *c = load_file(GOLDEN "every-option.toml");

	for (size_t i = 0; i < conf_options_n; i++)
		ck_assert_msg(!conf_is_equal(standard, c, &conf_options[i]), "%s was not set",
			conf_options[i].name);
	expect_sensors(conf_category(c, SPAN("sensor.a")));
	for (size_t row = 0; row < conf_sections[0].options_n; row++)
		ck_assert_msg(!conf_is_equal(conf_category(c, SPAN("sensor.a")),
				      c->categories.standard, &conf_sections[0].options[row]),
			"%s was not set", conf_sections[0].options[row].name);
	ck_assert_str_eq(c->store.path, "/srv/a \"quoted\" p\303\244th.db");
	ck_assert_int_eq(c->store.tombstone_max, CONF_UNLIMITED);
	ck_assert_int_eq(c->store.read_timeout_ms, 90000);
	ck_assert_int_eq(c->store.cache_bytes, 100000000);
	ck_assert_int_eq(c->websocket.heartbeat_ms, 1500);
	conf_free(standard);
	expect_print(c, GOLDEN "every-option.effective");
}
END_TEST

START_TEST(the_folder_comes_behind_the_file)
{
	expect_print(load_file(GOLDEN "order/config.toml"), GOLDEN "order/effective");
}
END_TEST

static int64_t
random_between(int64_t least, int64_t most)
{
	uint64_t r = (uint64_t)random() << 40 ^ (uint64_t)random() << 20 ^ (uint64_t)random();

	r >>= random() % 64; /* small ones as often as large ones */
	return (int64_t)((uint64_t)least + r % ((uint64_t)most - (uint64_t)least + 1));
}

START_TEST(any_numbers_parse_back)
{
	for (int round = 0; round < 200; round++) {
		struct conf *c = conf_new(), *again;
		struct buf print;

		for (size_t i = 0; i < conf_options_n; i++) {
			const struct conf_option *o = &conf_options[i];
			int64_t *value = (int64_t *)(void *)((char *)c + o->offset);

			if (o->type == CONF_COUNT || o->type == CONF_SIZE ||
				o->type == CONF_DURATION)
				*value = random_between(o->min, o->max);
		}
		buf_init(&print, 1 << 20);
		conf_add_effective(c, &print);
		again = load_text(buf_span(&print));
		expect_equal(c, again);
		conf_free(again);
		conf_free(c);
		buf_fini(&print);
	}
}
END_TEST

#define NAME_LETTERS 3

/** A short name out of few letters, so that many begin alike. */
static size_t
random_name(char *out)
{
	size_t n = 1 + (size_t)random() % 6;

	for (size_t i = 0; i < n; i++)
		out[i] = (char)('a' + random() % NAME_LETTERS);
	return n;
}

static bool
fits(const struct name_pattern *n, struct span name)
{
	return n->is_prefix ? span_has_prefix(name, n->text) : span_eq(n->text, name);
}

/** The longest name that fits, an exact one before a prefix as long, by looking at them all. */
static const struct conf_named *
longest(const struct conf_tables *t, struct span name)
{
	const struct name_pattern *best = NULL;

	for (size_t i = 0; i < t->n; i++) {
		const struct name_pattern *p = t->v[i];

		if (fits(p, name) && (best == NULL || p->text.n > best->text.n ||
					     (p->text.n == best->text.n && best->is_prefix)))
			best = p;
	}
	return best != NULL ? (const struct conf_named *)(const void *)best : t->standard;
}

START_TEST(the_longest_name_holds)
{
	for (int round = 0; round < 200; round++) {
		const struct conf_section *s = conf_section_find(SPAN("category"));
		struct conf *c = conf_new();
		struct conf_named *n;
		char name[8];

		for (long i = random() % 60; i > 0; i--) {
			size_t length = random_name(name);

			if (random() % 2 == 0)
				name[length++] = '*';
			ck_assert_int_eq(conf_tables_get(&c->categories, s,
						 (struct span){name, length}, &n, &error),
				OK);
		}
		for (int i = 0; i < 100; i++) {
			struct span text = {name, random_name(name)};

			ck_assert_ptr_eq(
				&conf_category(c, text)->named, longest(&c->categories, text));
		}
		conf_free(c);
	}
}
END_TEST

/** The member of the option's object, as cJSON prints it; to free. */
static char *
member_of(const cJSON *options, const char *name, const char *key)
{
	const cJSON *option;

	cJSON_ArrayForEach(option,
		options) if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(option, "name")),
				     name) ==
			     0) return cJSON_PrintUnformatted(cJSON_GetObjectItem(option, key));
	ck_abort_msg("%s is not there", name);
}

static void
expect_member(const cJSON *options, const char *name, const char *key, const char *expected)
{
	char *text = member_of(options, name, key);

	ck_assert_pstr_eq(text, expected);
	free(text);
}

START_TEST(as_json)
{
	struct conf *c = load_file(GOLDEN "order/config.toml");
	struct json_out o;
	struct buf out;
	cJSON *options;

	buf_init(&out, 1 << 20);
	o = json_out_start(&out);
	conf_add_json(c, &o);
	options = cJSON_ParseWithLength(out.p, out.n);
	ck_assert_int_eq(cJSON_GetArraySize(options), (int)conf_options_n);
	expect_member(options, "store.path", "value", "\"second\"");
	expect_member(options, "store.path", "default", "\"/var/lib/sysrt/sysrt.db\"");
	expect_member(
		options, "store.path", "origin", "\"" GOLDEN "order/conf.d/20-second.toml:3\"");
	expect_member(options, "store.path", "needs_restart", "true");
	expect_member(options, "store.path", "help", "\"The file that holds everything.\"");
	expect_member(options, "store.readers", "value", "12");
	expect_member(options, "hub.recent_bytes", "value", "\"16MiB\"");
	expect_member(options, "hub.recent_bytes", "origin", "\"default\"");
	expect_member(options, "hub.recent_bytes", "needs_restart", "false");
	expect_member(options, "websocket.anonymous", "value", "[\"read\",\"write\",\"publish\"]");
	cJSON_Delete(options);
	buf_fini(&out);
	conf_free(c);
}
END_TEST

START_TEST(tables_as_json)
{
	struct conf *c = load_text(SPAN("[category.'sensor.*']\nhistory = '1d'\n"));
	const char *name = "category.\"sensor.*\".history";
	struct json_out o;
	struct buf out;
	cJSON *options;

	buf_init(&out, 1 << 20);
	o = json_out_start(&out);
	conf_add_json(c, &o);
	options = cJSON_ParseWithLength(out.p, out.n);
	expect_member(options, name, "value", "\"1d\"");
	expect_member(options, name, "default", "0");
	expect_member(options, name, "needs_restart", "false");
	expect_member(options, "category.\"sensor.*\".ttl", "value", "\"unlimited\"");
	expect_member(options, "category.\"sensor.*\".ttl", "origin", "\"default\"");
	cJSON_Delete(options);
	buf_fini(&out);
	conf_free(c);
}
END_TEST

static char *const environment[] = {
	(char[]){"PATH=/bin"},
	(char[]){"SYSRT_STORE_PATH=from=environment"},
	(char[]){"SYSRT_STORE_DURABILITY=normal"},
	(char[]){"SYSRT_STORE_READERS=5"},
	(char[]){"SYSRT_STORE_TOMBSTONE_MAX=unlimited"},
	(char[]){"SYSRT_STORE_MAX_RECORD=2048"},
	(char[]){"SYSRT_STORE_QUEUE_BYTES=2MiB"},
	(char[]){"SYSRT_STORE_READ_TIMEOUT=3s"},
	(char[]){"SYSRT_WEBSOCKET_ECHO=true"},
	(char[]){"SYSRT_WEBSOCKET_HOSTS=a.example.org,b.example.org"},
	(char[]){"SYSRT_WEBSOCKET_ANONYMOUS="},
	(char[]){"SYSRT_LOG=debug"},
	(char[]){"SYSRT_SOCKET=for sysrtctl"},
	(char[]){"SYSRT_NONSENSE=1"},
	(char[]){"SYSRT_"},
	NULL,
};

START_TEST(the_environment_comes_behind_the_files)
{
	struct conf_sources from = {.file = path, .environ_list = environment};
	struct conf *c;

	write_file(path, SPAN("[store]\npath = 'file'\nqueue = 99\nreaders = 9\n"));
	c = load(&from);
	ck_assert_str_eq(c->store.path, "from=environment");
	ck_assert_int_eq(c->store.queue, 99);
	ck_assert_int_eq(c->store.durability, DURABILITY_NORMAL);
	ck_assert_int_eq(c->store.readers, 5);
	ck_assert_int_eq(c->store.tombstone_max, CONF_UNLIMITED);
	ck_assert_int_eq(c->store.max_record, 2048);
	ck_assert_int_eq(c->store.queue_bytes, 2 << 20);
	ck_assert_int_eq(c->store.read_timeout_ms, 3000);
	ck_assert(c->websocket.echo);
	ck_assert_uint_eq(c->websocket.hosts.n, 2);
	ck_assert_str_eq(c->websocket.hosts.v[1], "b.example.org");
	ck_assert_uint_eq(c->websocket.anonymous.n, 0);
	ck_assert_str_eq(c->log.filter, "debug");
	ck_assert_str_eq(c->control.socket, "/run/sysrt/control.sock");
	conf_free(c);
}
END_TEST

START_TEST(the_command_line_comes_last)
{
	const struct conf_override overrides[] = {
		{"store.path",       "flag"               },
		{"websocket.listen", "127.0.0.1:1,[::1]:2"},
	};
	struct conf_sources from = {.file = path,
		.environ_list = environment,
		.overrides = overrides,
		.overrides_n = COUNT_OF(overrides)};
	struct conf *c;
	struct buf print;

	c = load(&from);
	ck_assert_str_eq(c->store.path, "flag");
	ck_assert_uint_eq(c->websocket.listen.n, 2);
	ck_assert_str_eq(c->websocket.listen.v[1], "[::1]:2");
	ck_assert_int_eq(c->store.readers, 5);
	buf_init(&print, 1 << 20);
	conf_add_effective(c, &print);
	buf_add_char(&print, '\0');
	ck_assert_ptr_nonnull(strstr(print.p, "path = \"flag\"  # command line\n"));
	ck_assert_ptr_nonnull(strstr(print.p, "readers = 5  # SYSRT_STORE_READERS\n"));
	ck_assert_ptr_nonnull(strstr(print.p, "filter = \"debug\"  # SYSRT_LOG\n"));
	buf_fini(&print);
	conf_free(c);
}
END_TEST

START_TEST(a_reload_applies_what_it_may)
{
	struct conf *now = conf_new(), *merged;
	struct conf *next = load_text(SPAN("[store]\nreaders = 3\nmax_record = '2KiB'\n"
					   "[websocket]\norigins = ['https://a']\nlisten = []\n"
					   "max_sessions = 10000\n"));
	struct json_out o;
	struct buf out;

	buf_init(&out, 1 << 20);
	o = json_out_start(&out);
	merged = conf_reload(now, next, &o);
	ck_assert(span_is(buf_span(&out),
		"{\"applied\":[\"store.max_record\",\"websocket.origins\"],"
		"\"needs_restart\":[\"store.readers\",\"websocket.listen\"]}"));
	conf_free(now);
	conf_free(next); /* what was merged is its own */
	ck_assert_int_eq(merged->store.max_record, 2048);
	ck_assert_str_eq(merged->websocket.origins.v[0], "https://a");
	ck_assert_int_eq(merged->store.readers, 2);
	ck_assert_uint_eq(merged->websocket.listen.n, 2);
	buf_reset(&out);
	conf_add_effective(merged, &out);
	buf_add_char(&out, '\0');
	ck_assert_ptr_nonnull(strstr(out.p, "/config.toml:3\n"));
	ck_assert_ptr_nonnull(strstr(out.p, "readers = 2  # default\n"));
	buf_fini(&out);
	conf_free(merged);
}
END_TEST

START_TEST(a_reload_takes_all_tables)
{
	struct conf *now = load_text(SPAN("[category.gone]\nttl = '1h'\nhistory = 3\n"
					  "[category.same]\nmax_records = 5\n"
					  "[category.other]\nhistory = '7d'\n"));
	struct conf *next = load_text(SPAN("[category.'new*']\nsearch = 'off'\n"
					   "[category.other]\nhistory = '6d'\n"
					   "[category.same]\nmax_records = 5\n"));
	struct conf *merged;
	struct json_out o;
	struct buf out;

	buf_init(&out, 1 << 20);
	o = json_out_start(&out);
	merged = conf_reload(now, next, &o);
	ck_assert(span_is(buf_span(&out),
		"{\"applied\":[\"category.\\\"new*\\\".search\",\"category.\\\"other\\\".history\","
		"\"category.\\\"gone\\\".history\",\"category.\\\"gone\\\".ttl\"],"
		"\"needs_restart\":[]}"));
	expect_equal(merged, next);
	conf_free(now);
	conf_free(next);
	ck_assert_int_eq(conf_category(merged, SPAN("newest"))->search, SEARCH_OFF);
	ck_assert_int_eq(conf_category(merged, SPAN("gone"))->history.count, 0);
	buf_fini(&out);
	conf_free(merged);
}
END_TEST

START_TEST(a_reload_of_the_same_changes_nothing)
{
	struct conf *now = load_file(GOLDEN "every-option.toml");
	struct conf *next = load_file(GOLDEN "every-option.toml"), *merged;
	struct json_out o;
	struct buf out;

	buf_init(&out, 1 << 20);
	o = json_out_start(&out);
	merged = conf_reload(now, next, &o);
	ck_assert(span_is(buf_span(&out), "{\"applied\":[],\"needs_restart\":[]}"));
	expect_equal(now, merged);
	buf_fini(&out);
	conf_free(now);
	conf_free(next);
	conf_free(merged);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	must(log_set_filter(SPAN("error"), NULL) == OK);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_table_is_whole);
	tcase_add_test(t, the_sections_are_whole);
	tcase_add_test(t, defaults);
	tcase_add_test(t, only_what_must_needs_a_restart);
	tcase_add_test(t, the_nearest_name);
	tcase_add_test(t, the_example_file_is_the_defaults);
	tcase_add_test(t, every_option_can_be_set);
	tcase_add_test(t, the_folder_comes_behind_the_file);
	tcase_add_test(t, any_numbers_parse_back);
	tcase_add_test(t, the_longest_name_holds);
	tcase_add_test(t, as_json);
	tcase_add_test(t, tables_as_json);
	tcase_add_test(t, the_environment_comes_behind_the_files);
	tcase_add_test(t, the_command_line_comes_last);
	tcase_add_test(t, a_reload_applies_what_it_may);
	tcase_add_test(t, a_reload_takes_all_tables);
	tcase_add_test(t, a_reload_of_the_same_changes_nothing);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/*
 * Mappings: rows of settings, a message and what it is; the bounds of names, ids and
 * data; times in all their forms; and random messages against a model that knows each
 * value by itself. SYSRT_LONG makes that long.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/base/conf.h"
#include "daemon/base/mapping.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define NOW         INT64_C(1800000000000)
#define MAX_RECORD  1000
#define LAST_ROUND  (getenv("SYSRT_LONG") != NULL ? 50000 : 5000)

static struct error error;
static struct buf told;

static void
setup(void)
{
	error = ERROR_NONE;
	buf_init(&told, 1 << 20);
}

static void
teardown(void)
{
	buf_fini(&told);
}

static struct conf_feed *
feed_of(const char *settings)
{
	char *json =
		xasprintf("{\"url\":\"wss://h\"%s%s}", settings[0] != '\0' ? "," : "", settings);
	struct conf_feed *f = NULL;
	struct json_value value;
	struct json_fault fault;

	ck_assert_msg(
		json_check(span_of(json), 10, &value, &fault) == OK, "%s: %s", json, fault.what);
	ck_assert_msg(conf_feed_read(SPAN("the-feed"), value, &f, &error) == OK, "%s: %s", json,
		error.text);
	free(json);
	return f;
}

static struct mapping *
mapping_of(const char *settings)
{
	struct conf_feed *f = feed_of(settings);
	struct mapping *m = NULL;

	ck_assert_msg(mapping_new(f, &m, &error) == OK, "%s", error.text);
	conf_feed_free(f);
	return m;
}

/** "category id name data", a line each; the time when it is not now. */
static void
note_mapped(void *arg, const struct mapped *r)
{
	struct mapping *m = arg;

	buf_addf(&told, "%s%.*s|%.*s|%.*s|", r->is_topic ? "topic " : "", SPAN_FMT(r->category),
		SPAN_FMT(r->id), SPAN_FMT(r->name));
	mapping_add_data(m, r, 77, &told);
	if (r->time_ms != NOW)
		buf_addf(&told, "|%lld", (long long)r->time_ms);
	buf_add_char(&told, '\n');
}

static void
note_unmapped(void *arg, const struct unmapped *u)
{
	(void)arg;
	buf_addf(&told, "!%zu %s [%.*s] %s\n", u->item, u->key != NULL ? u->key : "-",
		SPAN_FMT(u->place), u->why);
}

static bool
run(struct mapping *m, struct span message)
{
	struct mapping_sink sink = {note_mapped, note_unmapped, m};
	struct mapping_input input = {message, NOW, MAX_RECORD};

	buf_reset(&told);
	return mapping_run(m, &input, &sink);
}

struct row {
	const char *settings;
	const char *message;
	const char *want; /* NULL: it is passed over */
};

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mapping *m = mapping_of(rows[i].settings);
		bool counts = run(m, span_of(rows[i].message));

		ck_assert_msg(counts == (rows[i].want != NULL), "%s", rows[i].message);
		ck_assert_msg(span_eq(buf_span(&told), span_of(rows[i].want)), "%s of %s: %.*s",
			rows[i].settings, rows[i].message, SPAN_FMT(buf_span(&told)));
		mapping_free(m);
	}
}

START_TEST(records)
{
	static const struct row rows[] = {
		{"",											 "{ \"a\" : 1 }",            "the-feed|||{\"a\":1}\n"                                                    },
		{"",											 "[1, 2]",                   "the-feed|||[1,2]\n"							},
		{"",											 " 12.50 ",                  "the-feed|||12.50\n"							},
		{"\"category\":\"t.{/type}\",\"id\":\"{/id}\",\"name\":\"{/type} {/id}\",\"data\":\"{/d}\"",
                 "{\"type\":\"x\",\"id\":12345678901234567890,\"d\":{\"p\": 1.500, \"q\":null}}",					"t.x|12345678901234567890|x 12345678901234567890|{\"p\":1.500,\"q\":null}\n"},
		{"\"id\":\"{/id}\"",									 "{\"id\":\"a\\u00e9\\/\"}",
                 "the-feed|a\303\251/||{\"id\":\"a\\u00e9\\/\"}\n"																		   },
		{"\"id\":\"one\",\"data\":\"{/x}\"",							 "{\"x\":null}",             "the-feed|one||null\n"                                                      },
		{"\"name\":\"{/n}\"",									"{\"n\":\"\"}",             "the-feed|||{\"n\":\"\"}\n"                                                 },
		{"\"id\":\"{/id}\"",									 "{\"id\":1,\"id\":2}",      "the-feed|2||{\"id\":1,\"id\":2}\n"                                         },
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(items_of_an_array)
{
	static const struct row rows[] = {
		{"\"split\":\"/data\",\"id\":\"{/id}\"",
                 "{\"data\":[{\"id\":1},{\"id\":null},{},{\"id\":\"b\"}]}",                     "the-feed|1||{\"id\":1}\n!1 id [/id] id: /id is null\n"
			"!2 id [/id] id: /id is not there\nthe-feed|b||{\"id\":\"b\"}\n"},
		{"\"split\":\"{}\",\"data\":\"{/0}\",\"id\":\"{/1}\"", "[[1,\"x\"],[2,\"y\"]]",
                 "the-feed|x||1\nthe-feed|y||2\n"														  },
		{"\"split\":\"/a/1/b\",\"category\":\"{$/c}.{/n}\"",
                 "{\"c\":\"top\",\"a\":[0,{\"b\":[{\"n\":5}]}]}",                               "top.5|||{\"n\":5}\n"                                              },
		{"\"split\":\"/data\"",                                "{\"data\":[]}",         ""								 },
		{"\"split\":\"/data\"",                                "{}",                    "!0 split [/data] split: /data is not there\n"                     },
		{"\"split\":\"/data\"",                                "{\"data\":{}}",
                 "!0 split [/data] split: /data is no array\n"												     },
		{"\"split\":\"{}\"",                                   "{}",                    "!0 split [] split: the message is no array\n"                     },
		{"\"split\":\"/\"",				    "{\"\":[1]}",            "the-feed|||1\n"                                                   },
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(messages_that_count)
{
	static const struct row rows[] = {
		{"\"where\":\"{\\\"/type\\\":\\\"trade\\\"}\"",                     "{\"type\":\"trade\"}",
                 "the-feed|||{\"type\":\"trade\"}\n"											     },
		{"\"where\":\"{\\\"/type\\\":\\\"trade\\\"}\"",                     "{\"type\":\"ack\"}",          NULL                          },
		{"\"where\":\"{\\\"/type\\\":\\\"trade\\\"}\"",                     "7",                           NULL                          },
 /* It is of the message, whatever it is split into. */
		{"\"split\":\"/d\",\"where\":\" {\\\"/t\\\":{\\\"in\\\":[1,2]}}\"",
                 "{\"t\":2,\"d\":[3,4]}",									  "the-feed|||3\nthe-feed|||4\n"},
		{"\"split\":\"/d\",\"where\":\"{\\\"/t\\\":1}\"",                   "{\"t\":2,\"d\":[{\"t\":1}]}",
                 NULL															    },
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(topics)
{
	static const struct row rows[] = {
		{"\"topic\":\"chat.{/room}\",\"data\":\"{/text}\"", "{\"room\":7,\"text\":[ ]}",
                 "topic chat.7|||[]\n"													 },
		{"\"topic\":\"{/room}\"",                           "{}",                        "!0 topic [/room] topic: /room is not there\n"},
		{"\"topic\":\"{/room}\"",                           "{\"room\":\"a b\"}",
                 "!0 topic [] topic: only A-Z a-z 0-9 . _ / - are allowed, byte 2 is another\n"                                                },
		{"\"topic\":\"t\",\"received_at\":\"at\"",          "{}",                        "topic t|||{\"at\":77}\n"                     },
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(what_is_not_mapped)
{
	static const struct row rows[] = {
		{"",				     "",                     "!0 - [] the message is not JSON: at byte 1 the text ends too early\n"},
		{"",				     "+OK\r\n",              "!0 - [] the message is not JSON: at byte 1 expected a value\n"       },
		{"",				     "{\"a\":\"\377\"}",
                 "!0 - [] the message is not JSON: at byte 7 invalid UTF-8\n"                                                                          },
		{"\"category\":\"{}\"",                  "{}",
                 "!0 category [] category: the message is an object\n"										 },
		{"\"split\":\"{}\",\"category\":\"{}\"", "[[]]",
                 "!0 category [] category: the item is an array\n"										     },
		{"\"category\":\"{$}\"",                 "[]",
                 "!0 category [$] category: the message is an array\n"										 },
		{"\"category\":\"{/c}\"",                "{\"c\":\"\"}",
                 "!0 category [] category must have 1 to 128 bytes\n"										  },
		{"\"category\":\"{/c}\"",                "{\"c\":\"$ours\"}",
                 "!0 category [] category: names that start with $ are reserved\n"                                                                     },
		{"\"id\":\"{/i}\"",                      "{\"i\":\"\"}",         "!0 id [] id must have 1 to 512 bytes\n"                              },
		{"\"id\":\"{/i}\"",                      "{\"i\":\"a\\n\"}",
                 "!0 id [] id must not hold control characters, byte 2 is one\n"                                                                       },
		{"\"id\":\"{/i}\"",                      "{\"i\":\"\\u0000\"}",
                 "!0 id [] id must not hold control characters, byte 1 is one\n"                                                                       },
		{"\"id\":\"{/i}\"",                      "{\"i\":\"\\udc00\"}",
                 "!0 id [/i] id: /i is no text: half of a surrogate pair is in it\n"                                                                   },
		{"\"name\":\"{/n}\"",                    "{\"n\":\"a\\u0000\"}",
                 "!0 name [] name has at most 1024 bytes, and no NUL\n"										},
		{"\"data\":\"{/d}\"",                    "{}",                   "!0 data [/d] data: /d is not there\n"                                },
		{"\"time\":\"{/t}\"",                    "{\"t\":\"today\"}",
                 "!0 time [] time: it is neither RFC 3339 nor a number, since 1970\n"                                                                  },
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(times)
{
	static const struct {
		const char *token;
		int64_t want; /* 0: it is none */
	} rows[] = {
		{"1700000000",                           1700000000000},
		{"\"1700000000\"",                       1700000000000},
		{"1700000000.1234",                      1700000000123},
		{"1700000000123",                        1700000000123},
		{"1700000000123.9",                      1700000000124},
		{"1700000000123456",                     1700000000123},
		{"1700000000123456789",                  1700000000123},
		{"\"1700000000123456789\"",              1700000000123},
		{"1.7e9",				1700000000000},
		{"1.7E+12",			      1700000000000},
		{"1",				    1000         },
		{"0.5",				  500          },
		{"\"2023-11-14T22:13:20Z\"",             1700000000000},
		{"\"2023-11-14T23:13:20.123456+01:00\"", 1700000000123},
		{"1900000000000",                        NOW          }, /* not before it is */
		{"\"2099-01-01T00:00:00Z\"",             NOW          },
		{"0",				    0            },
		{"-1",				   0            },
		{"0.0000001",                            0            },
		{"\"1969-12-31T23:59:59Z\"",             0            },
		{"1e300",				0            },
		{"\"\"",				 0            },
		{"\"1 \"",			       0            },
		{"\"0x10\"",			     0            },
		{"\"nan\"",			      0            },
		{"\"1\\u0000\"",                         0            },
		{"true",				 0            },
	};
	struct mapping *m = mapping_of("\"time\":\"{/t}\",\"data\":\"{/d}\"");

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *message = xasprintf("{\"t\":%s,\"d\":0}", rows[i].token), *want;

		ck_assert(run(m, span_of(message)));
		want = rows[i].want == NOW
			       ? xstrdup("the-feed|||0\n")
			       : xasprintf("the-feed|||0|%lld\n", (long long)rows[i].want);
		if (rows[i].want == 0)
			ck_assert_msg(span_has_prefix(buf_span(&told), SPAN("!0 time")), "%s: %.*s",
				rows[i].token, SPAN_FMT(buf_span(&told)));
		else
			ck_assert_msg(span_is(buf_span(&told), want), "%s: %.*s", rows[i].token,
				SPAN_FMT(buf_span(&told)));
		free(want);
		free(message);
	}
	mapping_free(m);
}
END_TEST

/** A message {"i": a text of n bytes} with white space around it. */
static void
run_text(struct mapping *m, size_t n)
{
	struct buf message;

	buf_init(&message, 1 << 20);
	buf_addf(&message, "{ \"i\" :   \"");
	for (size_t i = 0; i < n; i++)
		buf_add_char(&message, 'x');
	buf_addf(&message, "\" }");
	run(m, buf_span(&message));
	buf_fini(&message);
}

static bool
is_mapped(void)
{
	return told.n > 0 && told.p[0] != '!';
}

START_TEST(bounds)
{
	static const struct {
		const char *settings;
		size_t most;
		const char *words;
	} rows[] = {
		{"\"data\":\"{/i}\"",     MAX_RECORD - 2,
                 "data has more than 1000 bytes (store.max_record)"                                         },
		{"",		      MAX_RECORD - 8, "data has more than 1000 bytes (store.max_record)"},
		{"\"id\":\"{/i}\"",       512,            "id must have 1 to 512 bytes"                     },
		{"\"category\":\"{/i}\"", 128,            "category must have 1 to 128 bytes"               },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct mapping *m = mapping_of(rows[i].settings);

		run_text(m, rows[i].most);
		ck_assert_msg(is_mapped(), "%.*s", SPAN_FMT(buf_span(&told)));
		run_text(m, rows[i].most + 1);
		ck_assert_msg(!is_mapped(), "%s", rows[i].settings);
		buf_add_char(&told, '\0');
		ck_assert_msg(strstr(told.p, rows[i].words) != NULL, "%s", told.p);
		mapping_free(m);
	}
}
END_TEST

/* A long text is refused as too long, and the next message is none the worse. */
START_TEST(a_text_without_end)
{
	struct mapping *m = mapping_of("\"name\":\"{/i}\",\"data\":\"{$/d}\"");

	run_text(m, 100000);
	buf_add_char(&told, '\0');
	ck_assert_str_eq(told.p, "!0 name [] name: the text is too long\n");
	run(m, SPAN("{\"i\":\"x\",\"d\":1}"));
	ck_assert(span_is(buf_span(&told), "the-feed||x|1\n"));
	mapping_free(m);
}
END_TEST

START_TEST(too_deep)
{
	struct mapping *m = mapping_of("");
	char message[2 * MAPPING_DEPTH_MAX + 3] = "";

	memset(message, '[', MAPPING_DEPTH_MAX);
	memset(message + MAPPING_DEPTH_MAX, ']', MAPPING_DEPTH_MAX);
	run(m, (struct span){message, 2 * MAPPING_DEPTH_MAX});
	ck_assert(is_mapped());
	memset(message, '[', MAPPING_DEPTH_MAX + 1);
	memset(message + MAPPING_DEPTH_MAX + 1, ']', MAPPING_DEPTH_MAX + 1);
	run(m, (struct span){message, 2 * MAPPING_DEPTH_MAX + 2});
	ck_assert(!is_mapped());
	mapping_free(m);
}
END_TEST

START_TEST(the_time_of_arrival)
{
	static const struct row rows[] = {
		{"\"received_at\":\"at\"",     "{ \"a\" : [1, 2] }",
                 "the-feed|||{\"a\":[1,2],\"at\":77}\n"                                                           },
		{"\"received_at\":\"at\"",     "{ }",                               "the-feed|||{\"at\":77}\n"    },
		{"\"received_at\":\"at\"",     "[ 1 ]",                             "the-feed|||[1]\n"            },
		{"\"received_at\":\"at\"",     "{\"at\":1,\"b\":2,\"\\u0061t\":3}",
                 "the-feed|||{\"b\":2,\"at\":77}\n"							       },
		{"\"received_at\":\"a\\\"t\"", "{\"a\\\"t\":1}",                    "the-feed|||{\"a\\\"t\":77}\n"},
	};
	struct mapping *m = mapping_of("\"received_at\":\"at\"");

	check_rows(rows, COUNT_OF(rows));
	ck_assert_uint_eq(mapping_extra(m), 26);
	/* What is added counts. */
	run_text(m, MAX_RECORD - 8 - 26);
	ck_assert(is_mapped());
	run_text(m, MAX_RECORD - 8 - 25);
	ck_assert(!is_mapped());
	mapping_free(m);
	m = mapping_of("");
	ck_assert_uint_eq(mapping_extra(m), 0);
	mapping_free(m);
}
END_TEST

START_TEST(which_categories_it_reaches)
{
	static const struct {
		const char *settings;
		const char *text;
		bool is_prefix;
	} rows[] = {
		{"",			     "the-feed", false},
		{"\"category\":\"trades\"",      "trades",   false},
		{"\"category\":\"trades.{/x}\"", "trades.",  true },
		{"\"category\":\"{/x}\"",        "",         true },
		{"\"topic\":\"t/{/x}\"",         "t/",       true },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct mapping *m = mapping_of(rows[i].settings);
		bool is_prefix;

		ck_assert(span_is(mapping_reach(m, &is_prefix), rows[i].text));
		ck_assert_int_eq(is_prefix, rows[i].is_prefix);
		mapping_free(m);
	}
}
END_TEST

/* --- random messages ------------------------------------------------------------------------- */

#define KEYS 5

/** A value, and what it is as a text; NULL: it has none. */
static const struct value {
	const char *token; /* NULL: the member is not there */
	const char *text;
	const char *compact;
} all[] = {
	{"\"abc\"",             "abc",      "\"abc\""            },
	{"\"\\u0061\\\\\\\"\"", "a\\\"",    "\"\\u0061\\\\\\\"\""},
	{"\"x y\"",             "x y",      "\"x y\""            },
	{"\"\"",                "",         "\"\""               },
	{"12",		  "12",       "12"                 },
	{"-0.50e+1",            "-0.50e+1", "-0.50e+1"           },
	{"true",                "true",     "true"               },
	{"false",               "false",    "false"              },
	{"null",                NULL,       "null"               },
	{"[ 1,\t[] ]",          NULL,       "[1,[]]"             },
	{"{ \"a\" : 1 }",       NULL,       "{\"a\":1}"          },
	{NULL,		  NULL,       NULL                 },
};

static unsigned
below(unsigned n)
{
	return (unsigned)rand() % n;
}

/** One item: a value for each of the keys. */
struct item {
	const struct value *values[KEYS];
};

static void
add_item(struct buf *out, const struct item *item)
{
	bool is_first = true;

	buf_addf(out, "%s{", below(2) ? " " : "");
	for (size_t k = 0; k < KEYS; k++) {
		if (item->values[k]->token == NULL)
			continue;
		buf_addf(out, "%s\"k%zu\"%s:%s%s", is_first ? "" : ",", k, below(2) ? " " : "",
			below(2) ? "\n" : "", item->values[k]->token);
		is_first = false;
	}
	buf_addf(out, "%s}", below(2) ? " " : "");
}

/** A template of some places of an item, and what it comes to; false: to nothing. */
static bool
fill(const unsigned *places, size_t n, const struct item *item, const char *begin, struct buf *out)
{
	buf_reset(out);
	buf_addf(out, "%s", begin);
	for (size_t i = 0; i < n; i++) {
		if (item->values[places[i]]->text == NULL)
			return false;
		buf_addf(out, "%s", item->values[places[i]]->text);
	}
	return true;
}

static bool
is_id(struct span text)
{
	return text.n >= 1 && text.n <= 512;
}

/** A mapping at random, and the messages that it is for. */
struct model {
	bool splits;
	bool has_where;
	unsigned category; /* "c" and the place */
	unsigned id[2];    /* two places */
	unsigned data;
};

static void
expect(const struct model *model, const struct item *item, size_t i, struct buf *want)
{
	struct buf category, id;
	const struct value *data = item->values[model->data];
	bool has_category, has_id;

	buf_init(&category, 1000);
	buf_init(&id, 1000);
	has_category = fill(&model->category, 1, item, "c", &category) &&
		       name_check("", buf_span(&category), false, NULL) == OK;
	has_id = fill(model->id, 2, item, "", &id) && is_id(buf_span(&id));
	if (has_category && has_id && data->compact != NULL)
		buf_addf(want, "%.*s|%.*s||%s\n", SPAN_FMT(buf_span(&category)),
			SPAN_FMT(buf_span(&id)), data->compact);
	else
		buf_addf(want, "!%zu\n", i);
	buf_fini(&category);
	buf_fini(&id);
}

/** What was told, without the reasons. */
static void
strip_reasons(struct buf *out)
{
	const char *p = told.p, *end = told.p + told.n;

	while (p < end) {
		const char *line = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)(line - p);

		if (*p == '!')
			n = strcspn(p, " ");
		buf_add(out, p, n);
		buf_add_char(out, '\n');
		p = line + 1;
	}
}

static struct mapping *
random_mapping(struct model *model)
{
	char settings[400];

	*model = (struct model){
		below(2), below(2), below(KEYS), {below(KEYS), below(KEYS)},
                   below(KEYS)
        };
	snprintf(settings, sizeof(settings),
		"\"category\":\"c{/k%u}\",\"id\":\"{/k%u}{/k%u}\",\"data\":\"{/k%u}\"%s%s",
		model->category, model->id[0], model->id[1], model->data,
		model->splits ? ",\"split\":\"/items\"" : "",
		model->has_where ? ",\"where\":\"{\\\"/k0\\\":{\\\"exists\\\":true}}\"" : "");
	return mapping_of(settings);
}

static void
random_item(struct item *item)
{
	for (size_t k = 0; k < KEYS; k++)
		item->values[k] = &all[below(4) == 0 ? below(COUNT_OF(all)) : below(8)];
}

START_TEST(random_messages)
{
	struct buf message, want, got;

	buf_init(&message, 1 << 20);
	buf_init(&want, 1 << 20);
	buf_init(&got, 1 << 20);
	for (int round = 0; round < LAST_ROUND; round++) {
		struct model model;
		struct mapping *m = random_mapping(&model);
		size_t n = model.splits ? below(5) : 1;
		struct item item;
		bool counts;

		buf_reset(&message);
		buf_reset(&want);
		buf_reset(&got);
		buf_addf(&message, model.splits ? "{\"items\":[" : "");
		for (size_t i = 0; i < n; i++) {
			random_item(&item);
			buf_addf(&message, i > 0 ? "," : "");
			add_item(&message, &item);
			expect(&model, &item, i, &want);
		}
		buf_addf(&message, model.splits ? "]}" : "");
		/* Of an array's items no condition says anything. */
		counts = !model.has_where || (!model.splits && item.values[0]->token != NULL);
		ck_assert_int_eq(run(m, buf_span(&message)), counts);
		if (counts)
			strip_reasons(&got);
		else
			buf_reset(&want);
		ck_assert_msg(span_eq(buf_span(&got), buf_span(&want)), "%.*s: %.*s, not %.*s",
			SPAN_FMT(buf_span(&message)), SPAN_FMT(buf_span(&got)),
			SPAN_FMT(buf_span(&want)));
		mapping_free(m);
	}
	buf_fini(&message);
	buf_fini(&want);
	buf_fini(&got);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {records, items_of_an_array, messages_that_count, topics,
		what_is_not_mapped, times, bounds, a_text_without_end, too_deep,
		the_time_of_arrival, which_categories_it_reaches, random_messages};
	Suite *suite = suite_create("mapping");
	TCase *tcase = tcase_create("mapping");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 300);
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

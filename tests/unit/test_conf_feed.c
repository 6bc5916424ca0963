/*
 * Feeds in the configuration and as definitions: every key in both, what does not go
 * together and in which words, prints that parse back, and what a reload takes.
 */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/base/conf.h"
#include "daemon/base/conf_table.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static char folder[64], path[96];
static struct error error;

static void
setup(void)
{
	error = ERROR_NONE;
	snprintf(folder, sizeof(folder), "/tmp/test_conf_feed.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/config.toml", folder);
}

static void
teardown(void)
{
	unlink(path);
	rmdir(folder);
}

static enum err
load(struct span text, struct conf **out)
{
	struct conf_sources from = {.file = path, .is_file_required = true};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text.p, text.n), (ssize_t)text.n);
	close(fd);
	error = ERROR_NONE;
	return conf_load(&from, out, &error);
}

static struct conf *
must_load(const char *text)
{
	struct conf *c = NULL;

	ck_assert_msg(load(span_of(text), &c) == OK, "%s", error.text);
	return c;
}

static enum err
read_definition(struct span text, struct conf_feed **out)
{
	struct json_value value;
	struct json_fault fault;

	error = ERROR_NONE;
	ck_assert_msg(json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK, "%.*s: %s",
		SPAN_FMT(text), fault.what);
	return conf_feed_read(SPAN("f"), value, out, &error);
}

static struct conf_feed *
must_read(const char *text)
{
	struct conf_feed *f = NULL;

	ck_assert_msg(read_definition(span_of(text), &f) == OK, "%s: %s", text, error.text);
	return f;
}

/* Each key with a value that is not its default, the same in TOML and in JSON. */
static const char in_toml[] =
	"[feed.a]\n"
	"url = \"wss://stream.example.org/v1\"\n"
	"enabled = false\n"
	"ca = \"/etc/ca.pem\"\n"
	"headers = [\"X-Key: ${secret:key}\", \"X-Sign: ${signature}\"]\n"
	"subprotocols = \"mqtt\"\n"
	"on_connect = ['{\"login\":\"${secret:key}\"}', {send = \"subscribe\", await = "
	"'{\"/type\":\"subscribed\"}', timeout = \"5s\"}, {await = '{\"/ready\":true}'}, "
	"{send_base64 = \"AMAA/w==\"}]\n"
	"connect_timeout = \"3s\"\n"
	"app_ping = '{\"op\":\"ping\",\"t\":${now_ms}}'\n"
	"app_ping_every = \"20s\"\n"
	"heartbeat = \"unlimited\"\n"
	"idle_timeout = \"90s\"\n"
	"max_retries = 7\n"
	"max_message = \"1MiB\"\n"
	"sign_text = \"${now_ms}GET\"\n"
	"sign_secret = \"sign\"\n"
	"sign_key = \"base64\"\n"
	"sign_as = \"base64\"\n"
	"split = \"/data\"\n"
	"where = '{\"/type\":\"trade\"}'\n"
	"category = \"trades.{/product}\"\n"
	"id = \"{/id}\"\n"
	"name = \"{/product} {/id}\"\n"
	"data = \"{/data}\"\n"
	"time = \"{/at}\"\n"
	"ttl = \"1d\"\n"
	"received_at = \"received_at\"\n"
	"drop_unmapped = false\n"
	"on_full = \"conflate\"\n"
	"rate = \"100/s burst 200\"\n"
	"record = \"trades\"\n"
	"record_max = \"1GiB\"\n"
	"stale_after = \"30s\"\n";

static const char in_json[] =
	"{\"url\":\"wss:\\/\\/stream.example.org/v1\",\"enabled\":false,\"ca\":\"/etc/ca.pem\","
	"\"headers\":[\"X-Key: ${secret:key}\",\"X-Sign: ${signature}\"],\"subprotocols\":\"mqtt\","
	"\"on_connect\":[\"{\\\"login\\\":\\\"${secret:key}\\\"}\",{\"send\":\"subscribe\",\"await\":"
	"\"{\\\"/type\\\":\\\"subscribed\\\"}\",\"timeout\":\"5s\"},"
	"{\"await\":\"{\\\"/ready\\\":true}\"},{\"send_base64\":\"AMAA/w==\"}],"
	"\"connect_timeout\":\"3s\",\"app_ping\":\"{\\\"op\\\":\\\"ping\\\",\\\"t\\\":${now_ms}}\","
	"\"app_ping_every\":\"20s\",\"heartbeat\":\"unlimited\",\"idle_timeout\":\"90s\","
	"\"max_retries\":7,\"max_message\":1048576,\"sign_text\":\"${now_ms}GET\","
	"\"sign_secret\":\"sign\",\"sign_key\":\"base64\",\"sign_as\":\"base64\",\"split\":\"/data\","
	"\"where\":\"{\\\"/type\\\":\\\"trade\\\"}\",\"category\":\"trades.{/product}\","
	"\"id\":\"{/id}\",\"name\":\"{/product} {/id}\",\"data\":\"{/data}\",\"time\":\"{/at}\","
	"\"ttl\":\"1d\",\"received_at\":\"received_at\",\"drop_unmapped\":false,"
	"\"on_full\":\"conflate\",\"rate\":\"100/s burst 200\",\"record\":\"trades\","
	"\"record_max\":\"1GiB\",\"stale_after\":\"30s\"}";

START_TEST(the_same_in_both)
{
	struct conf *c = must_load(in_toml);
	struct conf_feed *f = must_read(in_json);
	const struct conf_feed *a = conf_feed_find(c, SPAN("a"));
	const struct conf_section *s = conf_section_find(SPAN("feed"));
	struct conf_named *standard = conf_named_new(s);

	ck_assert_uint_eq(c->feeds.n, 1);
	ck_assert_ptr_eq(conf_feed_at(c, 0), a);
	ck_assert_ptr_null(conf_feed_find(c, SPAN("b")));
	ck_assert(conf_feed_is_equal(a, f));
	for (size_t i = 0; i < s->options_n; i++)
		ck_assert_msg(strcmp(s->options[i].name, "topic") == 0 ||
				      !conf_is_equal(f, standard, &s->options[i]),
			"%s is the default", s->options[i].name);
	ck_assert_str_eq(f->named.name, "f");
	ck_assert_uint_eq(f->on_connect.n, 4);
	ck_assert_ptr_null(f->on_connect.v[0].await);
	ck_assert_int_eq(f->on_connect.v[1].timeout_ms, 5000);
	ck_assert_ptr_null(f->on_connect.v[2].send);
	ck_assert_int_eq(f->on_connect.v[2].timeout_ms, 10000);
	ck_assert(!f->on_connect.v[0].is_binary && f->on_connect.v[3].is_binary);
	ck_assert_str_eq(f->on_connect.v[3].send, "AMAA/w==");
	ck_assert_int_eq(f->sign_key, SIGN_KEY_BASE64);
	ck_assert_int_eq(f->on_full, FULL_CONFLATE);
	conf_named_free(standard, s);
	conf_feed_free(f);
	conf_free(c);
}
END_TEST

/** Its print, of all members or of those that are not the default. */
static char *
print(const struct conf_feed *f, bool all)
{
	struct json_out o;
	struct buf out;

	buf_init(&out, 1 << 20);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	conf_feed_add(f, all, &o);
	json_end_object(&o);
	buf_add_char(&out, '\0');
	return buf_steal(&out, &(size_t){0});
}

START_TEST(prints_parse_back)
{
	static const char *const definitions[] = {in_json, "{\"url\":\"ws://h\"}",
		"{\"url\":\"ws://h\",\"topic\":\"t.{/x}\",\"on_connect\":\"\\u00e9\\n\\\"\"}"};

	for (size_t i = 0; i < COUNT_OF(definitions); i++) {
		struct conf_feed *f = must_read(definitions[i]);

		for (int all = 0; all < 2; all++) {
			char *text = print(f, all);
			struct conf_feed *again = must_read(text);

			ck_assert(conf_feed_is_equal(f, again));
			conf_feed_free(again);
			free(text);
		}
		conf_feed_free(f);
	}
}
END_TEST

START_TEST(only_what_is_not_the_default)
{
	struct conf_feed *f =
		must_read("{\"url\":\"ws://h\",\"max_retries\":3,\"heartbeat\":\"30s\"}");
	char *text = print(f, false);

	ck_assert_str_eq(text, "{\"url\":\"ws://h\",\"max_retries\":3}");
	free(text);
	conf_feed_free(f);
}
END_TEST

START_TEST(the_effective_configuration_parses_back)
{
	struct conf *c = must_load(in_toml), *again = NULL;
	struct buf out;

	buf_init(&out, 1 << 20);
	conf_add_effective(c, &out);
	ck_assert_msg(load(buf_span(&out), &again) == OK, "%s", error.text);
	ck_assert(conf_feed_is_equal(conf_feed_at(c, 0), conf_feed_at(again, 0)));
	conf_free(again);
	buf_reset(&out);
	/* And as JSON it is JSON. */
	conf_add_json(c, &(struct json_out){&out, false});
	ck_assert(json_check(buf_span(&out), JSON_DEPTH_MAX, &(struct json_value){0},
			  &(struct json_fault){0}) == OK);
	buf_fini(&out);
	conf_free(c);
}
END_TEST

/* What a definition says besides its url, and what is said about it. */
static const struct {
	const char *members;
	const char *words;
} refused[] = {
	{"\"url\":\"http://h\"",							       "url: the URL must begin with ws:// or wss://"                       },
	{"\"url\":\"\"",								       "url is missing: ws://HOST... or wss://HOST..."                      },
	{"\"url\":\"wss://h/${secret:x}\"",
         "url is shown to everybody, no ${...} stands in it: put it "
		"into headers or on_connect"															},
	{"\"headers\":[\"nothing\"]",							  "headers: a header is written \"Name: value\"; this is none: "
				      "\"nothing\""									    },
	{"\"headers\":[\"a b: c\"]",
         "headers: a header is written \"Name: value\"; this is none: \"a b: c\""                                                                                   },
	{"\"headers\":[\": c\"]",
         "headers: a header is written \"Name: value\"; this is none: \": c\""										      },
	{"\"headers\":[\"A: b\\r\\nC: d\"]",						   "headers: the header A has a control character"                      },
	{"\"headers\":[\"host: x\"]",							  "headers: the header host is made by the handshake itself"           },
	{"\"headers\":[\"sec-websocket-protocol: x\"]",
         "headers: the header sec-websocket-protocol is made by the handshake itself: see "
		"subprotocols"																      },
	{"\"headers\":[\"A: ${env:X}\"]",
         "headers: ${env:X} is not known: there are ${secret:NAME}, ${now_ms}, ${now_s}, "
		"${now_iso} and ${signature} (a text \"${\" is written \"$${\")"										    },
	{"\"headers\":[\"A: ${secret:}\"]",
         "headers: the name in ${secret:NAME} must have 1 to 128 bytes"											     },
	{"\"headers\":[\"A: ${secret:x\"]",
         "headers: a ${ has no } (a text \"${\" is written \"$${\")"												},
	{"\"subprotocols\":[\"a b\"]",
         "subprotocols: \"a b\" is no name of one: that has letters, digits and signs, and neither spaces nor commas"                                               },
	{"\"subprotocols\":[\"\"]",
         "subprotocols: \"\" is no name of one: that has letters, digits and signs, and neither spaces nor commas"                                                  },
	{"\"on_connect\":[\"${x}\"]",
         "on_connect: ${x} is not known: there are ${secret:NAME}, ${now_ms}, ${now_s}, "
		"${now_iso} and ${signature} (a text \"${\" is written \"$${\")"										    },
	{"\"on_connect\":[\"\"]",							      "on_connect: a message has 1 to 65536 bytes, and no NUL"             },
	{"\"on_connect\":[7]",
         "on_connect must be a message, a table {send, await, timeout}, or an "
		"array of these"																    },
	{"\"on_connect\":[\"{\\\"a\\\":\\\"\\\\${now_ms}\\\"}\"]",
         "on_connect: a \\ stands right before a ${ (a \\ itself is written \\\\ in JSON)"                                                                          },
	{"\"on_connect\":[{}]",								"on_connect: a table needs send or await"                            },
	{"\"on_connect\":[{\"send\":\"x\",\"timeout\":\"1s\"}]",
         "on_connect: timeout is of what is waited for: give await too"											     },
	{"\"on_connect\":[{\"await\":\"{\"}]",
         "on_connect: await is a condition such as '{\"/type\":\"subscribed\"}': at byte 2 the "
		"text ends too early"															       },
	{"\"on_connect\":[{\"await\":\"{\\\"type\\\":1}\"}]",                                  "on_connect: await: "                                                },
	{"\"on_connect\":[{\"await\":\"{}\",\"timeout\":\"2d\"}]",
         "on_connect: timeout must be a duration between 1ms and 1d"												},
	{"\"on_connect\":[{\"send\":\"a\",\"send\":\"b\"}]",
         "on_connect: a table sends one message: send or send_base64"											       },
	{"\"on_connect\":[{\"await\":\"{}\",\"await\":\"{}\"}]",
         "on_connect: a table has one await"															},
	{"\"on_connect\":[{\"await\":\"{}\",\"timeout\":\"1s\",\"timeout\":\"2s\"}]",
         "on_connect: a table has one timeout"														      },
	{"\"on_connect\":[{\"wait\":\"{}\"}]",
         "on_connect: a table has send or send_base64, await and timeout, all of them texts; "
		"\"wait\" is none"																  },
	{"\"on_connect\":[{\"send_base64\":\"AA\"}]",
         "on_connect: send_base64 is base64 of 1 to 65536 bytes"												    },
	{"\"on_connect\":[{\"send_base64\":\"\"}]",
         "on_connect: send_base64 is base64 of 1 to 65536 bytes"												    },
	{"\"on_connect\":[{\"send_base64\":\"AA==\",\"send\":\"x\"}]",
         "on_connect: a table sends one message: send or send_base64"											       },
	{"\"on_connect\":[{\"send\":\"x\",\"send\":\"y\"}]",
         "on_connect: a table sends one message: send or send_base64"											       },
	{"\"app_ping\":\"${signature}\"",
         "${signature} needs both sign_text, what is signed, and sign_secret, the name of the "
		"secret that is the key"															    },
	{"\"app_ping\":\"${signature}\",\"sign_text\":\"x\"",
         "${signature} needs both sign_text, what is signed, and sign_secret, the name of the "
		"secret that is the key"															    },
	{"\"sign_text\":\"x\",\"sign_secret\":\"y\"",
         "sign_text and sign_secret are not used: put ${signature} into headers or on_connect"                                                                      },
	{"\"app_ping\":\"${signature}\",\"sign_text\":\"${signature}\",\"sign_secret\":\"y\"",
         "sign_text: ${signature} cannot stand in what is signed"												   },
	{"\"app_ping\":\"${signature}\",\"sign_text\":\"x\",\"sign_secret\":\"a b\"",
         "sign_secret: only A-Z a-z 0-9 . _ / - are allowed, byte 2 is another"                                                                                     },
	{"\"topic\":\"t\",\"category\":\"c\"",						 "topic is for what is not stored, and category for "
					       "records: leave one of them out"                                       },
	{"\"topic\":\"t\",\"id\":\"i\"",
         "topic is for what is not stored, and id for records: leave one of them out"                                                                               },
	{"\"topic\":\"t\",\"ttl\":\"1s\"",
         "topic is for what is not stored, and ttl for records: leave one of them out"                                                                              },
	{"\"on_full\":\"conflate\"",
         "on_full = \"conflate\" keeps the newest of each record: give id, "
		"which says what is the same record"														},
	{"\"record\":\"a/b\"",								 "record is the name of a file, without a '/'"                        },
	{"\"record\":\"..\"",								  "record must not start with '.', '-' or '/'"                         },
	{"\"where\":\"{\"",
         "where is a condition such as '{\"/type\":\"trade\"}': at byte 2 the text "
		"ends too early"																    },
	{"\"where\":\"{\\\"type\\\":1}\"",						     "where: "							    },
	{"\"split\":\"data\"",
         "split (\"{}\" for a message that is the array itself): a JSON Pointer is "
		"empty or starts with '/'"															  },
	{"\"category\":\"a b\"",
         "category: only A-Z a-z 0-9 . _ / - are allowed, byte 2 is another"											},
	{"\"category\":\"-{/x}\"",							     "category must not start with '.', '-' or '/'"                       },
	{"\"topic\":\"$sys\"",								 "topic: names that start with $ are reserved"                        },
	{"\"id\":\"{id}\"",								    "id: the place at byte 1: a JSON Pointer is empty or starts with '/'"},
	{"\"data\":\"x\"",								     "data is one place and nothing else, such as \"{}\" or \"{/data}\""  },
	{"\"data\":\"\"",								      "data is one place and nothing else, such as \"{}\" or \"{/data}\""  },
	{"\"id\":\"a\",\"id\":\"b\"",							  "id is given twice"                                                  },
	{"\"catgory\":\"a\"",								  "unknown key \"catgory\", did you mean \"category\"?"                },
	{"\"something else entirely\":1",
         "unknown key \"something else entirely\" (sysrt.conf(5) lists all of [feed.NAME])"                                                                         },
	{"\"enabled\":null",								   "enabled: there is null in it, or half of a surrogate pair"          },
	{"\"id\":\"\\ud800\"",								 "id: there is null in it, or half of a surrogate pair"               },
	{"\"enabled\":\"yes\"",								"enabled must be true or false"                                      },
	{"\"max_retries\":1.5",								"max_retries must be an integer, or \"unlimited\""                   },
	{"\"max_retries\":-1",								 "max_retries must be between 0 and unlimited"                        },
	{"\"headers\":{}",								     "headers must be a string or an array of strings"                    },
	{"\"heartbeat\":30",
         "heartbeat must be a string with a unit such as \"30s\", or \"unlimited\""                                                                                 },
	{"\"heartbeat\":\"1ms\"",							      "heartbeat must be between 100ms and unlimited"                      },
	{"\"rate\":\"fast\"",
         "rate must be a rate such as \"100/s\" or \"30/m burst 60\", or \"unlimited\""                                                                             },
	{"\"on_full\":\"drop\"",							       "on_full must be one of: wait conflate"                              },
};

START_TEST(what_is_refused)
{
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		char *text = xasprintf("{%s%s}",
			strstr(refused[i].members, "\"url\"") == NULL ? "\"url\":\"ws://h\"," : "",
			refused[i].members);
		struct conf_feed *f = NULL;

		ck_assert_msg(
			read_definition(span_of(text), &f) == ERR_INVALID_ARGUMENT, "%s", text);
		ck_assert_int_eq(error.code, ERR_INVALID_ARGUMENT);
		ck_assert_msg(
			span_has_prefix(span_of(error.text), span_of(refused[i].words)) &&
				(strcmp(error.text, refused[i].words) == 0 ||
					refused[i].words[strlen(refused[i].words) - 1] == ' '),
			"%s: %s", text, error.text);
		free(text);
	}
}
END_TEST

/* What the file may hold is more than a definition may. */
START_TEST(a_copy_of_a_large_one)
{
	struct conf_feed *copy;
	struct conf *c;
	struct buf text;

	buf_init(&text, 1 << 22);
	buf_addf(&text, "[feed.a]\nurl = \"ws://h\"\non_connect = [");
	for (int i = 0; i < 8; i++)
		buf_addf(&text, "\"%060000d\", ", i);
	buf_addf(&text, "]\n");
	buf_add_char(&text, '\0');
	c = must_load(text.p);
	copy = conf_feed_dup(conf_feed_at(c, 0));
	ck_assert(conf_feed_is_equal(copy, conf_feed_at(c, 0)));
	ck_assert_str_eq(copy->named.name, "a");
	conf_free(c);
	ck_assert_uint_eq(strlen(copy->on_connect.v[7].send), 60000);
	conf_feed_free(copy);
	buf_fini(&text);
}
END_TEST

START_TEST(definitions_that_are_none)
{
	static const char *const some[] = {"[]", "1", "\"x\"", "null"};
	struct conf_feed *f = NULL;

	for (size_t i = 0; i < COUNT_OF(some); i++) {
		ck_assert_int_eq(read_definition(span_of(some[i]), &f), ERR_INVALID_ARGUMENT);
		ck_assert_str_eq(error.text, "a definition is an object of at most 262144 bytes");
	}
	ck_assert_int_eq(conf_feed_read(SPAN("a b"), json_value_of(SPAN("{}")), &f, &error),
		ERR_INVALID_ARGUMENT);
	ck_assert_int_eq(conf_feed_read(SPAN("a*"), json_value_of(SPAN("{}")), &f, &error),
		ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(errors_of_the_file_name_the_place)
{
	static const struct {
		const char *text;
		const char *words;
	} rows[] = {
		{"\n[feed.x]\nurl = \"ftp://h\"\n",
                 ":3: [feed.\"x\"]: url: the URL must begin with ws:// or wss://"                                                                   },
		{"[feed.x]\n",									       "[feed.\"x\"]: url is missing"         },
		{"[feed.\"x*\"]\nurl = \"ws://h\"\n",							":1: [feed.\"x*\"]: its name: only A-Z"},
		{"[feed.x]\nurl = \"ws://h\"\non_connect = [{send = 1}]\n",
                 ":3: [feed.\"x\"]: on_connect: a table has send"										   },
		{"[feed.x]\nurls = \"ws://h\"\n",
                 "unknown key \"urls\" in line 2, did you mean \"url\"?"                                                                            },
		{"[feed.a]\nurl = \"ws://h\"\nrecord = \"r\"\n[feed.b]\nurl = \"ws://h\"\nrecord = \"r\"\n",
                 ":2: [feed.\"a\"]: record: r is the recording of [feed.\"b\"] too: give each its own"                                              },
		{"[feeds.x]\nurl = \"ws://h\"\n",							    "did you mean \"feed\"?"               },
	};
	struct conf *c = NULL;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ck_assert_msg(
			load(span_of(rows[i].text), &c) == ERR_CONFIG_ERROR, "%s", rows[i].text);
		ck_assert_int_eq(error.code, ERR_CONFIG_ERROR);
		ck_assert_msg(strstr(error.text, rows[i].words) != NULL, "%s", error.text);
	}
}
END_TEST

START_TEST(a_reload)
{
	struct conf *now = must_load("[feed.a]\nurl = \"ws://h\"\n[feed.b]\nurl = \"ws://h\"\n");
	struct conf *next = must_load("[feed.b]\nurl = \"ws://h\"\nmax_retries = 2\n[feed.c]\n"
				      "url = \"ws://h\"\non_connect = [{await = '{}'}]\n");
	struct conf *merged;
	struct json_out o;
	struct buf out;

	buf_init(&out, 10000);
	o = json_out_start(&out);
	merged = conf_reload(now, next, &o);
	ck_assert_msg(span_is(buf_span(&out),
			      "{\"applied\":[\"feed.\\\"b\\\".max_retries\",\"feed.\\\"c\\\".url\","
			      "\"feed.\\\"c\\\".on_connect\",\"feed.\\\"a\\\".url\"],"
			      "\"needs_restart\":[]}"),
		"%.*s", SPAN_FMT(buf_span(&out)));
	ck_assert_uint_eq(merged->feeds.n, 2);
	ck_assert(conf_feed_is_equal(conf_feed_at(merged, 1), conf_feed_at(next, 1)));
	ck_assert(!conf_feed_is_equal(conf_feed_at(merged, 0), conf_feed_at(now, 1)));
	buf_fini(&out);
	conf_free(now);
	conf_free(next);
	conf_free(merged);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {the_same_in_both, prints_parse_back,
		only_what_is_not_the_default, the_effective_configuration_parses_back,
		what_is_refused, a_copy_of_a_large_one, definitions_that_are_none,
		errors_of_the_file_name_the_place, a_reload};
	Suite *suite = suite_create("conf_feed");
	TCase *tcase = tcase_create("conf_feed");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

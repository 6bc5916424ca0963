/*
 * JSON-RPC: the examples of its specification (with params by name, all that we
 * take), what a request may not be, messages of a server, and lines.
 */

#include <check.h>
#include <stdlib.h>

#include "common/rpc.h"
#include "common/xalloc.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static enum err
read_request(const char *text, struct rpc_request *request, struct error *error)
{
	struct json_value value;
	enum rpc_kind kind;
	enum err e = rpc_check(span_of(text), &kind, &value, error);

	return e == OK ? rpc_read_request(value, request, error) : e;
}

static void
assert_span(struct span got, const char *want)
{
	ck_assert_msg(span_is(got, want), "\"%.*s\" is not \"%s\"", SPAN_FMT(got), want);
}

START_TEST(test_requests)
{
	static const struct {
		const char *text;
		const char *id;
		const char *method;
		const char *params;
	} rows[] = {
		{"{\"jsonrpc\": \"2.0\", \"method\": \"subtract\", \"params\": {\"subtrahend\": 23, "
		 "\"minuend\": 42}, \"id\": 3}",				"3",     "\"subtract\"", "{\"subtrahend\": 23, \"minuend\": 42}"},
		{"{\"jsonrpc\": \"2.0\", \"method\": \"foobar\"}",                               "",      "\"foobar\"",   ""                                     },
		{"{\"jsonrpc\": \"2.0\", \"method\": \"foobar\", \"id\": \"1\"}",                "\"1\"",
                 "\"foobar\"",											    ""                                     },
		{"{\"id\":-5,\"method\":\"a\",\"params\":{},\"jsonrpc\":\"2.0\"}",               "-5",    "\"a\"",
                 "{}"																	    },
		{"{\"id\":123456789012345678901234567890,\"method\":\"a\",\"jsonrpc\":\"2.0\"}",
                 "123456789012345678901234567890",                                                        "\"a\"",        ""                                     },
		{"{\"i\\u0064\":\"\\u0041\",\"method\":\"\\u0061\",\"jsonrpc\":\"\\u0032.0\"}",
                 "\"\\u0041\"",									   "\"\\u0061\"",  ""                                     },
		{"{\"id\":\"\",\"method\":\"\",\"jsonrpc\":\"2.0\"}",                            "\"\"",  "\"\"",         ""                                     },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct error error = ERROR_NONE;
		struct rpc_request request;

		ck_assert_msg(read_request(rows[i].text, &request, &error) == OK, "%s: %s",
			rows[i].text, error.text);
		assert_span(request.id, rows[i].id);
		assert_span(request.method, rows[i].method);
		assert_span(request.params.raw, rows[i].params);
	}
}
END_TEST

START_TEST(test_bad_requests)
{
	static const struct {
		const char *text;
		const char *id; /* that the error can be answered to */
		const char *message;
	} rows[] = {
		{"{\"jsonrpc\": \"2.0\", \"method\": 1, \"params\": \"bar\"}",             "",
                 "the method must be a string"											  },
		{"{}",								     "",  "the member \"jsonrpc\" must be \"2.0\""},
		{"{\"id\":1,\"method\":\"a\"}",                                            "1", "the member \"jsonrpc\" must be \"2.0\""},
		{"{\"id\":1,\"jsonrpc\":\"1.0\",\"method\":\"a\"}",                        "1",
                 "the member \"jsonrpc\" must be \"2.0\""									       },
		{"{\"id\":1,\"jsonrpc\":2.0,\"method\":\"a\"}",                            "1",
                 "the member \"jsonrpc\" must be \"2.0\""									       },
		{"{\"id\":1,\"jsonrpc\":\"2.0\"}",                                         "1", "the member \"method\" is missing"      },
		{"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":[1]}",         "1",
                 "params must be an object"											     },
		{"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":null}",        "1",
                 "params must be an object"											     },
		{"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\",\"extra\":0}",            "1",
                 "unknown member \"extra\""											     },
		{"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\",\"result\":0}",           "1",
                 "unknown member \"result\": only answers have one"                                                                     },
		{"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\",\"error\":0}",            "1",
                 "unknown member \"error\": only answers have one"                                                                      },
		{"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\",\"metho\\u0064\":\"b\"}", "1",
                 "the member \"method\" is given twice"										 },
		{"{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":2}",               "",
                 "the member \"id\" is given twice"										     },
		{"{\"id\":null,\"jsonrpc\":\"2.0\",\"method\":\"a\"}",                     "",
                 "the id must be a string or an integer"										},
		{"{\"id\":true,\"jsonrpc\":\"2.0\",\"method\":\"a\"}",                     "",
                 "the id must be a string or an integer"										},
		{"{\"id\":[1],\"jsonrpc\":\"2.0\",\"method\":\"a\"}",                      "",
                 "the id must be a string or an integer"										},
		{"{\"id\":1.5,\"jsonrpc\":\"2.0\",\"method\":\"a\"}",                      "",
                 "an id that is a number is an integer"										 },
		{"{\"id\":1e3,\"jsonrpc\":\"2.0\",\"method\":\"a\"}",                      "",
                 "an id that is a number is an integer"										 },
		{"{\"id\":\"\\ud800\",\"jsonrpc\":\"2.0\",\"method\":\"a\"}",              "",
                 "the id is longer than 64 bytes, or not Unicode"                                                                       },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct error error = ERROR_NONE;
		struct rpc_request request;

		ck_assert_msg(read_request(rows[i].text, &request, &error) == ERR_INVALID_REQUEST,
			"%s", rows[i].text);
		ck_assert_str_eq(error.text, rows[i].message);
		assert_span(request.id, rows[i].id);
	}
}
END_TEST

START_TEST(test_long_ids)
{
	static const struct {
		const char *unit;
		int n;
		bool is_good;
	} rows[] = {
		{"i",            64, true },
		{"i",            65, false},
		{"\\u0041",      64, true },
		{"\\u0041",      65, false},
		{"\\u0041",      70, false},
		{"\xe2\x82\xac", 21, true },
		{"\xe2\x82\xac", 22, false},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct error error = ERROR_NONE;
		struct rpc_request request;
		char text[1000] = "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":\"";

		for (int n = 0; n < rows[i].n; n++)
			strcat(text, rows[i].unit);
		strcat(text, "\"}");
		ck_assert_msg((read_request(text, &request, &error) == OK) == rows[i].is_good, "%s",
			text);
		ck_assert_int_eq(request.id.n > 0, rows[i].is_good);
	}
}
END_TEST

START_TEST(test_messages_as_a_whole)
{
	static const struct {
		const char *text;
		enum err code;
		const char *message;
	} rows[] = {
		{"{\"jsonrpc\": \"2.0\", \"method\": \"foobar, \"params\": \"bar\", \"baz]",
                 ERR_PARSE_ERROR,										 "the message is not JSON: expected a comma or } at byte 40" },
		{"[{\"jsonrpc\": \"2.0\", \"method\"\n]",                                    ERR_PARSE_ERROR,
                 "the message is not JSON: expected a colon at byte 30"												       },
		{"",									 ERR_PARSE_ERROR,     "the message is not JSON: the text ends too early at byte 1"},
		{"[]",								       ERR_INVALID_REQUEST, "the batch is empty"                                        },
		{"1",									ERR_INVALID_REQUEST, "a message is an object, or an array of objects"            },
		{"\"x\"",								    ERR_INVALID_REQUEST, "a message is an object, or an array of objects"            },
		{"null",								     ERR_INVALID_REQUEST, "a message is an object, or an array of objects"            },
	};
	struct error error = ERROR_NONE;
	struct rpc_request request;
	struct json_value value, item;
	struct json_walk w;
	enum rpc_kind kind;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ck_assert_int_eq(
			rpc_check(span_of(rows[i].text), &kind, &value, &error), rows[i].code);
		ck_assert_str_eq(error.text, rows[i].message);
	}
	ck_assert_int_eq(rpc_check(SPAN(" {} "), &kind, &value, &error), OK);
	ck_assert_int_eq(kind, RPC_SINGLE);
	ck_assert_int_eq(rpc_check(SPAN("[1,2,3]"), &kind, &value, &error), OK);
	ck_assert_int_eq(kind, RPC_BATCH);
	w = json_walk_start(value);
	while (json_array_next(&w, &item)) {
		ck_assert_int_eq(rpc_read_request(item, &request, &error), ERR_INVALID_REQUEST);
		ck_assert_uint_eq(request.id.n, 0);
	}
}
END_TEST

START_TEST(test_batch_size)
{
	struct error error = ERROR_NONE;
	struct json_value value;
	enum rpc_kind kind;
	char text[1000] = "[1";

	for (int i = 1; i < RPC_BATCH_MAX; i++)
		strcat(text, ",1");
	strcat(text, "]");
	ck_assert_int_eq(rpc_check(span_of(text), &kind, &value, &error), OK);
	strcpy(text + strlen(text) - 1, ",1]");
	ck_assert_int_eq(rpc_check(span_of(text), &kind, &value, &error), ERR_INVALID_REQUEST);
	ck_assert_str_eq(error.text, "the batch has more than 100 requests");
}
END_TEST

START_TEST(test_answers)
{
	struct error error = ERROR_NONE;
	struct rpc_message m;

	ck_assert_int_eq(
		rpc_read_message(
			SPAN("{\"jsonrpc\":\"2.0\",\"result\":-19,\"id\":2,\"x\":1}"), &m, &error),
		OK);
	assert_span(m.id, "2");
	assert_span(m.result.raw, "-19");
	ck_assert_uint_eq(m.method.n, 0);
	ck_assert(!m.is_error);
	ck_assert_int_eq(
		rpc_read_message(
			SPAN("{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":\"a\"}"), &m, &error),
		OK);
	assert_span(m.result.raw, "null");
	ck_assert_int_eq(
		rpc_read_message(SPAN("{\"jsonrpc\":\"2.0\",\"method\":\"change\",\"params\":"
				      "{\"seq\":5}}"),
			&m, &error),
		OK);
	assert_span(m.method, "\"change\"");
	assert_span(m.params.raw, "{\"seq\":5}");
	ck_assert_uint_eq(m.id.n, 0);
	ck_assert_uint_eq(m.result.raw.n, 0);
}
END_TEST

START_TEST(test_error_answers)
{
	static const struct {
		const char *error;
		enum err code;
		int64_t seq;
		const char *text;
	} rows[] = {
		{"{\"code\":-32002,\"message\":\"is 5\",\"data\":{\"code\":\"CONFLICT\",\"seq\":5}}",
                 ERR_CONFLICT,											      5,  "is 5"},
		{"{\"code\": -32601, \"message\": \"Method not found\"}",                             ERR_METHOD_NOT_FOUND, -1,
                 "Method not found"												   },
		{"{\"code\":-32002,\"message\":\"\",\"data\":{\"code\":\"TIMEOUT\"}}",                ERR_TIMEOUT,
                 -1,													    ""    },
		{"{\"code\":-1,\"message\":\"\\u0000\\ud800\"}",                                      ERR_INTERNAL_ERROR,   -1,
                 "\xef\xbf\xbd\xef\xbf\xbd"											   },
		{"{\"code\":5,\"message\":\"x\",\"data\":{\"code\":\"NEW_ONE\",\"seq\":1.5}}",
                 ERR_INTERNAL_ERROR,											-1, "x"   },
		{"{\"code\":-32002,\"message\":\"x\",\"data\":[1]}",                                  ERR_CONFLICT,         -1, "x"   },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *text =
			xasprintf("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":%s}", rows[i].error);
		struct error error = ERROR_NONE;
		struct rpc_message m;

		ck_assert_int_eq(rpc_read_message(span_of(text), &m, &error), OK);
		ck_assert(m.is_error);
		assert_span(m.id, "null");
		ck_assert_int_eq(m.error.code, rows[i].code);
		ck_assert_int_eq(m.error.seq, rows[i].seq);
		ck_assert_str_eq(m.error.text, rows[i].text);
		free(text);
	}
}
END_TEST

START_TEST(test_bad_messages)
{
	static const char *const texts[] = {"[]", "1", "{}", "{\"jsonrpc\":\"2.0\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1}", "{\"jsonrpc\":\"2.0\",\"result\":1}",
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"result\":1}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":{}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}",
		"{\"jsonrpc\":\"2.0\",\"method\":1}",
		"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":[]}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":1}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":1}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"message\":\"x\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":\"1\",\"message\":\"x\"}}",
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"x\"}}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":1,\"result\":1}", "{\"id\":1,\"result\":1}"};
	struct rpc_message m;

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct error error = ERROR_NONE;

		ck_assert_msg(
			rpc_read_message(span_of(texts[i]), &m, &error) == ERR_INVALID_REQUEST,
			"%s", texts[i]);
		ck_assert_str_ne(error.text, "");
	}
	ck_assert_int_eq(rpc_read_message(SPAN("{"), &m, NULL), ERR_PARSE_ERROR);
}
END_TEST

START_TEST(test_written_answers)
{
	struct error error = ERROR_NONE;
	struct rpc_message m;
	struct buf out;

	buf_init(&out, 1000);
	rpc_add_result(&out, SPAN("\"a\""), SPAN("{\"x\":1}"));
	assert_span(buf_span(&out), "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"x\":1}}");
	buf_reset(&out);
	error_set(&error, ERR_CONFLICT, "its seq is \"5\"");
	error.seq = 5;
	rpc_add_error(&out, (struct span){0}, &error);
	assert_span(buf_span(&out),
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32002,\"message\":\"its seq is "
		"\\\"5\\\"\",\"data\":{\"code\":\"CONFLICT\",\"seq\":5}}}");
	for (enum err code = ERR_PARSE_ERROR; code < ERR_COUNT; code++) {
		buf_reset(&out);
		error_set(&error, code, "text\n");
		rpc_add_error(&out, SPAN("7"), &error);
		ck_assert_int_eq(rpc_read_message(buf_span(&out), &m, NULL), OK);
		assert_span(m.id, "7");
		ck_assert_int_eq(m.error.code, code);
		ck_assert_int_eq(m.error.seq, -1);
		ck_assert_str_eq(m.error.text, "text\n");
	}
	buf_fini(&out);
}
END_TEST

/** Feeds text in pieces; every line comes out as "NUMBER LINE|", one that is too long as
 * "NUMBER !|". */
static void
assert_lines(const char *text, size_t piece, const char *want)
{
	size_t n = strlen(text);
	struct rpc_lines l;
	struct span line;
	struct buf got;

	buf_init(&got, 1000);
	rpc_lines_init(&l, 8);
	for (size_t i = 0; i <= n; i += piece) {
		size_t take = piece < n - i ? piece : n - i;
		bool at_end = i + take == n;
		char *room = rpc_lines_room(&l, piece);
		enum rpc_line kind;

		memcpy(room, text + i, take);
		rpc_lines_filled(&l, take);
		while ((kind = rpc_lines_next(&l, at_end, &line)) != RPC_LINE_NONE) {
			buf_add_int(&got, (int64_t)rpc_lines_number(&l));
			buf_add_char(&got, ' ');
			buf_add_span(&got, kind == RPC_LINE ? line : SPAN("!"));
			buf_add_char(&got, '|');
		}
	}
	ck_assert_uint_eq(rpc_lines_held(&l), 0);
	assert_span(buf_span(&got), want);
	rpc_lines_fini(&l);
	buf_fini(&got);
}

START_TEST(test_lines)
{
	static const char *const rows[][2] = {
		{"",					       ""                      },
		{"\n\r\n\n",				       ""                      },
		{"a\nbc\r\n\nd",				   "1 a|2 bc|4 d|"         },
		{"12345678\n12345678\r\n",                         "1 12345678|2 12345678|"},
		{"12345678",				       "1 12345678|"           },
		{"12345678\r",				     "1 12345678|"           },
		{"\n123456789\na\n",                               "2 !|3 a|"              },
		{"a\n123456789\r\nb\n",                            "1 a|2 !|3 b|"          },
		{"123456789012345678901234567890\n123456789\n\nb", "1 !|2 !|4 b|"          },
		{"a\r\r\nb\rc\n",				  "1 a\r|2 b\rc|"         },
		{"\n\n123456789012345",                            "3 !|"                  },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t piece = 1; piece < 40; piece++)
			assert_lines(rows[i][0], piece, rows[i][1]);
}
END_TEST

START_TEST(test_lines_hold_no_more_than_they_may)
{
	struct rpc_lines l;
	struct span line;
	size_t held = 0;
	char *room;

	rpc_lines_init(&l, 100);
	while ((room = rpc_lines_room(&l, 4096)) != NULL) {
		memset(room, 'x', 4096);
		memset(room + 50, '\n', 1);
		rpc_lines_filled(&l, 4096);
		held += 4096;
		ck_assert_uint_le(held, RPC_LINES_AHEAD + 102);
	}
	ck_assert_uint_gt(held, RPC_LINES_AHEAD - 4096);
	ck_assert_int_eq(rpc_lines_next(&l, false, &line), RPC_LINE);
	ck_assert_uint_eq(line.n, 50);
	while (rpc_lines_next(&l, false, &line) != RPC_LINE_NONE)
		continue;
	ck_assert_msg(rpc_lines_room(&l, RPC_LINES_AHEAD) != NULL, "there is room again");
	rpc_lines_fini(&l);
	rpc_lines_init(&l, 4 * RPC_LINES_AHEAD);
	room = rpc_lines_room(&l, 3 * RPC_LINES_AHEAD);
	memset(room, 'x', 3 * RPC_LINES_AHEAD);
	room[3 * RPC_LINES_AHEAD - 1] = '\n';
	rpc_lines_filled(&l, 3 * RPC_LINES_AHEAD);
	ck_assert_int_eq(rpc_lines_next(&l, false, &line), RPC_LINE);
	ck_assert_uint_eq(line.n, 3 * RPC_LINES_AHEAD - 1);
	ck_assert_uint_eq(l.buf.cap, 3 * RPC_LINES_AHEAD);
	ck_assert_int_eq(rpc_lines_next(&l, false, &line), RPC_LINE_NONE);
	ck_assert_msg(l.buf.cap == 0, "what a long line took is given back");
	rpc_lines_fini(&l);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_requests, test_bad_requests, test_long_ids,
		test_messages_as_a_whole, test_batch_size, test_answers, test_error_answers,
		test_bad_messages, test_written_answers, test_lines,
		test_lines_hold_no_more_than_they_may};
	Suite *suite = suite_create("rpc");
	TCase *tcase = tcase_create("rpc");
	SRunner *runner = srunner_create(suite);
	int failed;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

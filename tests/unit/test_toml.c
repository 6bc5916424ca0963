/*
 * The TOML reader by the rules of the specification, section by section: what
 * it gives, what it refuses, and where it says the fault is. What the whole
 * language comes to is judged in tests/run/test_toml_judge.py.
 */

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/toml.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct toml *
parse(const char *text)
{
	struct error error = ERROR_NONE;
	struct toml *t = NULL;

	ck_assert_msg(toml_parse(span_of(text), "t", &t, &error) == OK, "%s\n%s", text, error.text);
	return t;
}

/** The node at "a.b.0": keys and places in arrays, separated by points. */
static const struct toml_node *
at(const struct toml *t, const char *path)
{
	const struct toml_node *node = toml_root(t);
	char *copy = strdup(path);
	char *rest = copy;
	char *part;

	while (node != NULL && (part = strsep(&rest, ".")) != NULL) {
		if (node->type == TOML_ARRAY) {
			node = node->first;
			for (long i = strtol(part, NULL, 10); i > 0 && node != NULL; i--)
				node = node->next;
		} else {
			ck_assert_int_eq(node->type, TOML_TABLE);
			node = toml_find(node, part);
		}
	}
	free(copy);
	ck_assert_msg(node != NULL, "nothing at %s", path);
	return node;
}

static void
assert_text(const struct toml_node *node, enum toml_type type, struct span want)
{
	ck_assert_int_eq(node->type, type);
	ck_assert_msg(span_eq(node->text, want), "\"%.*s\" is not \"%.*s\"", SPAN_FMT(node->text),
		SPAN_FMT(want));
}

/** Asserts that x in the document is this string. */
static void
assert_string(const char *document, struct span want)
{
	struct toml *t = parse(document);

	assert_text(at(t, "x"), TOML_STRING, want);
	toml_free(t);
}

static void
assert_integer(const char *document, const char *path, int64_t want)
{
	struct toml *t = parse(document);
	const struct toml_node *node = at(t, path);

	ck_assert_int_eq(node->type, TOML_INTEGER);
	ck_assert_int_eq(node->integer, want);
	toml_free(t);
}

struct fault {
	const char *document;
	const char *text; /* how the error begins */
};

static void
assert_fault(struct span document, const char *want)
{
	struct span shown = {document.p, document.n < 200 ? document.n : 200};
	struct error error = ERROR_NONE;
	struct toml *t = NULL;

	ck_assert_msg(toml_parse(document, "", &t, &error) == ERR_CONFIG_ERROR, "accepted: %.*s",
		SPAN_FMT(shown));
	ck_assert_ptr_null(t);
	ck_assert_int_eq(error.code, ERR_CONFIG_ERROR);
	ck_assert_msg(span_has_prefix(span_of(error.text), span_of(want)),
		"\"%.*s\": \"%s\" and not \"%s\"", SPAN_FMT(shown), error.text, want);
}

static void
assert_faults(const struct fault *faults, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_fault(span_of(faults[i].document), faults[i].text);
}

START_TEST(test_empty_documents)
{
	const char *const texts[] = {"", "\n", "\r\n", "  \t", "# c", "# c\n",
		" \t# c \xc3\xa9\t\r\n\n", "\xef\xbb\xbf", "\xef\xbb\xbf# c\n"};

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct toml *t = parse(texts[i]);

		ck_assert_int_eq(toml_root(t)->type, TOML_TABLE);
		ck_assert_ptr_null(toml_root(t)->first);
		toml_free(t);
	}
	toml_free(NULL);
}
END_TEST

START_TEST(test_encoding)
{
	static const struct fault faults[] = {
		{"a = \"\xff\"",               "1:6: invalid UTF-8"                 },
		{"# \xc3\xa9\n# \xed\xa0\x80", "2:3: invalid UTF-8"                 },
		{"# \xc0\xaf",                 "1:3: invalid UTF-8"                 },
		{"# \xf4\x90\x80\x80",         "1:3: invalid UTF-8"                 },
		{"a = 1\n\xef\xbb\xbf",        "2:1: expected a key"                },
		{"# a\rb",                     "1:4: control character in a comment"},
		{"# a\x01",                    "1:4: control character in a comment"},
		{"# a\x7f",                    "1:4: control character in a comment"},
		{"a = 1\r",                    "1:6: expected the end of the line"  },
		{"a = 1\rb = 2",               "1:6: expected the end of the line"  },
		{"a = \"x\x1fy\"",             "1:7: control character in a string" },
		{"a = 'x\x7fy'",               "1:7: control character in a string" },
		{"a = '''x\ry'''",             "1:9: control character in a string" },
	};

	assert_faults(faults, COUNT_OF(faults));
	assert_fault(SPAN("\0"), "1:1: expected a key");
	assert_fault(SPAN("a = 1 # \0"), "1:9: control character in a comment");
	assert_fault(SPAN("a = \"\0\""), "1:6: control character in a string");
}
END_TEST

START_TEST(test_keys)
{
	static const struct fault faults[] = {
		{"key = # INVALID",				       "1:7: expected a value"                    },
		{"first = \"Tom\" last = \"Preston-Werner\" # INVALID",
                 "1:15: expected the end of the line"								},
		{"= \"no key name\"",                                     "1:1: expected a key"                      },
		{"name = \"Tom\"\nname = \"Pradyun\"",                    "2:1: name is defined twice"               },
		{"spelling = \"favorite\"\n\"spelling\" = \"favourite\"",
                 "2:1: \"spelling\" is defined twice"								},
		{"fruit.apple = 1\nfruit.apple.smooth = true",            "2:7: apple is not a table"                },
		{"a",						     "1:2: expected = after the key"            },
		{"a b = 1",					       "1:3: expected = after the key"            },
		{"a. = 1",						"1:4: expected a key"                      },
		{".a = 1",						"1:1: expected a key"                      },
		{"a..b = 1",					      "1:3: expected a key"                      },
		{"\"\"\"a\"\"\" = 1",                                     "1:3: expected = after the key"            },
		{"'''a''' = 1",					   "1:3: expected = after the key"            },
		{"\"a\nb\" = 1",					  "1:1: the string is not closed on its line"},
		{"\xc3\xa9 = 1",					  "1:1: expected a key"                      },
		{"\xe2\x82\xac.",					 "1:1: expected a key"                      },
		{"a\n= 1",						"1:2: expected = after the key"            },
		{"a =\n1",						"1:4: expected a value"                    },
	};
	struct toml *t =
		parse("key = 1\nbare_key = 2\nbare-key = 3\n1234 = 4\n"
		      "\"127.0.0.1\" = 5\n\"character encoding\" = 6\n"
		      "\"\xca\x8e\xc7\x9d\xca\x9e\" = 7\n'key2' = 8\n"
		      "'quoted \"value\"' = 9\n\"\" = 10\n'\\u0041' = 11\n\"\\u0042\" = 12");
	const char *const names[] = {"key", "bare_key", "bare-key", "1234", "127.0.0.1",
		"character encoding", "\xca\x8e\xc7\x9d\xca\x9e", "key2", "quoted \"value\"", "",
		"\\u0041", "B"};
	const struct toml_node *node = toml_root(t)->first;

	for (size_t i = 0; i < COUNT_OF(names); i++, node = node->next) {
		ck_assert_msg(span_is(node->key, names[i]), "%.*s", SPAN_FMT(node->key));
		ck_assert_ptr_eq(toml_find(toml_root(t), names[i]), node);
		ck_assert_int_eq(node->integer, (int)i + 1);
		ck_assert_uint_eq(node->line, i + 1);
	}
	ck_assert_ptr_null(node);
	ck_assert_ptr_null(toml_find(toml_root(t), "ke"));
	toml_free(t);
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_dotted_keys)
{
	struct toml *t = parse("name = 'Orange'\nphysical.color = 'orange'\n"
			       "physical.shape = 'round'\nsite.\"google.com\" = true\n"
			       "fruit . \t flavor = 'banana'\n3.14159 = 'pi'\n");

	assert_text(at(t, "physical.color"), TOML_STRING, SPAN("orange"));
	assert_text(at(t, "physical.shape"), TOML_STRING, SPAN("round"));
	ck_assert(toml_find(at(t, "site"), "google.com")->boolean);
	assert_text(at(t, "fruit.flavor"), TOML_STRING, SPAN("banana"));
	assert_text(at(t, "3.14159"), TOML_STRING, SPAN("pi"));
	toml_free(t);
	assert_integer("fruit.apple.smooth = true\nfruit.orange = 2", "fruit.orange", 2);
	assert_integer("apple.type=1\norange.type=2\napple.skin=3\norange.skin=4", "apple.skin", 3);
}
END_TEST

START_TEST(test_basic_strings)
{
	static const struct fault faults[] = {
		{"x = \"a",             "1:5: the string is not closed"            },
		{"x = \"a\n\"",         "1:5: the string is not closed on its line"},
		{"x = \"a\\",           "1:5: the string is not closed"            },
		{"x = \"a\\x41\"",      "1:7: unknown escape"                      },
		{"x = \"\\e\"",         "1:6: unknown escape"                      },
		{"x = \"\\/\"",         "1:6: unknown escape"                      },
		{"x = \"\\U0041\"",     "1:12: expected 8 hexadecimal digits"      },
		{"x = \"\\u00g1\"",     "1:10: expected 4 hexadecimal digits"      },
		{"x = \"\\ud800\"",     "1:6: the escape is no Unicode character"  },
		{"x = \"\\uDFFF\"",     "1:6: the escape is no Unicode character"  },
		{"x = \"\\U00110000\"", "1:6: the escape is no Unicode character"  },
		{"x = \"a\\\n b\"",     "1:7: unknown escape"                      },
		{"x = \"a\" \"b\"",     "1:9: expected the end of the line"        },
		{"x = a",               "1:5: expected a value"                    },
	};

	assert_string(
		"x = \"I'm a string. \\\"You can quote me\\\". Name\\tJos\\u00E9\\nLocation\\tSF.\"",
		SPAN("I'm a string. \"You can quote me\". Name\tJos\xc3\xa9\nLocation\tSF."));
	assert_string("x = \"\"", SPAN(""));
	assert_string("x = \"\\b\\t\\n\\f\\r\\\"\\\\\"", SPAN("\b\t\n\f\r\"\\"));
	assert_string("x = \"a\tb\"", SPAN("a\tb"));
	assert_string("x = \"\\u0000\"", SPAN("\0"));
	assert_string("x = \"\\u007f\\u0080\\u07FF\\u0800\\uffff\\U00010000\\U0010FFFF\"",
		SPAN("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_long_basic_strings)
{
	static const struct fault faults[] = {
		{"x = \"\"\"Here are three quotation marks: \"\"\".\"\"\"",
                 "1:43: expected the end of the line"                                                           },
		{"x = \"\"\"a\"\"\"\"\"\"",                                 "1:14: expected the end of the line"},
		{"x = \"\"\"a",					     "1:5: the string is not closed"     },
		{"x = \"\"\"a\"\"",					 "1:5: the string is not closed"     },
		{"x = \"\"\"\\",					    "1:5: the string is not closed"     },
		{"x = \"\"\"a \\ b\"\"\"",                                  "1:10: unknown escape"              },
		{"x = \"\"\"a\\  \r b\"\"\"",                               "1:9: unknown escape"               },
	};

	assert_string("x = \"\"\"\nRoses are red\nViolets are blue\"\"\"",
		SPAN("Roses are red\nViolets are blue"));
	assert_string("x = \"\"\"\r\na\r\nb\"\"\"", SPAN("a\nb"));
	assert_string("x = \"\"\"\n\na\"\"\"", SPAN("\na"));
	assert_string(
		"x = \"\"\"\nThe quick brown \\\n\n\n  fox jumps over \\\n    the lazy dog.\"\"\"",
		SPAN("The quick brown fox jumps over the lazy dog."));
	assert_string("x = \"\"\"\\\n       The quick brown \\\n       fox.\\\n       \"\"\"",
		SPAN("The quick brown fox."));
	assert_string("x = \"\"\"a\\  \t\r\n \t\r\nb\"\"\"", SPAN("ab"));
	assert_string("x = \"\"\"Two: \"\". Simple.\"\"\"", SPAN("Two: \"\". Simple."));
	assert_string("x = \"\"\"Three: \"\"\\\".\"\"\"", SPAN("Three: \"\"\"."));
	assert_string("x = \"\"\"\"This,\" she said, \"is just a pointless statement.\"\"\"\"",
		SPAN("\"This,\" she said, \"is just a pointless statement.\""));
	assert_string("x = \"\"\"a\"\"\"\"\"", SPAN("a\"\""));
	assert_string("x = \"\"\"\"\"\"", SPAN(""));
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_literal_strings)
{
	static const struct fault faults[] = {
		{"x = 'it's'",							 "1:9: expected the end of the line"        },
		{"x = 'a",							     "1:5: the string is not closed"            },
		{"x = '''a''",							 "1:5: the string is not closed"            },
		{"x = 'a\nb'",							 "1:5: the string is not closed on its line"},
		{"x = '''Here are fifteen apostrophes: ''''''''''''''''''  # INVALID",
                 "1:43: expected the end of the line"									     },
	};

	assert_string("x = 'C:\\Users\\nodejs\\templates'", SPAN("C:\\Users\\nodejs\\templates"));
	assert_string("x = '<\\i\\c*\\s*>'", SPAN("<\\i\\c*\\s*>"));
	assert_string(
		"x = '''I [dw]on't need \\d{2} apples'''", SPAN("I [dw]on't need \\d{2} apples"));
	assert_string("x = '''\nThe first newline is\ntrimmed in raw strings.\n   '''",
		SPAN("The first newline is\ntrimmed in raw strings.\n   "));
	assert_string("x = ''''That,' she said, 'is still pointless.''''",
		SPAN("'That,' she said, 'is still pointless.'"));
	assert_string("x = '''a\\\n b'''", SPAN("a\\\n b"));
	assert_string("x = ''", SPAN(""));
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_integers)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {
		{"+99",                  99        },
		{"42",                   42        },
		{"0",                    0         },
		{"+0",                   0         },
		{"-0",                   0         },
		{"-17",                  -17       },
		{"1_000",                1000      },
		{"5_349_221",            5349221   },
		{"53_49_221",            5349221   },
		{"1_2_3_4_5",            12345     },
		{"0xDEADBEEF",           0xdeadbeef},
		{"0xdead_beef",          0xdeadbeef},
		{"0o01234567",           01234567  },
		{"0o755",                0755      },
		{"0b11010110",           0xd6      },
		{"0x00",                 0         },
		{"9223372036854775807",  INT64_MAX },
		{"-9223372036854775808", INT64_MIN },
		{"0x7fffffffffffffff",   INT64_MAX },
	};
	static const struct fault faults[] = {
		{"x = 01",                   "1:5: a number with a leading zero"         },
		{"x = -01",                  "1:5: a number with a leading zero"         },
		{"x = 0_1",                  "1:5: a number with a leading zero"         },
		{"x = 1__0",                 "1:5: not a number"                         },
		{"x = 1_",                   "1:5: not a number"                         },
		{"x = _1",                   "1:5: expected a value"                     },
		{"x = +_1",                  "1:5: expected a value"                     },
		{"x = ++1",                  "1:5: expected a value"                     },
		{"x = +0x1",                 "1:5: not a number"                         },
		{"x = 0X1",                  "1:5: not a number"                         },
		{"x = 0x",                   "1:5: not a number"                         },
		{"x = 0x_1",                 "1:5: not a number of base 16"              },
		{"x = 0x1_",                 "1:5: not a number of base 16"              },
		{"x = 0o8",                  "1:5: not a number of base 8"               },
		{"x = 0b2",                  "1:5: not a number of base 2"               },
		{"x = 0b-1",                 "1:5: not a number of base 2"               },
		{"x = 1a",                   "1:5: not a number"                         },
		{"x = 9223372036854775808",  "1:5: the integer does not fit into 64 bits"},
		{"x = -9223372036854775809", "1:5: the integer does not fit into 64 bits"},
		{"x = 0xffffffffffffffff",   "1:5: the integer does not fit into 64 bits"},
	};

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		char document[64];

		snprintf(document, sizeof(document), "x = %s # c", good[i].text);
		assert_integer(document, "x", good[i].value);
	}
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_floats)
{
	static const struct {
		const char *text;
		double value;
	} good[] = {
		{"3.1415",                  3.1415                 },
		{"5e+22",                   5e22                   },
		{"1e06",                    1e6                    },
		{"-2E-2",                   -2e-2                  },
		{"6.626e-34",               6.626e-34              },
		{"224_617.445_991_228",     224617.445991228       },
		{"0.0",                     0.0                    },
		{"-0.0",                    -0.0                   },
		{"0e0",                     0.0                    },
		{"1_0e1_0",                 10e10                  },
		{"1e999",                   INFINITY               },
		{"inf",                     INFINITY               },
		{"-inf",                    -INFINITY              },
		{"4.9406564584124654e-324", 4.9406564584124654e-324},
	};
	static const char *const nans[] = {"x = nan", "x = +nan", "x = -nan"};
	static const char *const bad[] = {".7", "7.", "3.e+20", "1.", "1._0", "1_.0", "1.0_", "1e",
		"1e+", "1e_1", "1e1_", "1.e1", "e1", "00.5", "+.5", "1.2.3", "1e1.5", "Inf", "NaN",
		"infinity", "nan1", "++inf", "0x1p3", "1,5"};

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		char document[64];
		struct toml *t;

		snprintf(document, sizeof(document), "x = %s", good[i].text);
		t = parse(document);
		ck_assert_int_eq(at(t, "x")->type, TOML_FLOAT);
		ck_assert_msg(at(t, "x")->number == good[i].value, "%s", document);
		ck_assert_int_eq(signbit(at(t, "x")->number) != 0, signbit(good[i].value) != 0);
		toml_free(t);
	}
	for (size_t i = 0; i < COUNT_OF(nans); i++) {
		struct toml *t = parse(nans[i]);

		ck_assert(isnan(at(t, "x")->number));
		toml_free(t);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		char document[64];

		snprintf(document, sizeof(document), "x = %s", bad[i]);
		assert_fault(span_of(document), "1:");
	}
}
END_TEST

START_TEST(test_booleans)
{
	struct toml *t = parse("bool1 = true\nbool2 = false");
	static const char *const bad[] = {
		"x = True", "x = FALSE", "x = truer", "x = t", "x = 'a'true"};

	ck_assert_int_eq(at(t, "bool1")->type, TOML_BOOL);
	ck_assert(at(t, "bool1")->boolean);
	ck_assert_int_eq(at(t, "bool2")->type, TOML_BOOL);
	ck_assert(!at(t, "bool2")->boolean);
	toml_free(t);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_fault(span_of(bad[i]), "1:");
}
END_TEST

START_TEST(test_dates_and_times)
{
	static const struct {
		const char *text;
		enum toml_type type;
		const char *normalised;
	} good[] = {
		{"1979-05-27T07:32:00Z",             TOML_OFFSET_DATETIME, "1979-05-27T07:32:00Z"      },
		{"1979-05-27T00:32:00-07:00",        TOML_OFFSET_DATETIME, "1979-05-27T00:32:00-07:00" },
		{"1979-05-27T00:32:00.999999-07:00", TOML_OFFSET_DATETIME,
                 "1979-05-27T00:32:00.999999-07:00"                                                    },
		{"1979-05-27 07:32:00Z",             TOML_OFFSET_DATETIME, "1979-05-27T07:32:00Z"      },
		{"1979-05-27t07:32:00z",             TOML_OFFSET_DATETIME, "1979-05-27T07:32:00Z"      },
		{"1990-12-31T23:59:60Z",             TOML_OFFSET_DATETIME, "1990-12-31T23:59:60Z"      },
		{"1979-05-27T07:32:00",              TOML_LOCAL_DATETIME,  "1979-05-27T07:32:00"       },
		{"1979-05-27 00:32:00.999999",       TOML_LOCAL_DATETIME,  "1979-05-27T00:32:00.999999"},
		{"1979-05-27",                       TOML_LOCAL_DATE,      "1979-05-27"                },
		{"2000-02-29",                       TOML_LOCAL_DATE,      "2000-02-29"                },
		{"07:32:00",                         TOML_LOCAL_TIME,      "07:32:00"                  },
		{"00:32:00.999999",                  TOML_LOCAL_TIME,      "00:32:00.999999"           },
	};
	static const char *const bad[] = {"1979-13-01", "1979-00-01", "1979-01-00", "1979-02-29",
		"1900-02-29", "1979-04-31", "1979-5-27", "79-05-27", "19790-05-27", "1979-05-27T",
		"1979-05-27T07:32", "1979-05-27T07:32:00.", "1979-05-27T24:00:00",
		"1979-05-27T00:60:00", "1979-05-27T00:00:61", "1979-05-27T00:00:00+24:00",
		"1979-05-27T00:00:00+00:60", "1979-05-27T00:00:00+0000", "1979-05-27T00:00:00 Z",
		"1979-05-27  07:32:00", "1979-05-27_07:32:00", "1979-05-27Z", "07:32", "7:32:00",
		"07:32:00Z", "07:32:00+01:00", "24:00:00", "07:32:00.", "07:32:00.a", "1979-0527",
		"1979-05-27T07:32:00Za"};

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		char document[64];
		struct toml *t;

		snprintf(document, sizeof(document), "x = %s # c", good[i].text);
		t = parse(document);
		assert_text(at(t, "x"), good[i].type, span_of(good[i].normalised));
		toml_free(t);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		char document[64];

		snprintf(document, sizeof(document), "x = %s", bad[i]);
		assert_fault(span_of(document), "1:");
	}
}
END_TEST

START_TEST(test_arrays)
{
	static const struct fault faults[] = {
		{"x = [1, 2",    "1:5: the array is not closed"     },
		{"x = [",        "1:6: expected a value"            },
		{"x = [1,\n",    "2:1: expected a value"            },
		{"x = [,]",      "1:6: expected a value"            },
		{"x = [1,,2]",   "1:8: expected a value"            },
		{"x = [1 2]",    "1:8: expected a comma or ]"       },
		{"x = [1}",      "1:7: expected a comma or ]"       },
		{"x = [1 # ]\n", "1:5: the array is not closed"     },
		{"x = [1]]",     "1:8: expected the end of the line"},
		{"x = [a = 1]",  "1:6: expected a value"            },
	};
	struct toml *t = parse("integers = [ 1, 2, 3 ]\nnested = [ [ 1, 2 ], [\"a\", 'b', []] ]\n"
			       "mixed = [ 0.1, 2, { x = \"y\" } ]\n"
			       "long = [ # c\n  1, # ]\n\r\n  2 # the last\n , \n]\nempty = []");

	ck_assert_int_eq(at(t, "integers.2")->integer, 3);
	ck_assert_ptr_null(at(t, "integers.2")->next);
	assert_text(at(t, "nested.1.1"), TOML_STRING, SPAN("b"));
	ck_assert_ptr_null(at(t, "nested.1.2")->first);
	ck_assert_int_eq(at(t, "mixed.0")->type, TOML_FLOAT);
	assert_text(at(t, "mixed.2.x"), TOML_STRING, SPAN("y"));
	ck_assert_int_eq(at(t, "long.1")->integer, 2);
	ck_assert_uint_eq(at(t, "long.1")->line, 7);
	ck_assert_uint_eq(at(t, "long.1")->column, 3);
	ck_assert_ptr_null(at(t, "long.1")->next);
	ck_assert_int_eq(at(t, "empty")->type, TOML_ARRAY);
	ck_assert_ptr_null(at(t, "empty")->first);
	toml_free(t);
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_tables)
{
	static const struct fault faults[] = {
		{"[fruit]\n[fruit]",							"2:2: fruit is defined twice"                 },
		{"[fruit]\napple = 1\n[fruit.apple]",                                       "3:8: apple is defined twice"                 },
		{"[fruit]\napple = 1\n[fruit.apple.b]",                                     "3:8: apple is not a table"                   },
		{"[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple]",
                 "4:8: apple is defined twice"											    },
		{"[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple.taste]",
                 "4:14: taste is defined twice"											   },
		{"[a.b]\nc = 1\n[a]\nb.d = 2",                                              "4:1: b is a table that was defined elsewhere"},
		{"[a]\nb.c = 1\n[d]\n[a.b]",						"4:4: b is defined twice"                     },
		{"a.b = 1\n[a]",							    "2:2: a is defined twice"                     },
		{"[a.b.c]\nz = 9\n[a]\nb.c.t = 1",                                          "4:3: c is a table that was defined elsewhere"},
		{"[]",								      "1:2: expected a key"                         },
		{"[ ]",								     "1:3: expected a key"                         },
		{"[a.]",								    "1:4: expected a key"                         },
		{"[.a]",								    "1:2: expected a key"                         },
		{"[a",								      "1:3: expected ]"                             },
		{"[a\n]",								   "1:3: expected ]"                             },
		{"[a b]",								   "1:4: expected ]"                             },
		{"[a] b = 1",							       "1:5: expected the end of the line"           },
		{"[a]]",								    "1:4: expected the end of the line"           },
	};
	struct toml *t =
		parse("[table-1]\nkey1 = \"some string\"\n\n[dog.\"tater.man\"]\n"
		      "type.name = \"pug\"\n[ d . e .\t'f' ]\n[x.y.z.w]\n[x]\nv = 1\n[empty]");

	assert_text(at(t, "table-1.key1"), TOML_STRING, SPAN("some string"));
	assert_text(toml_find(toml_find(toml_find(at(t, "dog"), "tater.man"), "type"), "name"),
		TOML_STRING, SPAN("pug"));
	ck_assert_int_eq(at(t, "d.e.f")->type, TOML_TABLE);
	ck_assert_int_eq(at(t, "x.y.z.w")->type, TOML_TABLE);
	ck_assert_int_eq(at(t, "x.v")->integer, 1);
	ck_assert_uint_eq(at(t, "x")->line, 8);
	ck_assert_uint_eq(at(t, "x")->column, 2);
	ck_assert_uint_eq(at(t, "x.y")->line, 7);
	ck_assert_uint_eq(at(t, "x.y")->column, 4);
	ck_assert_ptr_null(at(t, "empty")->first);
	toml_free(t);
	assert_integer("[fruit]\napple.taste.sweet = 1\n[fruit.apple.texture]\nsmooth = 2",
		"fruit.apple.texture.smooth", 2);
	assert_integer("[fruit.apple]\n[animal]\n[fruit.orange]\na = 3", "fruit.orange.a", 3);
	assert_integer("[a.b.c]\nd = 1\n[a]\nb.e = 2", "a.b.e", 2);
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_inline_tables)
{
	static const struct fault faults[] = {
		{"x = { a = 1, }",					     "1:14: expected a key"                         },
		{"x = {,}",						    "1:6: expected a key"                          },
		{"x = { a = 1 b = 2 }",					"1:13: expected a comma or }"                  },
		{"x = { a = 1\n}",					     "1:12: expected a comma or }"                  },
		{"x = {\na = 1 }",					     "1:6: expected a key"                          },
		{"x = { a = 1",						"1:12: expected a comma or }"                  },
		{"x = {",						      "1:6: expected a key"                          },
		{"x = { a = 1 # c\n}",					 "1:13: expected a comma or }"                  },
		{"x = { a = 1, a = 2 }",                                       "1:14: a is defined twice"                     },
		{"x = { a.b = 1, a = 2 }",                                     "1:16: a is defined twice"                     },
		{"x = { a = {}, a.b = 1 }",                                    "1:15: a is a table that was defined elsewhere"},
		{"[product]\ntype = { name = \"Nail\" }\ntype.edible = false",
                 "3:1: type is a table that was defined elsewhere"                                                            },
		{"[product]\ntype.name = \"Nail\"\ntype = { edible = false }",
                 "3:1: type is defined twice"										 },
		{"a = { b.c = 1 }\na.b.d = 2",                                 "2:1: a is a table that was defined elsewhere" },
		{"a = {}\n[a.b]",					      "2:2: a was written in one piece"              },
		{"a = {}\n[a]",						"2:2: a is defined twice"                      },
		{"a.b = {}\n[a.b.c]",					  "2:4: b was written in one piece"              },
		{"a = [{}]\n[a.b]",					    "2:2: a was written in one piece"              },
	};
	struct toml *t =
		parse("name = { first = \"Tom\", last = \"Preston-Werner\" }\n"
		      "point = { x = 1, y = 2 }\nanimal = { type.name = \"pug\", type.n = 3 }\n"
		      "e = { \t }\nm = {a=[\n1\n],b=\"\"\"\n2\"\"\"}\nd.x = {a.b=1}\nd.y = 4");

	assert_text(at(t, "name.last"), TOML_STRING, SPAN("Preston-Werner"));
	ck_assert_int_eq(at(t, "point.y")->integer, 2);
	ck_assert_uint_eq(at(t, "point.y")->column, 18);
	assert_text(at(t, "animal.type.name"), TOML_STRING, SPAN("pug"));
	ck_assert_int_eq(at(t, "animal.type.n")->integer, 3);
	ck_assert_ptr_null(at(t, "e")->first);
	ck_assert_int_eq(at(t, "m.a.0")->integer, 1);
	assert_text(at(t, "m.b"), TOML_STRING, SPAN("2"));
	ck_assert_int_eq(at(t, "d.y")->integer, 4);
	toml_free(t);
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_arrays_of_tables)
{
	static const struct fault faults[] = {
		{"[fruit.physical]\ncolor = 1\n[[fruit]]",
                 "3:3: fruit is defined already, and not by [[ ]]"                                                         },
		{"fruits = []\n[[fruits]]",                              "2:3: fruits is defined already, and not by [[ ]]"},
		{"[[fruits]]\n[[fruits.varieties]]\n[fruits.varieties]",
                 "3:9: varieties is defined twice"									 },
		{"[[fruits]]\n[fruits.physical]\n[[fruits.physical]]",
                 "3:10: physical is defined already, and not by [[ ]]"                                                     },
		{"[[a]]\n[a]",					   "2:2: a is defined twice"                         },
		{"[[a.b]]\n[a]\nb.c = 1",                                "3:1: b is not a table"                           },
		{"[[a]",						 "1:4: expected ]]"                                },
		{"[[a] ]",					       "1:4: expected ]]"                                },
		{"[ [a]]",					       "1:3: expected a key"                             },
		{"[[]]",						 "1:3: expected a key"                             },
	};
	struct toml *t =
		parse("[[products]]\nname = \"Hammer\"\nsku = 738594937\n[[products]]  # empty\n"
		      "[[products]]\nname = \"Nail\"\ncolor = \"gray\"\n"
		      "[[fruits]]\nname = \"apple\"\n[fruits.physical]\ncolor = \"red\"\n"
		      "[[fruits.varieties]]\nname = \"red delicious\"\n"
		      "[[fruits.varieties]]\nname = \"granny smith\"\n"
		      "[[fruits]]\nname = \"banana\"\n[[fruits.varieties]]\nname = \"plantain\"\n");

	ck_assert_int_eq(at(t, "products.0.sku")->integer, 738594937);
	ck_assert_ptr_null(at(t, "products.1")->first);
	assert_text(at(t, "products.2.color"), TOML_STRING, SPAN("gray"));
	ck_assert_ptr_null(at(t, "products.2")->next);
	assert_text(at(t, "fruits.0.physical.color"), TOML_STRING, SPAN("red"));
	assert_text(at(t, "fruits.0.varieties.1.name"), TOML_STRING, SPAN("granny smith"));
	assert_text(at(t, "fruits.1.varieties.0.name"), TOML_STRING, SPAN("plantain"));
	toml_free(t);
	assert_faults(faults, COUNT_OF(faults));
}
END_TEST

START_TEST(test_places)
{
	struct error error = ERROR_NONE;
	struct toml *t = NULL;
	char key[200];

	ck_assert_int_eq(toml_parse(SPAN("\n\n# \xc3\xa9\na = '\xc3\xa9\xe2\x82\xac' x"),
				 "sysrt.toml", &t, &error),
		ERR_CONFIG_ERROR);
	ck_assert_str_eq(error.text, "sysrt.toml:4:10: expected the end of the line");
	ck_assert_int_eq(toml_parse(SPAN("a"), "t", &t, NULL), ERR_CONFIG_ERROR);
	memset(key, 'k', sizeof(key));
	memcpy(key, "[a]\n[a.", 7);
	memcpy(key + 100, "]\n[a.", 5);
	memcpy(key + 105, key + 7, 93);
	key[198] = ']';
	key[199] = '\0';
	assert_fault(span_of(key), "3:4: kkkk");
}
END_TEST

START_TEST(test_depth_and_width)
{
	char *text = (char *)malloc(1 << 20);
	size_t n = 0;
	struct toml *t;

	for (int i = 0; i < 20000; i++)
		n += (size_t)sprintf(text + n, "k%d.x = %d\n", i, i);
	t = parse(text);
	ck_assert_int_eq(at(t, "k19999.x")->integer, 19999);
	toml_free(t);
	memcpy(text, "a = ", 4);
	memset(text + 4, '[', 100000);
	assert_fault((struct span){text, 100004}, "1:133: nested more than 128 deep");
	free(text);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_empty_documents, test_encoding, test_keys,
		test_dotted_keys, test_basic_strings, test_long_basic_strings, test_literal_strings,
		test_integers, test_floats, test_booleans, test_dates_and_times, test_arrays,
		test_tables, test_inline_tables, test_arrays_of_tables, test_places,
		test_depth_and_width};
	Suite *suite = suite_create("toml");
	TCase *tcase = tcase_create("toml");
	SRunner *runner = srunner_create(suite);
	int failed;

	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/*
 * json-echo: reads one JSON text on standard input and prints it with the white
 * space between its tokens removed; exit 1 and "byte N: message" on standard
 * error where it is not JSON. With --texts it reads a stream of "LENGTH\n" and
 * that many bytes, and answers each with a line: "+" and the text, or "-" and
 * the message.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/xalloc.h"

#define INPUT_MAX ((size_t)256 << 20)

/** Appends the compacted text, or what is wrong with it. */
static bool
echo(struct span text, struct buf *out)
{
	struct json_fault fault;
	struct json_value value;

	if (json_check(text, JSON_DEPTH_MAX, &value, &fault) != OK) {
		buf_addf(out, "byte %zu: %s", fault.offset, fault.what);
		return false;
	}
	json_compact(value, out);
	return true;
}

static int
echo_one(void)
{
	struct buf in, out;
	bool is_good;
	size_t n;

	buf_init(&in, INPUT_MAX);
	buf_init(&out, INPUT_MAX);
	do {
		char *room = buf_reserve(&in, 65536);

		n = room != NULL ? fread(room, 1, 65536, stdin) : 0;
		in.n += n;
	} while (n > 0);
	is_good = !in.failed && echo(buf_span(&in), &out);
	buf_add_char(&out, '\n');
	fwrite(out.p, 1, out.n, is_good ? stdout : stderr);
	buf_fini(&in);
	buf_fini(&out);
	return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
echo_texts(void)
{
	struct buf out;
	char line[32];

	buf_init(&out, INPUT_MAX);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		size_t n = strtoul(line, NULL, 10);
		char *text; /* of exactly n bytes, so that a sanitizer sees a byte too many */
		bool is_good;

		must(n < INPUT_MAX);
		text = (char *)xcalloc(n, 1);
		must(fread(text, 1, n, stdin) == n);
		buf_reset(&out);
		is_good = echo((struct span){text, n}, &out);
		printf("%c%.*s\n", is_good ? '+' : '-', SPAN_FMT(buf_span(&out)));
		free(text);
	}
	buf_fini(&out);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "--texts") == 0 ? echo_texts() : echo_one();
}

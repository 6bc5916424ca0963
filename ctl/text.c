/* From words of the command line, and from files, to JSON: see text.h. */

#include "ctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/utf8.h"
#include "common/xalloc.h"

#define DATA_MAX   ((size_t)256 << 20)
#define READ_BYTES 65536

static int
read_all(int fd, struct buf *out)
{
	ssize_t n;

	do {
		char *room = buf_reserve(out, READ_BYTES);

		if (room == NULL) {
			errno = EFBIG;
			return -1;
		}
		n = read(fd, room, READ_BYTES);
		out->n += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? -1 : 0;
}

static int
read_source(const char *word, struct buf *text)
{
	bool is_file = word != NULL && word[0] == '@';
	int fd = is_file ? open(word + 1, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	int status = 0;

	if (fd < 0 || read_all(fd, text) != 0)
		status = ctl_refuse(
			"reading %s: %s", is_file ? word + 1 : "standard input", strerror(errno));
	if (is_file && fd >= 0)
		close(fd);
	return status;
}

static int
add_checked(struct buf *out, struct span text)
{
	struct json_value value;
	struct json_fault fault;

	if (json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK) {
		json_compact(value, out);
		return 0;
	}
	return ctl_usage("the data is not JSON: %s at byte %zu (a bare string goes with --text)",
		fault.what, fault.offset + 1);
}

/** A bare string: what is not text must not become another text. */
static int
add_text(struct buf *out, struct span text)
{
	const char *p = text.p, *end = text.p + text.n;

	for (size_t n; p < end; p += n) {
		n = utf8_next(p, end);
		if (n == 0)
			return ctl_usage("the text is not UTF-8 at byte %td", p - text.p + 1);
	}
	json_add_string(out, text);
	return 0;
}

int
text_add_data(struct buf *out, const char *word, bool is_text)
{
	bool is_source = word == NULL || strcmp(word, "-") == 0 || word[0] == '@';
	struct span data = span_of(word);
	struct buf text;
	int status = 0;

	buf_init(&text, DATA_MAX);
	if (is_source) {
		status = read_source(word, &text);
		data = text.n > 0 ? buf_span(&text) : SPAN("");
	}
	if (status == 0 && is_text)
		status = add_text(out, data);
	else if (status == 0)
		status = add_checked(out, data);
	buf_fini(&text);
	return status;
}

void
text_put_words(struct json_out *o, const char *key, const char *const *words, unsigned n)
{
	json_begin_array(o, key);
	for (unsigned i = 0; i < n; i++)
		json_put_str(o, NULL, words[i]);
	json_end_array(o);
}

void
text_put_option(const struct ctl *c, struct json_out *o, const char *option, const char *key)
{
	const char *value = ctl_option(c, option);

	if (value != NULL)
		json_put_str(o, key, value);
}

int
text_put_number(const struct ctl *c, struct json_out *o, const char *option, const char *key)
{
	const char *value = ctl_option(c, option);
	int64_t number;

	if (value == NULL)
		return 0;
	if (!span_number(span_of(value), &number))
		return ctl_usage("--%s is a number, not \"%s\"", option, value);
	json_put_int(o, key, number);
	return 0;
}

void
text_put_time(const struct ctl *c, struct json_out *o, const char *option, const char *key)
{
	const char *value = ctl_option(c, option);
	int64_t ms;

	if (value != NULL && span_number(span_of(value), &ms))
		json_put_int(o, key, ms);
	else if (value != NULL)
		json_put_str(o, key, value);
}

/** "/price>10": a pointer, an operator, and JSON or else a bare string. */
static int
put_short_where(struct json_out *o, const char *text)
{
	size_t at = strcspn(text, "=!<>");
	size_t op_n = strspn(text + at, "=!<>");
	struct span value = span_of(text + at + op_n);
	char *pointer = xstrndup(text, at), *op = xstrndup(text + at, op_n);
	struct json_value checked;
	struct json_fault fault;

	json_begin_object(o, "where");
	json_begin_object(o, pointer);
	if (json_check(value, JSON_DEPTH_MAX, &checked, &fault) == OK)
		json_put_raw(o, op, checked.raw);
	else
		json_put_string(o, op, value);
	json_end_object(o);
	json_end_object(o);
	free(pointer);
	free(op);
	return op_n > 0 ? 0
			: ctl_usage("--where \"%s\": write /name>10 (or = != < <= >=), or JSON",
				  text);
}

int
text_put_where(const struct ctl *c, struct json_out *o)
{
	const char *text = ctl_option(c, "where");
	struct json_value value;
	struct json_fault fault;

	if (text == NULL)
		return 0;
	if (text[0] == '/')
		return put_short_where(o, text);
	if (json_check(span_of(text), JSON_DEPTH_MAX, &value, &fault) != OK)
		return ctl_usage("--where is not JSON: %s at byte %zu (nor does it begin with /)",
			fault.what, fault.offset + 1);
	json_put_raw(o, "where", value.raw);
	return 0;
}

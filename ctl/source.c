/* Inputs: see source.h. */

#include "ctl/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/interrupt.h"

#define READ_BYTES ((size_t)128 << 10)

/** What was looked at: is there an item? */
enum cut { CUT_MORE, CUT_ITEM, CUT_NOTHING, CUT_FAULT };

void
source_init(struct source *s, int fd, const char *name, enum source_format format)
{
	*s = (struct source){
		.fd = fd,
		.name = name,
		.format = format,
		.separator = ',',
		.item_max = SOURCE_ITEM_MAX,
		.line = 1,
	};
	buf_init(&s->window, SOURCE_ITEM_MAX + 2 * READ_BYTES);
	if (format == SOURCE_ARRAY)
		s->state.unarray = unarray_start();
}

void
source_fini(struct source *s)
{
	buf_fini(&s->window);
}

bool
source_seek(struct source *s, int64_t offset, uint64_t line)
{
	char last;

	if (pread(s->fd, &last, 1, offset - 1) != 1 || lseek(s->fd, offset, SEEK_SET) < 0)
		return false;
	buf_reset(&s->window);
	s->start = s->seen = 0;
	s->end = offset;
	s->line = line;
	s->is_over = s->is_skipping = false;
	if (s->format == SOURCE_ARRAY)
		s->state.unarray = unarray_resume(last == ']');
	else
		s->state.csv = CSV_FIELD;
	return true;
}

ssize_t
source_read(struct source *s)
{
	char *room;
	ssize_t n;

	buf_consume(&s->window, s->start);
	s->start = 0;
	room = buf_reserve(&s->window, READ_BYTES);
	if (room == NULL) {
		ctl_refuse("%s: line %llu is too large for the memory", s->name,
			(unsigned long long)s->line);
		return -1;
	}
	do
		n = read(s->fd, room, READ_BYTES);
	while (n < 0 && errno == EINTR && interrupt_status() == 0);
	if (n < 0 && interrupt_status() == 0)
		ctl_refuse("reading %s: %s", s->name, strerror(errno));
	if (n > 0) {
		s->window.n += (size_t)n;
		s->end += n;
	}
	return n;
}

static struct span
unseen(const struct source *s)
{
	size_t at = s->start + s->seen;

	return s->window.n > at ? (struct span){s->window.p + at, s->window.n - at} : SPAN("");
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/** Passes over a byte order mark, and finds out what the input is; false: not yet. */
static bool
begin(struct source *s, bool at_end)
{
	struct span mark = SPAN("\xef\xbb\xbf"), text = unseen(s);
	size_t i = 0;

	if (text.n < mark.n && !at_end)
		return false;
	if (s->end == (int64_t)s->window.n && span_has_prefix(text, mark)) {
		s->start += mark.n;
		text = unseen(s);
	}
	while (s->format == SOURCE_JSON && i < text.n && is_blank(text.p[i]))
		i++;
	if (s->format == SOURCE_JSON && i == text.n && !at_end)
		return false;
	if (s->format == SOURCE_JSON) {
		s->format = i < text.n && text.p[i] == '[' ? SOURCE_ARRAY : SOURCE_LINES;
		s->state.unarray = unarray_start();
	}
	return true;
}

static enum cut
cut_line(struct span text, size_t *used)
{
	const char *feed = memchr(text.p, '\n', text.n);

	*used = feed != NULL ? (size_t)(feed - text.p) + 1 : text.n;
	return feed != NULL ? CUT_ITEM : CUT_MORE;
}

static enum cut
cut_row(struct source *s, struct span text, size_t *used)
{
	size_t n = csv_row_end(&s->state.csv, s->separator, text.p, text.n);

	*used = n > 0 ? n : text.n;
	return n > 0 ? CUT_ITEM : CUT_MORE;
}

static enum cut
cut_array(struct source *s, struct span text, size_t *used)
{
	switch (unarray_next(&s->state.unarray, text.p, text.n, used)) {
	case UNARRAY_END:
		return CUT_ITEM;
	case UNARRAY_NOTHING:
		return CUT_NOTHING;
	case UNARRAY_FAULT:
		return CUT_FAULT;
	case UNARRAY_MORE:
		break;
	}
	return CUT_MORE;
}

static enum cut
cut(struct source *s, size_t *used)
{
	struct span text = unseen(s);

	if (s->format == SOURCE_CSV)
		return cut_row(s, text, used);
	return s->format == SOURCE_ARRAY ? cut_array(s, text, used) : cut_line(text, used);
}

static uint64_t
count_lines(const char *p, size_t n)
{
	const char *end = p + n;
	uint64_t lines = 0;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		lines++;
		p++;
	}
	return lines;
}

/** Everything that was looked at is dealt with. */
static void
pass(struct source *s)
{
	if (s->seen > 0)
		s->line += count_lines(s->window.p + s->start, s->seen);
	s->start += s->seen;
	s->seen = 0;
}

/** A line of white space is no item; a row of it may be one, of one column. */
static bool
is_nothing(const struct source *s, struct span text)
{
	size_t i = 0;

	while (s->format == SOURCE_LINES && i < text.n && is_blank(text.p[i]))
		i++;
	return s->format != SOURCE_ARRAY && i == text.n;
}

static enum source_found
tell_bad(struct source_item *item, uint64_t line, const char *why)
{
	*item = (struct source_item){.place.line = line, .why = why};
	return SOURCE_BAD;
}

/** The item without `ending` bytes at its end and what stands around it. */
static struct span
trim(const struct source *s, size_t ending)
{
	struct span text = {s->window.p + s->start, s->seen - ending};

	if (s->format != SOURCE_ARRAY) {
		text.n -= text.n > 0 && text.p[text.n - 1] == '\r';
		return text;
	}
	for (; text.n > 0 && is_blank(text.p[0]); text.n--)
		text.p++;
	while (text.n > 0 && is_blank(text.p[text.n - 1]))
		text.n--;
	return text;
}

/** Takes what was looked at as an item; SOURCE_NONE: it is none. */
static enum source_found
take(struct source *s, size_t ending, struct source_item *item)
{
	struct span text = trim(s, ending);
	uint64_t line = s->line;
	bool is_rest = s->is_skipping;

	if (s->format == SOURCE_ARRAY)
		line += count_lines(
			s->window.p + s->start, (size_t)(text.p - s->window.p) - s->start);
	pass(s);
	s->is_skipping = false;
	if (is_rest || is_nothing(s, text))
		return SOURCE_NONE;
	if (text.n > s->item_max)
		return tell_bad(item, line, NULL);
	*item = (struct source_item){
		text, {line, s->end - (int64_t)(s->window.n - s->start)},
                 NULL
        };
	return SOURCE_ITEM;
}

/** All that was read is looked at, and the item has not ended. */
static enum source_found
wait_for_rest(struct source *s, struct source_item *item)
{
	bool is_new = !s->is_skipping;
	uint64_t line = s->line;

	if (is_new && s->seen <= s->item_max + 2) /* two for the end of a line */
		return SOURCE_NONE;
	s->is_skipping = true;
	pass(s);
	return is_new ? tell_bad(item, line, NULL) : SOURCE_NONE;
}

/** The input has ended: what is left may be an item. */
static enum source_found
end(struct source *s, struct source_item *item)
{
	s->is_over = true;
	if (s->format == SOURCE_ARRAY) {
		if (s->state.unarray.place == UNARRAY_BEFORE ||
			s->state.unarray.place == UNARRAY_BEHIND)
			return SOURCE_NONE;
		return tell_bad(item, s->line + count_lines(s->window.p + s->start, s->seen),
			"the array is not closed");
	}
	return s->seen > 0 ? take(s, 0, item) : SOURCE_NONE;
}

static enum source_found
tell_fault(struct source *s, struct source_item *item)
{
	pass(s);
	s->is_over = true;
	return tell_bad(item, s->line,
		s->state.unarray.place == UNARRAY_BEFORE ? "expected an array"
							 : "something stands behind the array");
}

enum source_found
source_next(struct source *s, bool at_end, struct source_item *item)
{
	enum source_found found = SOURCE_NONE;

	if (!s->has_begun)
		s->has_begun = begin(s, at_end);
	while (s->has_begun && !s->is_over && found == SOURCE_NONE) {
		size_t used;
		enum cut c = cut(s, &used);

		s->seen += used;
		if (c == CUT_ITEM)
			found = take(s, 1, item);
		else if (c == CUT_NOTHING)
			pass(s);
		else if (c == CUT_FAULT)
			found = tell_fault(s, item);
		else if (at_end)
			found = end(s, item);
		else
			return wait_for_rest(s, item);
	}
	return found;
}

/* Snippets: see snippet.h. Offsets in here are bytes of the whole text until they are written. */

#include "daemon/search/snippet.h"

#include "common/utf8.h"
#include "common/xalloc.h"
#include "daemon/search/text.h"

#define ELLIPSIS "\xe2\x80\xa6"

struct window {
	size_t start;
	size_t end;
};

/** The bytes of the character at `at`; a byte that begins none counts as one. */
static size_t
character(struct span text, size_t at)
{
	size_t n = utf8_next(text.p + at, text.p + text.n);

	return n > 0 ? n : 1;
}

static bool
is_space(struct span text, size_t at)
{
	return (unsigned char)text.p[at] <= ' ' || text.p[at] == 0x7f;
}

/** How many characters text has from `start` to `end`. */
static size_t
count(struct span text, size_t start, size_t end)
{
	size_t n = 0;

	for (; start < end; n++)
		start += character(text, start);
	return n;
}

/** Goes `n` characters on, at most to `limit`. */
static size_t
forward(struct span text, size_t at, size_t n, size_t limit)
{
	while (n-- > 0 && at < limit)
		at += character(text, at);
	return at < limit ? at : limit;
}

static size_t
backward(struct span text, size_t at, size_t n)
{
	for (; n > 0 && at > 0; n--)
		do
			at--;
		while (at > 0 && ((unsigned char)text.p[at] & 0xc0) == 0x80);
	return at;
}

/** The run of matches that is worth most among those that fit into `length` characters. */
static struct window
best_cluster(struct span text, const struct match *m, size_t n, size_t length)
{
	struct window best = {m[0].start, m[0].end};
	unsigned best_terms = 0;
	size_t best_n = 0;

	for (size_t first = 0; first < n; first++) {
		size_t limit = forward(text, m[first].start, length, text.n), i;
		size_t end = m[first].end;
		uint64_t terms = 0;
		unsigned terms_n;

		for (i = first; i < n && m[i].end <= limit; i++) {
			terms |= UINT64_C(1) << m[i].term;
			end = m[i].end > end ? m[i].end : end;
		}
		terms_n = (unsigned)__builtin_popcountll(terms);
		if (terms_n < best_terms || (terms_n == best_terms && i - first <= best_n))
			continue;
		best = (struct window){m[first].start, end};
		best_terms = terms_n;
		best_n = i - first;
	}
	return best;
}

/** Moves the cut ends inwards to the borders of words, but not into the cluster. */
static void
cut_between_words(struct span text, struct window *w, struct window cluster)
{
	size_t at = w->start;

	if (at > 0 && !is_space(text, at - 1)) {
		while (at < cluster.start && !is_space(text, at))
			at++;
		if (at < cluster.start)
			w->start = at;
	}
	at = w->end;
	if (at < text.n && !is_space(text, at)) {
		while (at > cluster.end && !is_space(text, at - 1))
			at--;
		if (at > cluster.end)
			w->end = at;
	}
}

/** Leaves out a match that an end would cut through: half of one says nothing. */
static void
cut_between_matches(struct window *w, struct window cluster, const struct match *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (m[i].start < w->start && w->start < m[i].end && m[i].end <= cluster.start)
			w->start = m[i].end;
		if (m[i].start < w->end && w->end < m[i].end && m[i].start >= cluster.end)
			w->end = m[i].start;
	}
}

static struct window
choose(struct span text, const struct match *matches, size_t n, size_t length)
{
	struct window cluster = {0, 0}, w;
	size_t rest;

	if (n > 0)
		cluster = best_cluster(text, matches, n, length);
	cluster.end = forward(text, cluster.start, length, cluster.end);
	rest = length - count(text, cluster.start, cluster.end);
	w.start = backward(text, cluster.start, rest / 2);
	w.end = forward(text, w.start, length, text.n);
	if (w.end == text.n)
		w.start = backward(text, text.n, length);
	if (w.start > cluster.start)
		w.start = cluster.start;
	cut_between_words(text, &w, cluster);
	cut_between_matches(&w, cluster, matches, n);
	return w;
}

/** Copies matches, joining those that overlap or touch; returns how many there are then. */
static size_t
join(struct match *to, const struct match *from, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		struct match *last = kept > 0 ? &to[kept - 1] : NULL;

		if (last == NULL || from[i].start > last->end)
			to[kept++] = from[i];
		else if (from[i].end > last->end)
			last->end = from[i].end;
	}
	return kept;
}

/** A piece while it is written, and where the matches are in it. */
struct piece {
	struct buf text;
	uint32_t units;      /* UTF-16's in it */
	bool is_begun;       /* a character of the text is in it */
	bool owes_space;     /* before the next character */
	bool owes_border;    /* the end of a value, likewise */
	struct match *marks; /* in units */
	size_t marks_n;
	const struct match *last; /* whose mark is the last one */
};

static uint32_t
units_of(struct span text, size_t start, size_t end)
{
	uint32_t units = 0;

	for (size_t i = start; i < end; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if ((c & 0xc0) != 0x80)
			units += c >= 0xf0 ? 2 : 1;
	}
	return units;
}

static void
add(struct piece *p, struct span text)
{
	p->units += units_of(text, 0, text.n);
	buf_add_span(&p->text, text);
}

static void
add_character(struct piece *p, struct span c, const struct match *in)
{
	if (p->owes_border && p->is_begun)
		add(p, SPAN(" \xc2\xb7 "));
	else if (p->owes_space && p->is_begun)
		add(p, SPAN(" "));
	p->owes_border = p->owes_space = false;
	p->is_begun = true;
	if (in != NULL && in != p->last) {
		p->last = in;
		p->marks[p->marks_n++].start = p->units;
	}
	add(p, utf8_next(c.p, c.p + c.n) == c.n ? c : SPAN("\xef\xbf\xbd"));
	if (in != NULL)
		p->marks[p->marks_n - 1].end = p->units;
}

/** Appends the window of the text. */
static void
add_window(struct piece *p, struct span text, struct window w, const struct match *m, size_t n)
{
	const struct match *end = m + n;

	if (w.start > 0)
		add(p, SPAN(ELLIPSIS));
	for (size_t at = w.start, bytes; at < w.end; at += bytes) {
		struct span c = {text.p + at, bytes = character(text, at)};

		while (m < end && m->end <= at)
			m++;
		if (is_space(text, at))
			p->owes_space = true;
		else if (span_is(c, TEXT_SEPARATOR))
			p->owes_border = true;
		else
			add_character(p, c, m < end && m->start <= at ? m : NULL);
	}
	if (w.end < text.n)
		add(p, SPAN(ELLIPSIS));
}

static void
put_ranges(struct json_out *o, const char *key, const struct match *ranges, size_t n)
{
	json_begin_array(o, key);
	for (size_t i = 0; i < n; i++) {
		json_begin_array(o, NULL);
		json_put_int(o, NULL, ranges[i].start);
		json_put_int(o, NULL, ranges[i].end);
		json_end_array(o);
	}
	json_end_array(o);
}

void
snippet_put(struct json_out *o, const char *key, struct span text, const struct match *matches,
	size_t n, size_t length)
{
	struct match joined[SNIPPET_MATCHES_MAX], marks[SNIPPET_MATCHES_MAX];
	struct piece p = {.marks = marks};
	struct window w;

	n = n < SNIPPET_MATCHES_MAX ? n : SNIPPET_MATCHES_MAX;
	w = choose(text, matches, n, length);
	n = join(joined, matches, n);
	buf_init(&p.text, (w.end - w.start) * 4 + 2 * sizeof(ELLIPSIS));
	add_window(&p, text, w, joined, n);
	json_begin_object(o, key);
	json_put_string(o, "text", p.text.n > 0 ? buf_span(&p.text) : SPAN(""));
	put_ranges(o, "matches", marks, p.marks_n);
	json_end_object(o);
	buf_fini(&p.text);
}

void
snippet_put_matches(struct json_out *o, const char *key, struct span text,
	const struct match *matches, size_t n)
{
	struct match joined[SNIPPET_MATCHES_MAX];
	uint32_t units = 0;
	size_t at = 0;

	n = join(joined, matches, n < SNIPPET_MATCHES_MAX ? n : SNIPPET_MATCHES_MAX);
	for (size_t i = 0; i < n; i++) {
		struct match m = joined[i];

		joined[i].start = units += units_of(text, at, m.start);
		joined[i].end = units += units_of(text, m.start, m.end);
		at = m.end;
	}
	put_ranges(o, key, joined, n);
}

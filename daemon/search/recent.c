/* The tail: see recent.h. */

#include "daemon/search/recent.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define TERMS_START    4096
#define TEXTS_START    (64u << 10)
#define POSTINGS_START (32u << 10)

/* A posting: the record in the segment, how often the term is in its name and in its data. */
#define COUNT_BITS 10
#define COUNT_MAX  ((1u << COUNT_BITS) - 1)

/* FTS5 cuts longer ones. */
#define TERM_MAX_BYTES 32768

struct recent_term {
	uint32_t hash;
	uint32_t text; /* where it begins */
	uint16_t text_n;
	uint16_t count; /* of postings, at most RECENT_DOCS */
	uint32_t at;    /* the only posting, or where they begin; there is room for the next power
			   of two */
};

static uint32_t
make_posting(uint32_t doc, uint32_t name, uint32_t data)
{
	return doc << (2 * COUNT_BITS) | name << COUNT_BITS | data;
}

static uint32_t
doc_of(uint32_t posting)
{
	return posting >> (2 * COUNT_BITS);
}

static struct recent_count
count_of(uint32_t posting)
{
	return (struct recent_count){posting >> COUNT_BITS & COUNT_MAX, posting & COUNT_MAX};
}

static const uint32_t *
postings_of(const struct recent_segment *s, const struct recent_term *t)
{
	return t->count == 1 ? &t->at : s->postings + t->at;
}

static size_t
memory_of(const struct recent_segment *s)
{
	return sizeof(*s) + s->terms_cap * (sizeof(*s->terms) + 2 * sizeof(*s->slots)) +
	       s->texts_cap + s->postings_cap * sizeof(*s->postings);
}

void
recent_init(struct recent *t)
{
	*t = (struct recent){.newest = NULL};
	_Static_assert(sizeof(t->key) == crypto_shorthash_KEYBYTES, "the key of the hash");
	crypto_shorthash_keygen(t->key);
}

static void
free_segment(struct recent *t, struct recent_segment *s)
{
	t->nbytes -= memory_of(s);
	t->docs_n -= s->docs_n;
	for (uint32_t i = 0; i < s->docs_n; i++)
		t->tokens_n -= s->docs[i].tokens_n;
	free(s->terms);
	free(s->slots);
	free(s->texts);
	free(s->postings);
	free(s);
}

void
recent_drop(struct recent *t, int64_t mark)
{
	struct recent_segment *s;

	while ((s = t->oldest) != NULL && s->docs[s->docs_n - 1].seq <= mark) {
		t->oldest = s->newer;
		if (s->newer != NULL)
			s->newer->older = NULL;
		else
			t->newest = NULL;
		free_segment(t, s);
	}
}

void
recent_clear(struct recent *t)
{
	recent_drop(t, INT64_MAX);
}

void
recent_fini(struct recent *t)
{
	recent_clear(t);
}

static struct recent_segment *
new_segment(struct recent *t)
{
	struct recent_segment *s = xnew(struct recent_segment);

	s->terms_cap = TERMS_START;
	s->terms = xnew_n(s->terms_cap, struct recent_term);
	s->slots = xnew_n(2 * s->terms_cap, uint32_t);
	s->texts_cap = TEXTS_START;
	s->texts = xcalloc(s->texts_cap, 1);
	s->postings_cap = POSTINGS_START;
	s->postings = xnew_n(s->postings_cap, uint32_t);
	s->older = t->newest;
	if (t->newest != NULL)
		t->newest->newer = s;
	else
		t->oldest = s;
	t->newest = s;
	t->nbytes += memory_of(s);
	return s;
}

static uint32_t
hash_of(const struct recent *t, struct span text)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint32_t hash;

	crypto_shorthash(out, (const unsigned char *)text.p, text.n, t->key);
	memcpy(&hash, out, sizeof(hash));
	return hash;
}

/** The slot of a term, or the free one where it would go. */
static uint32_t *
find_slot(const struct recent_segment *s, struct span text, uint32_t hash)
{
	uint32_t mask = 2 * s->terms_cap - 1, i = hash & mask;

	while (s->slots[i] != 0) {
		const struct recent_term *t = &s->terms[s->slots[i] - 1];

		if (t->hash == hash && span_eq(text, (struct span){s->texts + t->text, t->text_n}))
			break;
		i = (i + 1) & mask;
	}
	return &s->slots[i];
}

static void
grow_terms(struct recent_segment *s)
{
	uint32_t mask = 4 * s->terms_cap - 1;

	s->terms_cap *= 2;
	s->terms = xrealloc(s->terms, s->terms_cap, sizeof(*s->terms));
	free(s->slots);
	s->slots = xnew_n(2 * s->terms_cap, uint32_t);
	for (uint32_t term = 0; term < s->terms_n; term++) {
		uint32_t i = s->terms[term].hash & mask;

		while (s->slots[i] != 0)
			i = (i + 1) & mask;
		s->slots[i] = term + 1;
	}
}

static uint32_t
keep_text(struct recent_segment *s, struct span text)
{
	uint32_t at = s->texts_n;

	while (s->texts_cap - at < text.n) {
		s->texts_cap *= 2;
		s->texts = xrealloc(s->texts, s->texts_cap, 1);
	}
	memcpy(s->texts + at, text.p, text.n);
	s->texts_n += (uint32_t)text.n;
	return at;
}

static struct recent_term *
find_or_add(const struct recent *t, struct recent_segment *s, struct span text)
{
	uint32_t hash = hash_of(t, text), *slot = find_slot(s, text, hash);

	if (*slot == 0) {
		if (s->terms_n == s->terms_cap) {
			grow_terms(s);
			slot = find_slot(s, text, hash);
		}
		s->terms[s->terms_n] = (struct recent_term){
			.hash = hash, .text = keep_text(s, text), .text_n = (uint16_t)text.n};
		*slot = ++s->terms_n;
	}
	return &s->terms[*slot - 1];
}

/** Room for n postings; what was there before is left behind: half of it all at most. */
static uint32_t
take_postings(struct recent_segment *s, uint32_t n)
{
	uint32_t at = s->postings_n;

	while (s->postings_cap - at < n) {
		s->postings_cap *= 2;
		s->postings = xrealloc(s->postings, s->postings_cap, sizeof(*s->postings));
	}
	s->postings_n += n;
	return at;
}

static void
append_posting(struct recent_segment *s, struct recent_term *t, uint32_t posting)
{
	uint32_t at, only = t->at;

	if (t->count > 0 && (t->count & (t->count - 1)) == 0) {
		at = take_postings(s, 2u * t->count);
		if (t->count == 1)
			s->postings[at] = only;
		else
			memcpy(s->postings + at, s->postings + t->at, 4u * t->count);
		t->at = at;
	}
	if (t->count++ == 0)
		t->at = posting;
	else
		s->postings[t->at + t->count - 1] = posting;
}

static void
count_token(struct recent_segment *s, struct recent_term *t, bool is_name)
{
	uint32_t doc = s->docs_n;
	uint32_t *last = t->count <= 1 ? &t->at : &s->postings[t->at + t->count - 1];
	struct recent_count c;

	if (t->count == 0 || doc_of(*last) != doc) {
		append_posting(s, t, make_posting(doc, is_name, !is_name));
		return;
	}
	c = count_of(*last);
	if ((is_name ? c.name : c.data) < COUNT_MAX)
		*last += is_name ? 1u << COUNT_BITS : 1;
}

void
recent_add(struct recent *t, int64_t seq, const struct query_doc *doc)
{
	struct recent_segment *s = t->newest;
	size_t before, tokens_n = 0;

	if (s == NULL || s->docs_n == RECENT_DOCS || s->texts_n > UINT32_MAX / 4 ||
		s->postings_n > UINT32_MAX / 4)
		s = new_segment(t);
	before = memory_of(s);
	for (int column = 0; column < QUERY_COLUMNS; column++) {
		size_t n = tokens_count(&doc->columns[column]);

		for (size_t i = 0; i < n; i++) {
			struct span text = tokens_text(&doc->columns[column], i);

			if (text.n > TERM_MAX_BYTES)
				text.n = TERM_MAX_BYTES;
			count_token(s, find_or_add(t, s, text), column == QUERY_NAME);
		}
		tokens_n += n;
	}
	s->docs[s->docs_n++] = (struct recent_doc){seq, (uint32_t)tokens_n};
	t->docs_n++;
	t->tokens_n += tokens_n;
	t->nbytes += memory_of(s) - before;
}

uint32_t
recent_find(const struct recent *t, const struct recent_segment *s, struct span text)
{
	return *find_slot(s, text, hash_of(t, text)) - 1;
}

struct span
recent_term_text(const struct recent_segment *s, uint32_t term)
{
	return (struct span){s->texts + s->terms[term].text, s->terms[term].text_n};
}

void
recent_mark(
	const struct recent_segment *s, uint32_t term, bool is_name_only, struct recent_bits *bits)
{
	const struct recent_term *t = &s->terms[term];
	const uint32_t *p = postings_of(s, t);

	for (uint32_t i = 0; i < t->count; i++) {
		uint32_t doc = doc_of(p[i]);

		if (!is_name_only || count_of(p[i]).name > 0)
			bits->v[doc / 64] |= UINT64_C(1) << doc % 64;
	}
}

uint32_t
recent_docs_with(const struct recent_segment *s, uint32_t term)
{
	return s->terms[term].count;
}

struct recent_count
recent_count_in(const struct recent_segment *s, uint32_t term, uint32_t doc)
{
	const struct recent_term *t = &s->terms[term];
	const uint32_t *p = postings_of(s, t);
	uint32_t low = 0, high = t->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (doc_of(p[middle]) < doc)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->count && doc_of(p[low]) == doc ? count_of(p[low])
						       : (struct recent_count){0, 0};
}

/*
 * The roster: see roster.h. As bytes, which are then base64:
 *
 *	format (1) | generation (8) | n (4) | n entries | proof (32)
 *	an entry: length of the name (1) | name | version (8) | digest (32)
 */

#include "daemon/guard/roster.h"

#include <endian.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/xalloc.h"

#define FORMAT  1
#define PROOF_N 32

static void
hash_number(crypto_generichash_state *h, int64_t value)
{
	uint64_t word = htole64((uint64_t)value);

	crypto_generichash_update(h, (const unsigned char *)&word, sizeof(word));
}

/** With its length, so that no two lists of texts are the same bytes. */
static void
hash_text(crypto_generichash_state *h, struct span text)
{
	hash_number(h, (int64_t)text.n);
	crypto_generichash_update(h, (const unsigned char *)text.p, text.n);
}

struct roster_entry
roster_entry_of(const struct safe_row *row)
{
	struct roster_entry entry = {.version = row->version};
	crypto_generichash_state h;
	size_t n = strlen(row->name);

	must(n <= NAME_TEXT_MAX);
	memcpy(entry.name, row->name, n);
	crypto_generichash_init(&h, NULL, 0, ROSTER_DIGEST_N);
	hash_text(&h, span_of(row->name));
	hash_text(&h, span_of(row->key));
	hash_text(&h, span_of(row->value));
	hash_number(&h, row->version);
	hash_number(&h, row->created_at);
	hash_number(&h, row->updated_at);
	hash_number(&h, row->sealed_at);
	crypto_generichash_final(&h, entry.digest, ROSTER_DIGEST_N);
	return entry;
}

/** Where the name is, or belongs. */
static size_t
place_of(const struct roster *r, const char *name)
{
	size_t at = 0;

	while (at < r->n && strcmp(r->v[at].name, name) < 0)
		at++;
	return at;
}

static bool
is_at(const struct roster *r, size_t at, const char *name)
{
	return at < r->n && strcmp(r->v[at].name, name) == 0;
}

void
roster_put(struct roster *r, const struct roster_entry *entry)
{
	size_t at = place_of(r, entry->name);

	if (!is_at(r, at, entry->name)) {
		r->v = xrealloc(r->v, r->n + 1, sizeof(*r->v));
		memmove(&r->v[at + 1], &r->v[at], (r->n - at) * sizeof(*r->v));
		r->n++;
	}
	r->v[at] = *entry;
}

void
roster_remove(struct roster *r, const char *name)
{
	size_t at = place_of(r, name);

	if (!is_at(r, at, name))
		return;
	r->n--;
	memmove(&r->v[at], &r->v[at + 1], (r->n - at) * sizeof(*r->v));
}

const struct roster_entry *
roster_find(const struct roster *r, const char *name)
{
	size_t at = place_of(r, name);

	return is_at(r, at, name) ? &r->v[at] : NULL;
}

void
roster_copy(struct roster *to, const struct roster *from)
{
	*to = (struct roster){.generation = from->generation, .n = from->n};
	to->v = xnew_n(from->n, struct roster_entry);
	if (from->n > 0)
		memcpy(to->v, from->v, from->n * sizeof(*to->v));
}

void
roster_fini(struct roster *r)
{
	free(r->v);
	*r = (struct roster){.v = NULL};
}

static void
prove(const struct secret *key, struct span head, struct span bytes, unsigned char out[PROOF_N])
{
	crypto_generichash_state h;

	crypto_generichash_init(&h, key->bytes, key->n, PROOF_N);
	hash_text(&h, head);
	hash_text(&h, bytes);
	crypto_generichash_final(&h, out, PROOF_N);
}

static void
add_number(struct buf *out, int64_t value)
{
	uint64_t word = htole64((uint64_t)value);

	buf_add(out, &word, sizeof(word));
}

void
roster_write(const struct roster *r, const struct secret *key, struct span head, struct buf *out)
{
	unsigned char proof[PROOF_N];
	uint32_t count = htole32((uint32_t)r->n);
	struct buf b;
	size_t room;

	buf_init(&b, SIZE_MAX / 2);
	buf_add_char(&b, FORMAT);
	add_number(&b, r->generation);
	buf_add(&b, &count, sizeof(count));
	for (size_t i = 0; i < r->n; i++) {
		struct span name = span_of(r->v[i].name);

		buf_add_char(&b, (char)name.n);
		buf_add_span(&b, name);
		add_number(&b, r->v[i].version);
		buf_add(&b, r->v[i].digest, ROSTER_DIGEST_N);
	}
	prove(key, head, buf_span(&b), proof);
	buf_add(&b, proof, sizeof(proof));
	room = base64_size(b.n);
	must(!b.failed && buf_reserve(out, room) != NULL);
	base64_write(buf_span(&b), out->p + out->n);
	out->n += room - 1;
	buf_fini(&b);
}

/** Cuts n bytes off the front; false: there are not so many. */
static bool
cut(struct span *bytes, size_t n, const char **out)
{
	if (bytes->n < n)
		return false;
	*out = bytes->p;
	*bytes = (struct span){bytes->p + n, bytes->n - n};
	return true;
}

static bool
cut_number(struct span *bytes, int64_t *out)
{
	const char *p;
	uint64_t word;

	if (!cut(bytes, sizeof(word), &p))
		return false;
	memcpy(&word, p, sizeof(word));
	*out = (int64_t)le64toh(word);
	return true;
}

static bool
cut_entry(struct span *bytes, struct roster_entry *out)
{
	const char *p;
	size_t n;

	*out = (struct roster_entry){.version = 0};
	if (!cut(bytes, 1, &p))
		return false;
	n = (unsigned char)*p;
	if (n > NAME_TEXT_MAX || !cut(bytes, n, &p))
		return false;
	memcpy(out->name, p, n);
	if (name_check("name", (struct span){out->name, n}, false, NULL) != OK)
		return false;
	if (!cut_number(bytes, &out->version) || !cut(bytes, ROSTER_DIGEST_N, &p))
		return false;
	memcpy(out->digest, p, ROSTER_DIGEST_N);
	return true;
}

/** Each entry once, in their order, and nothing behind them. */
static bool
parse(struct span bytes, struct roster *r)
{
	const char *p;
	uint32_t count;

	if (!cut(&bytes, 1, &p) || *p != FORMAT || !cut_number(&bytes, &r->generation) ||
		!cut(&bytes, sizeof(count), &p))
		return false;
	memcpy(&count, p, sizeof(count));
	count = le32toh(count);
	if (count > ROSTER_MAX)
		return false;
	r->v = xnew_n(count, struct roster_entry);
	for (; r->n < count; r->n++) {
		if (!cut_entry(&bytes, &r->v[r->n]))
			return false;
		if (r->n > 0 && strcmp(r->v[r->n - 1].name, r->v[r->n].name) >= 0)
			return false;
	}
	return bytes.n == 0;
}

enum err
roster_read(struct span text, const struct secret *key, struct span head, struct roster *out,
	struct error *error)
{
	size_t room = base64_room(text.n), n;
	unsigned char *bytes = xcalloc(1, room), proof[PROOF_N];
	struct roster r = {.v = NULL};
	struct span rest;
	bool is_good = base64_read(text, bytes, room, &n) && n >= PROOF_N;

	if (is_good) {
		rest = (struct span){(const char *)bytes, n - PROOF_N};
		prove(key, head, rest, proof);
		is_good = sodium_memcmp(proof, bytes + rest.n, PROOF_N) == 0 && parse(rest, &r);
	}
	free(bytes);
	if (!is_good) {
		roster_fini(&r);
		return error_set(error, ERR_DATABASE_ERROR,
			"the vault's list of secrets was changed by another program, or is damaged: "
			"restore a backup");
	}
	*out = r;
	return OK;
}

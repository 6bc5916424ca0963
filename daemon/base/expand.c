/*
 * What a connection of a feed says: see expand.h. A text is walked piece by piece, and
 * never compiled: it is said once a connection.
 */

#include "daemon/base/expand.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/json.h"
#include "common/name.h"
#include "common/redact.h"
#include "common/time.h"
#include "common/utf8.h"
#include "common/wire/handshake.h"
#include "common/wire/http.h"
#include "common/xalloc.h"
#include "daemon/base/conf.h"

#define HMAC_SIZE      crypto_auth_hmacsha256_BYTES
#define SIGNATURE_SIZE (2 * HMAC_SIZE + 1) /* as text, terminated */

enum piece_kind { TEXT, SECRET, NOW_MS, NOW_S, NOW_ISO, SIGNATURE };

/** A run of text, or what stands in ${...}. */
struct piece {
	enum piece_kind kind;
	struct span text; /* of a secret: its name */
};

/** A secret that was fetched. */
struct known {
	char *name;
	struct secret *value;
};

struct expand {
	const struct conf_feed *feed; /* borrowed */
	int64_t wall_ms;
	struct known *v; /* owned, with all that is in it */
	size_t n;
	struct secret *key; /* of signatures; NULL: there are none */
	char signature[SIGNATURE_SIZE];
	char last_signature[SIGNATURE_SIZE]; /* of the time before: it may still come back */
};

static const struct {
	const char *name;
	enum piece_kind kind;
} words[] = {
	{"now_ms",    NOW_MS   },
	{"now_s",     NOW_S    },
	{"now_iso",   NOW_ISO  },
	{"signature", SIGNATURE},
};

#define SECRET_PREFIX SPAN("secret:")
#define COUNT_OF(a)   (sizeof(a) / sizeof((a)[0]))

/** What stands between the braces. */
static enum err
read_word(struct span word, struct piece *piece, struct error *error)
{
	if (span_has_prefix(word, SECRET_PREFIX)) {
		size_t n = SECRET_PREFIX.n;

		*piece = (struct piece){
			SECRET, {word.p + n, word.n - n}
                };
		return name_check("the name in ${secret:NAME}", piece->text, false, error);
	}
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (span_is(word, words[i].name)) {
			*piece = (struct piece){.kind = words[i].kind};
			return OK;
		}
	}
	return error_set(error, ERR_INVALID_ARGUMENT,
		"${%.*s} is not known: there are ${secret:NAME}, ${now_ms}, ${now_s}, ${now_iso} "
		"and ${signature} (a text \"${\" is written \"$${\")",
		(int)(word.n < 64 ? word.n : 64), word.p);
}

static enum err
read_braces(struct span *rest, struct piece *piece, struct error *error)
{
	const char *start = rest->p + 2, *end = rest->p + rest->n;
	const char *stop = memchr(start, '}', (size_t)(end - start));

	if (stop == NULL)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"a ${ has no } (a text \"${\" is written \"$${\")");
	*rest = (struct span){stop + 1, (size_t)(end - stop - 1)};
	return read_word((struct span){start, (size_t)(stop - start)}, piece, error);
}

/** Takes the next piece off a text that is not at its end. */
static enum err
next_piece(struct span *rest, struct piece *piece, struct error *error)
{
	size_t n = 1;

	*piece = (struct piece){
		TEXT, {"", 0}
        };
	if (span_has_prefix(*rest, SPAN("${")))
		return read_braces(rest, piece, error);
	if (span_has_prefix(*rest, SPAN("$${"))) {
		*piece = (struct piece){
			TEXT, {rest->p + 1, 2}
                };
		n = 3;
	} else {
		while (n < rest->n && rest->p[n] != '$')
			n++;
		*piece = (struct piece){
			TEXT, {rest->p, n}
                };
	}
	*rest = (struct span){rest->p + n, rest->n - n};
	return OK;
}

/** The same of a text that was checked. */
static bool
take_piece(struct span *rest, struct piece *piece)
{
	if (rest->n == 0)
		return false;
	must(next_piece(rest, piece, NULL) == OK);
	return true;
}

static bool
is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static bool
has_control(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (is_control(text.p[i]))
			return true;
	return false;
}

/** "Name: value", and none of those that the handshake writes. */
static enum err
check_header(struct span text, struct error *error)
{
	const char *colon = text.n > 0 ? memchr(text.p, ':', text.n) : NULL;
	size_t n = colon != NULL ? (size_t)(colon - text.p) : 0;

	if (!http_is_token((struct span){text.p, n}))
		return error_set(error, ERR_INVALID_ARGUMENT,
			"a header is written \"Name: value\"; this is none: \"%.*s\"",
			(int)(text.n < 64 ? text.n : 64), text.p);
	return handshake_check_header(
		(struct span){text.p, n}, (struct span){text.p + n + 1, text.n - n - 1}, error);
}

static bool
looks_like_json(struct span text)
{
	size_t n = 0;

	while (n < text.n && strchr(" \t\r\n", text.p[n]) != NULL)
		n++;
	return n < text.n && (text.p[n] == '{' || text.p[n] == '[');
}

/** Of a string of JSON. */
enum place { OUTSIDE, IN_STRING, BEHIND_BACKSLASH };

static enum place
place_behind(enum place place, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (place == BEHIND_BACKSLASH)
			place = IN_STRING;
		else if (text.p[i] == '"')
			place = place == OUTSIDE ? IN_STRING : OUTSIDE;
		else if (text.p[i] == '\\' && place == IN_STRING)
			place = BEHIND_BACKSLASH;
	}
	return place;
}

/** A backslash would take the first byte of what is put in behind it. */
static enum err
check_place(enum place *place, const struct piece *piece, struct error *error)
{
	if (piece->kind == TEXT)
		*place = place_behind(*place, piece->text);
	else if (*place == BEHIND_BACKSLASH)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"a \\ stands right before a ${ (a \\ itself is written \\\\ in JSON)");
	return OK;
}

enum err
expand_check(struct span text, enum expand_where where, bool *uses_signature, struct error *error)
{
	bool is_json = where == EXPAND_MESSAGE && looks_like_json(text);
	enum place place = OUTSIDE;
	struct span rest = text;
	struct piece piece;
	enum err e = where == EXPAND_HEADER ? check_header(text, error) : OK;

	while (rest.n > 0 && e == OK) {
		e = next_piece(&rest, &piece, error);
		if (e == OK && is_json)
			e = check_place(&place, &piece, error);
		if (e != OK || piece.kind != SIGNATURE)
			continue;
		if (where == EXPAND_SIGNED)
			return error_set(error, ERR_INVALID_ARGUMENT,
				"${signature} cannot stand in what is signed");
		*uses_signature = true;
	}
	return e;
}

/** Does something with each text that a feed says; ends at the first error. */
typedef enum err text_fn(void *arg, struct span text, struct error *error);

static enum err
each_text(const struct conf_feed *f, text_fn *fn, void *arg, struct error *error)
{
	enum err e = OK;

	for (size_t i = 0; i < f->headers.n && e == OK; i++)
		e = fn(arg, span_of(f->headers.v[i]), error);
	for (size_t i = 0; i < f->on_connect.n && e == OK; i++)
		e = fn(arg, span_of(f->on_connect.v[i].send), error);
	if (e == OK)
		e = fn(arg, span_of(f->app_ping), error);
	return e == OK ? fn(arg, span_of(f->sign_text), error) : e;
}

/** Names the secrets of texts. */
struct naming {
	expand_name_fn *fn;
	void *arg;
};

static enum err
name_secrets(void *arg, struct span text, struct error *error)
{
	const struct naming *n = arg;
	struct piece piece;
	enum err e = OK;

	while (e == OK && take_piece(&text, &piece))
		if (piece.kind == SECRET)
			e = n->fn(n->arg, piece.text, error);
	return e;
}

enum err
expand_each_secret(const struct conf_feed *f, expand_name_fn *fn, void *arg, struct error *error)
{
	struct naming naming = {fn, arg};
	enum err e = each_text(f, name_secrets, &naming, error);

	return e == OK && f->sign_secret[0] != '\0' ? fn(arg, span_of(f->sign_secret), error) : e;
}

static enum err
note_secret(void *arg, struct span name, struct error *error)
{
	(void)name;
	(void)error;
	*(bool *)arg = true;
	return OK;
}

bool
expand_needs_secrets(const struct conf_feed *f)
{
	bool found = false;

	must(expand_each_secret(f, note_secret, &found, NULL) == OK);
	return found;
}

/** Fetches secrets into what is being made. */
struct fetch {
	struct expand *x;
	expand_secret_fn *fn;
	void *arg;
};

static struct secret *
find_secret(const struct expand *x, struct span name)
{
	for (size_t i = 0; i < x->n; i++)
		if (span_is(name, x->v[i].name))
			return x->v[i].value;
	return NULL;
}

static enum err
fetch_secret(void *arg, struct span name, struct error *error)
{
	const struct fetch *f = arg;
	struct expand *x = f->x;
	struct secret *value = NULL;
	enum err e;

	if (find_secret(x, name) != NULL)
		return OK;
	e = f->fn(f->arg, name, &value, error);
	if (e != OK)
		return error_wrap(error, "${secret:%.*s}", SPAN_FMT(name));
	x->v = xrealloc(x->v, x->n + 1, sizeof(*x->v));
	x->v[x->n++] = (struct known){xstrndup(name.p, name.n), value};
	return OK;
}

/** The key of signatures, out of the text of its secret. */
static enum err
make_key(struct expand *x, struct error *error)
{
	static const char *const wanted[] = {
		[SIGN_KEY_HEX] = "hexadecimal digits", [SIGN_KEY_BASE64] = "base64"};
	const struct conf_feed *f = x->feed;
	struct span text = secret_span(find_secret(x, span_of(f->sign_secret)));

	if (f->sign_key == SIGN_KEY_RAW)
		x->key = secret_copy(text);
	else if (f->sign_key == SIGN_KEY_HEX)
		x->key = secret_from_hex(text);
	else
		x->key = secret_from_base64(text);
	if (x->key == NULL)
		return error_set(error, ERR_INVALID_ARGUMENT, "the secret %s is not %s (sign_key)",
			f->sign_secret, wanted[f->sign_key]);
	return OK;
}

/** Appends what a piece stands for. */
static void
add_piece(const struct expand *x, const struct piece *piece, struct buf *out)
{
	char text[TIME_TEXT_SIZE];

	switch (piece->kind) {
	case TEXT:
		buf_add_span(out, piece->text);
		break;
	case SECRET:
		buf_add_span(out, secret_span(find_secret(x, piece->text)));
		break;
	case NOW_MS:
		buf_add_int(out, x->wall_ms);
		break;
	case NOW_S:
		buf_add_int(out, x->wall_ms / 1000);
		break;
	case NOW_ISO:
		time_format(x->wall_ms, text);
		buf_add_span(out, span_of(text));
		break;
	case SIGNATURE:
		buf_add_span(out, span_of(x->signature));
		break;
	}
}

static void
add_text(const struct expand *x, struct span text, struct buf *out)
{
	struct piece piece;

	while (take_piece(&text, &piece))
		add_piece(x, &piece, out);
}

static void
sign(struct expand *x)
{
	unsigned char hmac[HMAC_SIZE];
	crypto_auth_hmacsha256_state state;
	struct span key = secret_span(x->key);
	struct buf text;

	if (x->key == NULL)
		return;
	memcpy(x->last_signature, x->signature, sizeof(x->signature));
	buf_init(&text, SIZE_MAX / 2);
	text.wipes = true;
	add_text(x, span_of(x->feed->sign_text), &text);
	crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.p, key.n);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)text.p, text.n);
	crypto_auth_hmacsha256_final(&state, hmac);
	if (x->feed->sign_as == SIGN_AS_HEX)
		sodium_bin2hex(x->signature, sizeof(x->signature), hmac, sizeof(hmac));
	else
		base64_write((struct span){(const char *)hmac, sizeof(hmac)}, x->signature);
	sodium_memzero(&state, sizeof(state));
	buf_fini(&text);
}

enum err
expand_new(const struct conf_feed *f, int64_t wall_ms, expand_secret_fn *fn, void *arg,
	struct expand **out, struct error *error)
{
	struct expand *x = xnew(struct expand);
	struct fetch fetch = {x, fn, arg};
	enum err e;

	x->feed = f;
	x->wall_ms = wall_ms;
	e = expand_each_secret(f, fetch_secret, &fetch, error);
	if (e == OK && f->sign_secret[0] != '\0')
		e = make_key(x, error);
	if (e != OK) {
		expand_free(x);
		return e;
	}
	sign(x);
	*out = x;
	return OK;
}

void
expand_free(struct expand *x)
{
	if (x == NULL)
		return;
	for (size_t i = 0; i < x->n; i++) {
		free(x->v[i].name);
		secret_free(x->v[i].value);
	}
	free(x->v);
	secret_free(x->key);
	sodium_memzero(x, sizeof(*x));
	free(x);
}

void
expand_set_time(struct expand *x, int64_t wall_ms)
{
	x->wall_ms = wall_ms;
	sign(x);
}

enum err
expand_add_headers(struct expand *x, struct buf *out, struct error *error)
{
	for (size_t i = 0; i < x->feed->headers.n; i++) {
		struct span header = span_of(x->feed->headers.v[i]);
		size_t before = out->n;

		add_text(x, header, out);
		if (has_control((struct span){out->p + before, out->n - before}))
			return error_set(error, ERR_INVALID_ARGUMENT,
				"the header %.*s: its secret has a control character (a newline at "
				"its end?)",
				(int)strcspn(header.p, ":"), header.p);
		buf_add_span(out, SPAN("\r\n"));
	}
	return OK;
}

/** Appends a value as it stands in a string of JSON. */
static void
add_escaped(const struct expand *x, const struct piece *piece, struct buf *out)
{
	size_t before = out->n;
	struct buf value;

	buf_init(&value, SIZE_MAX / 2);
	value.wipes = true;
	add_piece(x, piece, &value);
	json_add_string(out, buf_span(&value));
	buf_fini(&value);
	if (out->failed)
		return;
	/* Without its quotes. */
	out->n -= 2;
	memmove(out->p + before, out->p + before + 1, out->n - before);
}

enum err
expand_add_message(struct expand *x, struct span text, struct buf *out, struct error *error)
{
	bool is_json = looks_like_json(text);
	enum place place = OUTSIDE;
	struct piece piece;

	while (take_piece(&text, &piece)) {
		if (piece.kind == SECRET && !utf8_is_valid(secret_span(find_secret(x, piece.text))))
			return error_set(error, ERR_INVALID_ARGUMENT,
				"the secret %.*s is no text, and cannot stand in a message",
				SPAN_FMT(piece.text));
		if (piece.kind == TEXT) {
			place = is_json ? place_behind(place, piece.text) : OUTSIDE;
			add_piece(x, &piece, out);
		} else if (place == IN_STRING) {
			add_escaped(x, &piece, out);
		} else {
			add_piece(x, &piece, out);
		}
	}
	return OK;
}

bool
expand_redact(const struct expand *x, struct span text, bool may_be_cut, struct buf *out)
{
	struct span *secrets = xnew_n(x->n + 2, struct span);
	bool found;

	for (size_t i = 0; i < x->n; i++)
		secrets[i] = secret_span(x->v[i].value);
	secrets[x->n] = span_of(x->signature);
	secrets[x->n + 1] = span_of(x->last_signature);
	found = redact_text(text, secrets, x->n + 2, may_be_cut, out);
	free(secrets);
	return found;
}

#pragma once
/*
 * What a connection of a feed says: its headers and messages with all that stands in
 * ${...} filled in. ${secret:NAME}, ${now_ms}, ${now_s} and ${now_iso}, the time, and
 * ${signature}: HMAC-SHA256 of sign_text, itself expanded, with the key that sign_secret
 * names. "$${" stands for "${". The secrets are fetched once, when it is made, and wiped
 * with it; time and signature are one for all that it says. Not thread-safe; any thread.
 *
 * Inside a string of a message that is JSON a value is escaped, so that it is one string,
 * whatever the secret holds. A header is refused if a secret would break it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/secret.h"
#include "common/span.h"

struct conf_feed;
struct expand;

/** Fetches a secret: the caller owns *value. ERR_VAULT_LOCKED, ERR_NOT_FOUND, ... */
typedef enum err expand_secret_fn(
	void *arg, struct span name, struct secret **value, struct error *error);

/** Where things may stand, for checks of the configuration. */
enum expand_where { EXPAND_HEADER, EXPAND_MESSAGE, EXPAND_SIGNED };

/** Judges a text before it is used: unknown names, a header that is none. ERR_INVALID_ARGUMENT.
 * *uses_signature is set if it does, and left alone otherwise. */
enum err expand_check(
	struct span text, enum expand_where where, bool *uses_signature, struct error *error);
/** What is done with the name of a secret; an error ends it. */
typedef enum err expand_name_fn(void *arg, struct span name, struct error *error);
/** Each secret that a feed needs, as often as it does. */
enum err expand_each_secret(
	const struct conf_feed *f, expand_name_fn *fn, void *arg, struct error *error);
/** Whether any of what the feed says needs a secret. */
bool expand_needs_secrets(const struct conf_feed *f);

/** For one connection. The feed is borrowed. An error of `fn` is passed on, with which secret it
 * was. wall_ms: the time in ${now_...}. */
enum err expand_new(const struct conf_feed *f, int64_t wall_ms, expand_secret_fn *fn, void *arg,
	struct expand **out, struct error *error);
void expand_free(struct expand *x);
/** Another time, for a message that is sent later (app_ping): with it goes another signature. */
void expand_set_time(struct expand *x, int64_t wall_ms);

/** Appends all headers of the feed as lines, "Name: value\r\n". `out` should wipe (buf.h).
 * ERR_INVALID_ARGUMENT: a secret has a control character. */
enum err expand_add_headers(struct expand *x, struct buf *out, struct error *error);
/** Appends a message of the feed; likewise. ERR_INVALID_ARGUMENT: a secret is no text. */
enum err expand_add_message(
	struct expand *x, struct span text, struct buf *out, struct error *error);

/** Appends the text with each secret that was fetched, and each signature, replaced by "***":
 * written out, or escaped as in JSON. may_be_cut: so is what is half of one, at the end of the
 * text. Returns whether there was one; if not, nothing is appended. */
bool expand_redact(const struct expand *x, struct span text, bool may_be_cut, struct buf *out);

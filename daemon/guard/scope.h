#pragma once
/*
 * What somebody may do: scopes, each a verb and what it holds for. As text:
 * "read", "write:ticker", "publish:alerts,news.*"; names are those of categories
 * (read, write), of topics (read, publish) and of secrets. A verb alone holds for all of them,
 * and "admin" always does. Pure; one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/span.h"

/** Verbs, as a mask. */
enum scope {
	SCOPE_NONE = 0, /* anybody */
	SCOPE_READ = 1,
	SCOPE_WRITE = 2,
	SCOPE_PUBLISH = 4,
	SCOPE_ADMIN = 8,
	SCOPE_SECRETS = 16, /* to read the values of secrets back: not even admin may */
};

#define SCOPE_DATA      (SCOPE_READ | SCOPE_WRITE | SCOPE_PUBLISH)
#define SCOPE_ALL       (SCOPE_DATA | SCOPE_ADMIN | SCOPE_SECRETS)
#define SCOPE_TERMS_MAX 256

/** "read", "write", "publish", "admin", "secrets"; "none". */
const char *scope_name(unsigned verb);
/** Appends a scope as it is written: "write:ticker", "read:sensor.*"; for everything "read". */
void scope_add_text(struct buf *out, unsigned verb, struct span name, bool is_prefix);

/** Writes the scopes of a text, parted by spaces, as a list of strings. */
void scope_put_list(struct json_out *o, const char *key, struct span text);

/** Immutable once it is shared; counted. NULL may do nothing. */
struct scopes;

/** None yet. source: where they come from, for refusals ("websocket.anonymous"). */
struct scopes *scopes_new(const char *source);
struct scopes *scopes_ref(struct scopes *s);
void scopes_unref(struct scopes *s);
/** Adds what a text says, one scope or several parted by spaces, as long as all of its verbs are
 * among `allowed`. ERR_INVALID_ARGUMENT, ERR_LIMIT_EXCEEDED: some of it may have been added. */
enum err scopes_add(struct scopes *s, struct span text, unsigned allowed, struct error *error);
/** Adds verbs that hold for everything. */
void scopes_add_all(struct scopes *s, unsigned verb_mask);

/** Where they come from. */
const char *scopes_source(const struct scopes *s);
/** The verbs that hold for something. */
unsigned scopes_verbs(const struct scopes *s);
/** True if the verb holds for this name, or for all that begin with it; for everything: "" and
 * true. */
bool scopes_cover(const struct scopes *s, enum scope verb, struct span name, bool is_prefix);
/** True if all that is in `part` holds in s too; if not, the first that does not is appended to
 * missing, which may be NULL. */
bool scopes_contain(const struct scopes *s, const struct scopes *part, struct buf *missing);
/** What a verb that does not hold for everything holds for, one after the other: *at is 0 at first.
 * False: no more. */
bool scopes_next(
	const struct scopes *s, enum scope verb, size_t *at, struct span *name, bool *is_prefix);
/** Writes all of them as a list of strings. */
void scopes_put_list(const struct scopes *s, struct json_out *o, const char *key);
/** Appends all of them, as scopes_add() reads them; equal ones give the same text if they were
 * added in the same order. */
void scopes_add_text(const struct scopes *s, struct buf *out);

#pragma once
/*
 * The tokens of a text, as a table of FTS5 would take it apart: the tokenizer is
 * FTS5's own, borrowed from a connection. A query and a record that is not
 * indexed yet are thus read as the index reads them. A tokenizer belongs to the
 * thread of its connection; tokens are plain memory.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

struct fts5_api;
struct sqlite3;

enum tokenizer_kind {
	TOKENIZER_WORDS,   /* unicode61: runs of letters and digits, without diacritics */
	TOKENIZER_TRIGRAM, /* every three characters: finds any part of a word */
};

struct tokenizer;

/** The functions of FTS5; NULL when this SQLite has none. */
struct fts5_api *tokens_fts5(struct sqlite3 *db);

/** Free it before the connection is closed. */
enum err tokenizer_new(
	struct sqlite3 *db, enum tokenizer_kind kind, struct tokenizer **out, struct error *error);
void tokenizer_free(struct tokenizer *t);
enum tokenizer_kind tokenizer_kind(const struct tokenizer *t);
/** How a table of FTS5 names it in its option `tokenize`. */
const char *tokenizer_option(enum tokenizer_kind kind);

/** A token: the place in the list is its position, to which phrases refer. */
struct token {
	uint32_t at; /* of its text, in `texts` */
	uint32_t n;
	uint32_t start; /* bytes of the text that it was made of */
	uint32_t end;
};

struct tokens {
	struct buf list; /* of struct token */
	struct buf texts;
};

void tokens_init(struct tokens *t);
void tokens_fini(struct tokens *t);
/** Empties it and keeps the memory. */
void tokens_reset(struct tokens *t);
/** Appends the tokens of a text of at most TOKENS_TEXT_MAX bytes. LIMIT_EXCEEDED: out of memory. */
enum err tokens_add(struct tokens *t, struct tokenizer *z, struct span text, struct error *error);
size_t tokens_count(const struct tokens *t);
const struct token *tokens_at(const struct tokens *t, size_t i);
struct span tokens_text(const struct tokens *t, size_t i);

#define TOKENS_TEXT_MAX ((size_t)64 << 20)

/* Tokens: see tokens.h. */

#include "daemon/search/tokens.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"

/* FTS5 looks at no more of a token than this, in the index and in a query. */
#define TOKEN_MAX_BYTES 32768

/* A token is at least one character, and of trigrams there is one per character. */
#define LIST_MAX  (TOKENS_TEXT_MAX * sizeof(struct token))
#define TEXTS_MAX ((size_t)UINT32_MAX)

struct tokenizer {
	enum tokenizer_kind kind;
	fts5_tokenizer module;
	Fts5Tokenizer *instance; /* owned */
};

struct kind_row {
	const char *name;
	const char *option;
	const char *args[2];
	int args_n;
};

static const struct kind_row kinds[] = {
	[TOKENIZER_WORDS] = {"unicode61", "unicode61 remove_diacritics 2",
			     {"remove_diacritics", "2"},                                 2},
	[TOKENIZER_TRIGRAM] = {"trigram",   "trigram",                       {NULL, NULL}, 0},
};

const char *
tokenizer_option(enum tokenizer_kind kind)
{
	return kinds[kind].option;
}

enum tokenizer_kind
tokenizer_kind(const struct tokenizer *t)
{
	return t->kind;
}

/* It hands its functions out through a bound pointer. */
fts5_api *
tokens_fts5(sqlite3 *db)
{
	fts5_api *api = NULL;
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &st, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_bind_pointer(st, 1, &api, "fts5_api_ptr", NULL);
	sqlite3_step(st);
	sqlite3_finalize(st);
	return api;
}

enum err
tokenizer_new(sqlite3 *db, enum tokenizer_kind kind, struct tokenizer **out, struct error *error)
{
	const struct kind_row *row = &kinds[kind];
	fts5_api *api = tokens_fts5(db);
	struct tokenizer *t = xnew(struct tokenizer);
	const char *args[2] = {row->args[0], row->args[1]};
	void *context;

	t->kind = kind;
	if (api == NULL || api->xFindTokenizer(api, row->name, &context, &t->module) != SQLITE_OK ||
		t->module.xCreate(context, args, row->args_n, &t->instance) != SQLITE_OK) {
		free(t);
		return error_set(error, ERR_DATABASE_ERROR,
			"SQLite has no FTS5 with the tokenizer %s", row->name);
	}
	*out = t;
	return OK;
}

void
tokenizer_free(struct tokenizer *t)
{
	if (t != NULL)
		t->module.xDelete(t->instance);
	free(t);
}

void
tokens_init(struct tokens *t)
{
	buf_init(&t->list, LIST_MAX);
	buf_init(&t->texts, TEXTS_MAX);
}

void
tokens_fini(struct tokens *t)
{
	buf_fini(&t->list);
	buf_fini(&t->texts);
}

void
tokens_reset(struct tokens *t)
{
	buf_reset(&t->list);
	buf_reset(&t->texts);
}

/** A text while it is taken apart. */
struct reading {
	struct tokens *tokens;
	enum tokenizer_kind kind;
	struct span text;
};

/** Where three characters end that begin at `at`. The tokenizer tells another place where a small
 * letter has not as many bytes as its capital. */
static size_t
trigram_end(struct span text, size_t at)
{
	for (int i = 0; i < 3 && at < text.n; i++) {
		bool is_long = (unsigned char)text.p[at++] >= 0xc0;

		while (is_long && at < text.n && ((unsigned char)text.p[at] & 0xc0) == 0x80)
			at++;
	}
	return at;
}

static int
on_token(void *context, int flags, const char *text, int n, int start, int end)
{
	struct reading *r = context;
	struct tokens *t = r->tokens;
	struct token token = {
		.at = (uint32_t)t->texts.n,
		.n = (uint32_t)(n < TOKEN_MAX_BYTES ? n : TOKEN_MAX_BYTES),
		.start = (uint32_t)start,
		.end = (uint32_t)end,
	};

	(void)flags; /* neither tokenizer gives two tokens for one place */
	if (r->kind == TOKENIZER_TRIGRAM)
		token.end = (uint32_t)trigram_end(r->text, token.start);
	buf_add(&t->texts, text, token.n);
	buf_add(&t->list, &token, sizeof(token));
	return t->texts.failed || t->list.failed ? SQLITE_NOMEM : SQLITE_OK;
}

enum err
tokens_add(struct tokens *t, struct tokenizer *z, struct span text, struct error *error)
{
	struct reading r = {.tokens = t, .kind = z->kind, .text = text};

	must(text.n <= TOKENS_TEXT_MAX);
	if (text.n == 0 || z->module.xTokenize(z->instance, &r, FTS5_TOKENIZE_DOCUMENT, text.p,
				   (int)text.n, on_token) == SQLITE_OK)
		return OK;
	return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
}

size_t
tokens_count(const struct tokens *t)
{
	return t->list.n / sizeof(struct token);
}

const struct token *
tokens_at(const struct tokens *t, size_t i)
{
	return (const struct token *)(const void *)t->list.p + i;
}

struct span
tokens_text(const struct tokens *t, size_t i)
{
	const struct token *token = tokens_at(t, i);

	return (struct span){t->texts.p + token->at, token->n};
}

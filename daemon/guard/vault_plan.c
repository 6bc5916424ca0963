/* What is going to change in the vault: see vault_plan.h. */

#include "daemon/guard/vault_plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/xalloc.h"
#include "daemon/guard/vault_priv.h"

void
vault_plan_fini(struct vault_plan *plan)
{
	safe_rows_fini(&plan->puts);
	free(plan->dropped);
	vault_keys_fini(&plan->keys);
	roster_fini(&plan->roster);
	*plan = (struct vault_plan){.dropped = NULL};
}

static struct safe_row *
add_row(struct vault_plan *plan)
{
	struct safe_rows *rows = &plan->puts;

	rows->v = xrealloc(rows->v, rows->n + 1, sizeof(*rows->v));
	rows->v[rows->n] = (struct safe_row){.name = NULL};
	return &rows->v[rows->n++];
}

/** The keys that hold once the plan is carried out. */
static const struct vault_keys *
keys_of(const struct vault *v, const struct vault_plan *plan)
{
	return plan->keys.master != NULL ? &plan->keys : &v->keys;
}

/** Begins with the vault as it is; one that was never made will be. */
static void
start(const struct vault *v, struct vault_plan *plan)
{
	*plan = (struct vault_plan){.before = v->own.name != NULL ? v->own.version : 0};
	roster_copy(&plan->roster, &v->roster);
	plan->head = v->head;
	add_row(plan);
}

static enum err
start_open(const struct vault *v, struct vault_plan *plan, struct error *error)
{
	enum err e = vault_check_open(v, error);

	*plan = (struct vault_plan){.dropped = NULL};
	if (e != OK)
		return e;
	start(v, plan);
	if (!v->has_head) {
		plan->head = vault_head_new(VAULT_BY_KEY, 0, 0);
		vault_head_set_check(&plan->head, &v->keys);
	}
	return OK;
}

/** One more of this name, with so many bytes: what is done with all of them at once must not hold
 * up the loop. */
static enum err
check_room(const struct vault *v, struct span name, const struct roster_entry *entry, size_t nbytes,
	struct error *error)
{
	size_t total = nbytes;

	for (size_t i = 0; i < v->rows.n; i++)
		total += span_is(name, v->rows.v[i].name) ? 0 : strlen(v->rows.v[i].value);
	if (entry == NULL && v->roster.n >= ROSTER_MAX)
		return error_set(error, ERR_LIMIT_EXCEEDED,
			"there are %zu secrets, the most there may be", v->roster.n);
	if (total > VAULT_BYTES_MAX)
		return error_set(error, ERR_LIMIT_EXCEEDED,
			"the vault holds at most %d bytes, sealed and as text; with this one there "
			"would be %zu",
			VAULT_BYTES_MAX, total);
	return OK;
}

/** What the vault has without a list of its own is not its to write beside. */
static enum err
check_rest(const struct vault *v, struct error *error)
{
	if (v->has_head || v->rows.n == 0)
		return OK;
	return error_set(error, ERR_DATABASE_ERROR,
		"the vault's list of secrets is gone from the store: restore a backup, or remove "
		"what is left with `sysrtctl secret remove`");
}

/** Writes the vault's own row, as the first. */
static void
finish(const struct vault *v, struct vault_plan *plan, int64_t now_ms)
{
	struct safe_row *own = &plan->puts.v[0];
	char head[VAULT_HEAD_SIZE];
	struct buf text;

	vault_head_write(&plan->head, head);
	plan->roster.generation = plan->before + 1;
	buf_init(&text, SIZE_MAX / 2);
	roster_write(&plan->roster, keys_of(v, plan)->prove, span_of(head), &text);
	*own = (struct safe_row){
		.name = xstrdup(SAFE_VAULT),
		.key = xstrdup(head),
		.value = xstrndup(text.p, text.n),
		.version = plan->roster.generation,
		.created_at = v->own.name != NULL ? v->own.created_at : now_ms,
		.updated_at = v->own.name != NULL && plan->keys.master == NULL ? v->own.updated_at
									       : now_ms,
		.sealed_at = now_ms,
	};
	buf_fini(&text);
}

/** Sealed, as text. */
static char *
seal_text(enum seal_cipher cipher, const struct secret *key, const struct seal_for *what,
	struct span plain)
{
	struct buf sealed;
	char *text;

	buf_init(&sealed, SEAL_MAX);
	seal_make(cipher, key, what, plain, &sealed);
	must(!sealed.failed);
	text = xcalloc(1, base64_size(sealed.n));
	base64_write(buf_span(&sealed), text);
	buf_fini(&sealed);
	return text;
}

/** Always by the cipher whose nonces are long enough to be random for any number of keys. */
static char *
wrap_key(const struct vault_keys *keys, const struct safe_row *row, const struct secret *key)
{
	return seal_text(SEAL_XCHACHA20, keys->wrap, VAULT_FOR_KEY(row), secret_span(key));
}

/** Adds a secret with a new key. Its name, version and times are set. */
static void
add_sealed(const struct vault *v, struct vault_plan *plan, enum seal_cipher cipher,
	const struct safe_row *like, struct span value)
{
	struct safe_row *row = add_row(plan);
	struct secret *key = seal_key_new();
	struct roster_entry entry;

	*row = *like;
	row->name = xstrdup(like->name);
	row->value = seal_text(cipher, key, VAULT_FOR_VALUE(row), value);
	row->key = wrap_key(keys_of(v, plan), row, key);
	secret_free(key);
	entry = roster_entry_of(row);
	roster_put(&plan->roster, &entry);
	plan->n++;
}

/** Above all that there was of the name. */
static int64_t
next_version(const struct roster_entry *entry, const struct safe_row *row)
{
	int64_t version = entry != NULL ? entry->version : 0;

	/* One that another program wrote does not count beyond what can go on. */
	if (row != NULL && row->version > version && row->version < INT64_MAX / 2)
		version = row->version;
	return version + 1;
}

enum err
vault_plan_set(struct vault *v, struct span name, struct span value, enum seal_cipher cipher,
	int64_t now_ms, struct vault_plan *plan, struct error *error)
{
	const struct safe_row *row = vault_find_row(v, name);
	char *text = xstrndup(name.p, name.n);
	const struct roster_entry *entry = roster_find(&v->roster, text);
	struct safe_row like = {.name = text, .updated_at = now_ms, .sealed_at = now_ms};
	enum err e = start_open(v, plan, error);

	if (e == OK)
		e = check_rest(v, error);
	if (e == OK)
		e = check_room(v, name, entry, base64_size(value.n), error);
	if (e == OK) {
		like.version = next_version(entry, row);
		like.created_at = entry != NULL && row != NULL ? row->created_at : now_ms;
		add_sealed(v, plan, cipher, &like, value);
		finish(v, plan, now_ms);
	}
	free(text);
	if (e != OK)
		vault_plan_fini(plan);
	return e;
}

enum err
vault_plan_remove(struct vault *v, struct span name, int64_t now_ms, struct vault_plan *plan,
	struct error *error)
{
	const struct safe_row *row;
	enum err e = start_open(v, plan, error);

	if (e != OK)
		return e;
	if (vault_judge(v, name, &row, error) == ERR_NOT_FOUND) {
		vault_plan_fini(plan);
		return ERR_NOT_FOUND;
	}
	plan->dropped = xstrndup(name.p, name.n);
	roster_remove(&plan->roster, plan->dropped);
	plan->n = 1;
	finish(v, plan, now_ms);
	return OK;
}

static enum err
rotate_one(struct vault *v, struct span name, enum seal_cipher cipher, int64_t now_ms,
	struct vault_plan *plan, struct error *error)
{
	const struct safe_row *row = NULL;
	struct secret *value = NULL;
	struct safe_row like;
	enum err e = vault_reveal(v, name, &value, &row, error);

	if (e != OK)
		return e;
	like = *row;
	like.version++;
	like.sealed_at = now_ms;
	add_sealed(v, plan, cipher, &like, secret_span(value));
	secret_free(value);
	return OK;
}

enum err
vault_plan_rotate(struct vault *v, struct span name, enum seal_cipher cipher, int64_t now_ms,
	struct vault_plan *plan, struct error *error)
{
	enum err e = start_open(v, plan, error);

	if (e == OK)
		e = check_rest(v, error);
	if (e == OK && name.n > 0)
		e = rotate_one(v, name, cipher, now_ms, plan, error);
	for (size_t i = 0; name.n == 0 && e == OK && i < v->roster.n; i++)
		e = rotate_one(v, span_of(v->roster.v[i].name), cipher, now_ms, plan, error);
	if (e == OK)
		finish(v, plan, now_ms);
	else
		vault_plan_fini(plan);
	return e;
}

/** Its key under the new one of the vault. */
static enum err
rewrap_one(struct vault *v, const char *name, struct vault_plan *plan, struct error *error)
{
	const struct safe_row *row = NULL;
	struct secret *key = NULL;
	struct roster_entry entry;
	struct safe_row *to;
	enum err e = vault_judge(v, span_of(name), &row, error);

	if (e == OK)
		e = vault_unwrap(v, row, &key, error);
	if (e != OK)
		return e;
	to = add_row(plan);
	*to = *row;
	to->name = xstrdup(row->name);
	to->value = xstrdup(row->value);
	to->key = wrap_key(&plan->keys, row, key);
	secret_free(key);
	entry = roster_entry_of(to);
	roster_put(&plan->roster, &entry);
	plan->n++;
	return OK;
}

/** With another key, which is taken. */
static void
start_with(const struct vault *v, const struct vault_head *head, struct secret *key,
	const char *source, struct vault_plan *plan)
{
	start(v, plan);
	plan->keys = vault_keys_of(key);
	plan->source = source;
	plan->head = *head;
	vault_head_set_check(&plan->head, &plan->keys);
}

enum err
vault_plan_rekey(struct vault *v, const struct vault_head *head, struct secret *key,
	const char *source, int64_t now_ms, struct vault_plan *plan, struct error *error)
{
	enum err e = vault_check_open(v, error);

	start_with(v, head, key, source, plan);
	if (e == OK)
		e = check_rest(v, error);
	for (size_t i = 0; e == OK && i < v->roster.n; i++)
		e = rewrap_one(v, v->roster.v[i].name, plan, error);
	if (e == OK)
		finish(v, plan, now_ms);
	else
		vault_plan_fini(plan);
	return e;
}

enum err
vault_plan_create(struct vault *v, const struct vault_head *head, struct secret *key,
	const char *source, int64_t now_ms, struct vault_plan *plan, struct error *error)
{
	start_with(v, head, key, source, plan);
	if (v->own.name != NULL) {
		vault_plan_fini(plan);
		return error_set(error, ERR_CONFLICT, "there is a vault already");
	}
	finish(v, plan, now_ms);
	return OK;
}

static size_t
nbytes_of(const struct safe_row *row)
{
	return strlen(row->name) + strlen(row->key) + strlen(row->value);
}

static void
keep_texts(struct job *j, struct op *op)
{
	op->name = job_keep(j, op->name);
	op->id = job_keep(j, op->id);
	op->data = job_keep(j, op->data);
}

struct job *
vault_plan_job(const struct vault_plan *plan)
{
	size_t n = plan->puts.n + (plan->dropped != NULL), nbytes = 0;
	struct job *j;

	for (size_t i = 0; i < plan->puts.n; i++)
		nbytes += nbytes_of(&plan->puts.v[i]);
	nbytes += plan->dropped != NULL ? strlen(plan->dropped) : 0;
	j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, n, nbytes);
	if (j == NULL)
		return NULL;
	for (size_t i = 0; i < plan->puts.n; i++) {
		safe_op(&plan->puts.v[i], &j->ops[i]);
		keep_texts(j, &j->ops[i]);
	}
	j->ops[0].if_seq = plan->before;
	if (plan->dropped != NULL) {
		j->ops[n - 1].kind = OP_DROP;
		j->ops[n - 1].name = job_keep(j, span_of(plan->dropped));
	}
	return j;
}

/** In the place of the row of its name, or as a new one; the texts move. */
static void
replace_row(struct vault *v, struct safe_row *with)
{
	struct safe_row *row = vault_find_row(v, span_of(with->name));

	if (row != NULL) {
		safe_row_fini(row);
	} else {
		v->rows.v = xrealloc(v->rows.v, v->rows.n + 1, sizeof(*v->rows.v));
		row = &v->rows.v[v->rows.n++];
	}
	*row = *with;
	*with = (struct safe_row){.name = NULL};
}

static void
drop_row(struct vault *v, const char *name)
{
	struct safe_row *row = vault_find_row(v, span_of(name));
	size_t at;

	if (row == NULL)
		return;
	at = (size_t)(row - v->rows.v);
	safe_row_fini(row);
	v->rows.n--;
	memmove(row, row + 1, (v->rows.n - at) * sizeof(*row));
}

/** What is written or dropped is in order then. */
static void
forget_fault(struct vault *v, const char *name)
{
	const struct safe_row *row;
	enum err e = vault_judge(v, span_of(name), &row, NULL);

	v->faults -= e != OK && e != ERR_NOT_FOUND;
}

void
vault_commit(struct vault *v, struct vault_plan *plan)
{
	for (size_t i = 1; i < plan->puts.n; i++)
		forget_fault(v, plan->puts.v[i].name);
	if (plan->dropped != NULL)
		forget_fault(v, plan->dropped);
	safe_row_fini(&v->own);
	v->own = plan->puts.v[0];
	plan->puts.v[0] = (struct safe_row){.name = NULL};
	for (size_t i = 1; i < plan->puts.n; i++)
		replace_row(v, &plan->puts.v[i]);
	if (plan->dropped != NULL)
		drop_row(v, plan->dropped);
	v->head = plan->head;
	v->has_head = true;
	roster_fini(&v->roster);
	v->roster = plan->roster;
	plan->roster = (struct roster){.v = NULL};
	if (plan->keys.master != NULL) {
		vault_keys_fini(&v->keys);
		v->keys = plan->keys;
		v->source = plan->source;
		plan->keys = (struct vault_keys){.master = NULL};
		v->why = ERROR_NONE;
	}
	vault_plan_fini(plan);
}

/* The vault at work: see secrets.h. */

#include "daemon/secrets.h"

#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/feed/feeds.h"
#include "daemon/guard/foreign.h"
#include "daemon/secrets_priv.h"

#define WAITING_MAX 64
#define REPLY_MAX   ((size_t)4 << 20)

static void
work_free(struct work *w)
{
	if (w == NULL)
		return;
	secret_free(w->wish.value);
	secret_free(w->wish.passphrase);
	secret_free(w->key);
	buf_fini(&w->reply);
	vault_plan_fini(&w->plan);
	free(w->texts);
	free(w);
}

/* Ends. */

static void start_next(void *arg);

static void
note(struct work *w, enum err result, const struct error *error)
{
	if (w->origin.audited == NULL && result != ERR_PERMISSION_DENIED)
		return;
	gate_note(peers_api(w->owner->peers), &(struct audit_entry){.what = w->wish.method,
						      .session = w->origin.peer,
						      .name = w->wish.name,
						      .result = result,
						      .error = error});
}

static void
end(struct work *w, enum err result, struct span reply, const struct error *error)
{
	struct secrets *s = w->owner;
	struct peer *p = peers_find(s->peers, w->origin.peer);

	note(w, result, error);
	if (p != NULL)
		peer_answer(p, &w->origin, result, reply, error);
	work_free(w);
	s->now = NULL;
	loop_defer(s->loop, start_next, s); /* not now: answers of the store may be under way */
}

void
work_fail(struct work *w, enum err e, const struct error *error)
{
	end(w, e, SPAN(""), error);
}

/** Opens an object in a buffer for the reply. */
static struct json_out
begin_reply(struct buf *reply)
{
	struct json_out o;

	buf_init(reply, REPLY_MAX);
	o = json_out_start(reply);
	json_begin_object(&o, NULL);
	return o;
}

static void
end_reply(struct work *w, struct json_out *o, struct buf *reply)
{
	json_end_object(o);
	end(w, OK, buf_span(reply), NULL);
	buf_fini(reply);
}

/** What is told when all went well and there is nothing else to tell. */
void
work_succeed(struct work *w)
{
	struct feeds *feeds = peers_api(w->owner->peers)->feeds;
	struct buf reply;
	struct json_out o = begin_reply(&reply);

	if (feeds != NULL)
		feeds_secrets_changed(feeds);
	switch (w->wish.verb) {
	case WISH_SET:
	case WISH_IMPORT:
		json_put_string(&o, "name", w->wish.name);
		json_put_int(&o, "version", w->version);
		break;
	case WISH_ROTATE:
	case WISH_REKEY:
		json_put_int(&o, "count", w->version);
		break;
	case WISH_UNLOCK:
		vault_add_details(w->owner->vault, &o);
		break;
	case WISH_REMOVE:
	case WISH_LOCK:
	case WISH_TEST:
	case WISH_EXPORT:
		break;
	}
	end_reply(w, &o, &reply);
}

/* Changes. */

/** Hands the plan to the store. */
static void
submit(struct work *w)
{
	struct error error = ERROR_NONE;
	struct job *j = vault_plan_job(&w->plan);
	enum err e;

	/* of one secret its version is told, of several how many they are */
	w->version = w->wish.verb == WISH_SET || w->wish.verb == WISH_IMPORT
			     ? w->plan.puts.v[w->plan.puts.n - 1].version
			     : (int64_t)w->plan.n;
	if (j == NULL) {
		work_fail(w, error_set(&error, ERR_LIMIT_EXCEEDED, "out of memory"), &error);
		return;
	}
	e = store_submit(w->owner->store, NULL, &j, &error);
	job_free(j);
	if (e != PENDING)
		work_fail(w, e, &error);
}

/** After a plan was tried. */
void
work_go_on(struct work *w, enum err e, const struct error *error)
{
	if (e == OK)
		submit(w);
	else
		work_fail(w, e, error);
}

void
secrets_done(struct secrets *s, const struct job *j)
{
	struct work *w = s != NULL ? s->now : NULL;

	if (w == NULL)
		return;
	if (j->result != OK) {
		work_fail(w, j->result, &j->error);
		return;
	}
	vault_commit(s->vault, &w->plan);
	if (w->wish.verb == WISH_UNLOCK || w->wish.verb == WISH_REKEY)
		log_info("vault", w->wish.verb == WISH_REKEY ? "it has another key" : "made",
			F_INT("secrets", vault_count(s->vault)));
	work_succeed(w);
}

static enum seal_cipher
cipher_of(const struct conf *conf)
{
	return conf->vault.cipher == CIPHER_AES256GCM && seal_has_aes() ? SEAL_AES256GCM
									: SEAL_XCHACHA20;
}

static void
begin_set(struct work *w)
{
	struct secrets *s = w->owner;
	struct error error = ERROR_NONE;
	enum err e = vault_plan_set(s->vault, w->wish.name, secret_span(w->wish.value), w->cipher,
		clock_wall_ms(), &w->plan, &error);

	work_go_on(w, e, &error);
}

static void
begin_remove(struct work *w)
{
	struct error error = ERROR_NONE;
	enum err e =
		vault_plan_remove(w->owner->vault, w->wish.name, clock_wall_ms(), &w->plan, &error);

	work_go_on(w, e, &error);
}

/* On the thread. */

void
work_go_slow(
	struct work *w, void (*run)(struct offload_work *), void (*done)(struct offload_work *))
{
	w->slow.run = run;
	w->slow.done = done;
	offload_submit(w->owner->offload, &w->slow);
}

void
work_end_plan(struct offload_work *slow)
{
	struct work *w = work_of(slow);

	work_go_on(w, w->result, &w->error);
}

static void
plan_rotate(struct offload_work *slow)
{
	struct work *w = work_of(slow);

	w->result = vault_plan_rotate(
		w->owner->vault, w->wish.name, w->cipher, clock_wall_ms(), &w->plan, &w->error);
}

static void
begin_rotate(struct work *w)
{
	work_go_slow(w, plan_rotate, work_end_plan);
}

static void
run_test(struct offload_work *slow)
{
	struct work *w = work_of(slow);
	struct safe_rows rows;
	struct json_out o = begin_reply(&w->reply);

	w->result = safe_read(w->path, &rows, &w->error);
	if (w->result == OK)
		w->result = vault_test(w->owner->vault, &rows, w->wish.name, &o, &w->error);
	json_end_object(&o);
}

static void
end_test(struct offload_work *slow)
{
	struct work *w = work_of(slow);
	struct error error = w->error;

	if (w->result == OK && w->reply.failed)
		w->result = error_set(&error, ERR_LIMIT_EXCEEDED, "the answer is too large");
	end(w, w->result, buf_span(&w->reply), &error);
}

static void
begin_test(struct work *w)
{
	struct error error = ERROR_NONE;
	enum err e = vault_check_open(w->owner->vault, &error);

	if (e == OK)
		work_go_slow(w, run_test, end_test);
	else
		work_fail(w, e, &error);
}

static void
stretch_foreign(struct offload_work *slow)
{
	struct work *w = work_of(slow);

	w->key = foreign_key(secret_span(w->wish.passphrase), w->wish.salt, w->wish.rounds);
}

static void
end_import(struct offload_work *slow)
{
	struct work *w = work_of(slow);
	struct error error = ERROR_NONE;
	enum err e = foreign_open(w->key, w->wish.blob, &w->wish.value, &error);

	if (e == OK)
		begin_set(w);
	else
		work_fail(w, e, &error);
}

static void
begin_import(struct work *w)
{
	struct error error = ERROR_NONE;
	enum err e = vault_check_open(w->owner->vault, &error);

	if (e == OK)
		work_go_slow(w, stretch_foreign, end_import);
	else
		work_fail(w, e, &error);
}

static void
put_base64(struct json_out *o, const char *key, struct span bytes)
{
	char *text = xcalloc(1, base64_size(bytes.n));

	base64_write(bytes, text);
	json_put_str(o, key, text);
	free(text);
}

static void
tell_export(struct work *w, const struct safe_row *row, struct span blob)
{
	struct buf reply;
	struct json_out o = begin_reply(&reply);

	json_put_string(&o, "name", w->wish.name);
	json_put_int(&o, "version", row->version);
	json_put_str(&o, "format", "aes256gcm-pbkdf2");
	json_put_int(&o, "rounds", w->wish.rounds);
	put_base64(&o, "salt", w->wish.salt);
	put_base64(&o, "blob", blob);
	end_reply(w, &o, &reply);
}

static void
end_export(struct offload_work *slow)
{
	struct work *w = work_of(slow);
	struct error error = ERROR_NONE;
	struct secret *value = NULL;
	const struct safe_row *row = NULL;
	struct buf blob;
	enum err e = vault_reveal(w->owner->vault, w->wish.name, &value, &row, &error);

	buf_init(&blob, SIZE_MAX / 2);
	if (e == OK)
		e = foreign_make(w->key, secret_span(value), &blob, &error);
	secret_free(value);
	if (e == OK)
		tell_export(w, row, buf_span(&blob));
	else
		work_fail(w, e, &error);
	buf_fini(&blob);
}

/** Looks first, so that nobody waits for what cannot be. */
static void
begin_export(struct work *w)
{
	struct error error = ERROR_NONE;
	struct secret *value = NULL;
	const struct safe_row *row;
	enum err e = vault_reveal(w->owner->vault, w->wish.name, &value, &row, &error);

	secret_free(value);
	if (e == OK)
		work_go_slow(w, stretch_foreign, end_export);
	else
		work_fail(w, e, &error);
}

static void (*const begins[])(struct work *w) = {
	[WISH_SET] = begin_set,
	[WISH_REMOVE] = begin_remove,
	[WISH_ROTATE] = begin_rotate,
	[WISH_TEST] = begin_test,
	[WISH_IMPORT] = begin_import,
	[WISH_EXPORT] = begin_export,
	[WISH_UNLOCK] = work_unlock,
	[WISH_LOCK] = work_lock,
	[WISH_REKEY] = work_rekey,
};

/* The line. */

static void
start_next(void *arg)
{
	struct secrets *s = arg;
	struct list *link;

	link = s->now == NULL ? list_shift(&s->waiting) : NULL;
	if (link == NULL)
		return;
	s->waiting_n--;
	s->now = list_item(link, struct work, link);
	s->now->cipher = cipher_of(s->conf);
	begins[s->now->wish.verb](s->now);
}

/** The texts of the wish are the caller's, its secrets are taken. */
static void
take_wish(struct work *w, struct vault_wish *wish)
{
	char *at = w->texts = xcalloc(1, wish->name.n + wish->blob.n + wish->salt.n + 1);
	struct span *texts[] = {&w->wish.name, &w->wish.blob, &w->wish.salt};

	w->wish = *wish;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i]->n > 0)
			memcpy(at, texts[i]->p, texts[i]->n);
		texts[i]->p = at;
		at += texts[i]->n;
	}
	wish->value = wish->passphrase = NULL;
}

enum err
secrets_ask(struct secrets *s, const struct origin *origin, struct vault_wish *wish,
	struct error *error)
{
	struct work *w;

	if (s->waiting_n >= WAITING_MAX)
		return error_set(error, ERR_UNAVAILABLE,
			"%u requests to the vault are waiting: try again", s->waiting_n);
	w = xnew(struct work);
	w->owner = s;
	w->path = store_path(s->store);
	w->error = ERROR_NONE;
	w->origin = *origin;
	must(origin->id.n < sizeof(w->id));
	if (origin->id.n > 0)
		memcpy(w->id, origin->id.p, origin->id.n);
	w->origin.id.p = w->id;
	take_wish(w, wish);
	if (wish->verb == WISH_LOCK) /* it is wanted at once */
		list_prepend(&s->waiting, &w->link);
	else
		list_append(&s->waiting, &w->link);
	if (s->waiting_n++ == 0 && s->now == NULL)
		loop_defer(s->loop, start_next, s);
	return PENDING;
}

bool
secrets_are_idle(const struct secrets *s)
{
	return s->now == NULL && s->waiting_n == 0;
}

static int64_t
read_open(const void *vault)
{
	return vault_state(vault) == VAULT_OPEN;
}

static int64_t
read_count(const void *vault)
{
	return (int64_t)vault_count(vault);
}

static int64_t
read_faults(const void *vault)
{
	return (int64_t)vault_faults(vault);
}

static void
add_stats(const struct vault *vault, struct stats *stats)
{
	stats_add_gauge(stats, "sysrt_vault_open", read_open, vault);
	stats_add_gauge(stats, "sysrt_vault_secrets", read_count, vault);
	stats_add_gauge(stats, "sysrt_vault_faults", read_faults, vault);
}

struct secrets *
secrets_new(struct loop *loop, struct store *store, struct peers *peers, struct vault *vault,
	const struct conf *conf)
{
	struct secrets *s = xnew(struct secrets);

	s->loop = loop;
	s->store = store;
	s->peers = peers;
	s->vault = vault;
	s->conf = conf;
	s->offload = offload_new(loop);
	list_init(&s->waiting);
	add_stats(vault, peers_api(peers)->stats);
	if (conf->vault.cipher == CIPHER_AES256GCM && !seal_has_aes())
		log_warn("vault", "this processor has no instructions for AES-256-GCM: secrets are "
				  "sealed by xchacha20poly1305");
	if (!secret_can_lock())
		log_warn("vault", "memory cannot be locked: keys may be swapped (LimitMEMLOCK=)");
	return s;
}

void
secrets_free(struct secrets *s)
{
	struct list *link;

	if (s == NULL)
		return;
	loop_undefer(s->loop, s);
	offload_free(s->offload);
	work_free(s->now);
	while ((link = list_shift(&s->waiting)) != NULL)
		work_free(list_item(link, struct work, link));
	free(s);
}

void
secrets_reload(struct secrets *s, const struct conf *conf)
{
	s->conf = conf;
	if (s->now == NULL && vault_state(s->vault) != VAULT_OPEN && !vault_was_locked(s->vault))
		secrets_find_key(s->vault, conf);
}

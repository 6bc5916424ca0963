/* The running daemon: see server.h. */

#include "daemon/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/heap.h"
#include "daemon/base/loop.h"
#include "daemon/base/stats.h"
#include "daemon/deliver.h"
#include "daemon/doors.h"
#include "daemon/net/tls.h"
#include "daemon/peer/session.h"
#include "daemon/secrets.h"

#define DRAIN_LOOK_MS 10
#define CLOSING_MS    1000 /* for the last bytes to go out */
#define CLOSE_GOING   1001
#define NOTE_USE_MS   300000

enum phase { SERVING, ANNOUNCING, DRAINING, CLOSING };

struct server {
	struct conf *conf; /* owned */
	const struct conf_sources *sources;
	struct loop *loop;
	struct net *net;
	struct stats *stats;
	struct bounds *bounds;
	struct store *store;
	struct auth *auth;
	struct audit *audit;
	struct vault *vault;
	struct secrets *secrets;
	struct search *search;
	struct hub *hub;
	struct limits *limits;
	struct deliver deliver;
	struct api api;
	struct peers *peers;
	struct sessions *sessions;
	struct backups *backups;
	struct errand *check;
	struct errand *compaction;
	struct doors *doors;
	struct loop_timer *look_timer;
	struct loop_timer *drain_timer;
	enum phase phase;
	int64_t phase_ends_ms; /* monotonic */
	int64_t started_ms;    /* monotonic */
	int64_t noted_ms;      /* monotonic: when the use of tokens was last noted */
	struct heap heap;
};

/* What only the whole can do, for the API. */

static const char *const phase_names[] = {"serving", "stopping", "stopping", "stopping"};

static void
put_limit(struct json_out *o, const char *key, int64_t value)
{
	if (value == CONF_UNLIMITED)
		json_put_str(o, key, "unlimited");
	else
		json_put_int(o, key, value);
}

static void
put_limits(const struct conf *c, struct json_out *o)
{
	json_begin_object(o, "limits");
	put_limit(o, "max_sessions", c->websocket.max_sessions);
	put_limit(o, "max_per_uid", c->control.max_per_uid);
	put_limit(o, "max_message", c->websocket.max_message);
	put_limit(o, "max_input", c->websocket.max_input);
	put_limit(o, "max_fragments", c->websocket.max_fragments);
	put_limit(o, "max_record", c->store.max_record);
	put_limit(o, "max_in_flight", c->websocket.max_in_flight);
	put_limit(o, "max_subscriptions", c->websocket.max_subscriptions);
	put_limit(o, "send_queue", c->websocket.send_queue);
	put_limit(o, "max_header", c->websocket.max_header);
	put_limit(o, "max_handshakes", c->tls.max_handshakes);
	put_limit(o, "max_patterns", c->hub.max_patterns);
	put_limit(o, "max_topics", c->hub.max_topics);
	put_limit(o, "queue", c->store.queue);
	put_limit(o, "queue_bytes", c->store.queue_bytes);
	put_limit(o, "tombstone_max", c->store.tombstone_max);
	put_limit(o, "wal_hard_limit", c->store.wal_hard_limit);
	json_end_object(o);
}

static void
add_status(void *arg, struct json_out *o)
{
	const struct server *s = arg;

	json_put_str(o, "state", phase_names[s->phase]);
	json_put_int(o, "pid", getpid());
	json_put_int(o, "uptime_ms", clock_mono_ms() - s->started_ms);
	doors_add_status(s->doors, o);
	json_begin_object(o, "vault");
	vault_add_status(s->vault, o);
	json_end_object(o);
	put_limits(s->conf, o);
}

static void
list_sessions(void *arg, struct json_out *o)
{
	peers_add_list(((struct server *)arg)->peers, o);
}

static enum err
show_session(void *arg, uint64_t id, struct json_out *o, struct error *error)
{
	return peers_show(((struct server *)arg)->peers, id, o, error);
}

static enum err
close_session(void *arg, uint64_t id, struct error *error)
{
	struct server *s = arg;
	struct peer *p = peers_find(s->peers, id);

	if (p == NULL)
		return error_set(
			error, ERR_NOT_FOUND, "there is no session %llu", (unsigned long long)id);
	peer_dismiss(p, "closed by an administrator");
	return OK;
}

static enum err
admit(void *arg, uint64_t id, struct auth_token *token, struct error *error)
{
	struct server *s = arg;

	return peer_admit(peers_find(s->peers, id), token, error);
}

static void
describe(void *arg, uint64_t id, char out[AUDIT_WHO_SIZE])
{
	struct peer *p = peers_find(((struct server *)arg)->peers, id);

	if (p != NULL)
		peer_describe(p, out);
	else
		snprintf(out, AUDIT_WHO_SIZE, "somebody who is gone");
}

static enum err
begin_backup(
	void *arg, uint64_t peer, const struct backup_wish *wish, int64_t *job, struct error *error)
{
	return backups_ask(((struct server *)arg)->backups, peer, wish, job, error);
}

static enum err
begin_check(void *arg, uint64_t peer, int64_t *job, struct error *error)
{
	return errand_ask(((struct server *)arg)->check, peer, job, error);
}

static enum err
begin_compaction(void *arg, uint64_t peer, int64_t *job, struct error *error)
{
	return errand_ask(((struct server *)arg)->compaction, peer, job, error);
}

static enum err
ask_vault(void *arg, const struct origin *origin, struct vault_wish *wish, struct error *error)
{
	return secrets_ask(((struct server *)arg)->secrets, origin, wish, error);
}

static void
add_backups(void *arg, struct json_out *o)
{
	backups_add_status(((struct server *)arg)->backups, o);
}

/* Reload. */

static int64_t
look_interval_ms(const struct conf *c)
{
	int64_t least = c->websocket.heartbeat_ms;

	if (c->websocket.header_timeout_ms < least)
		least = c->websocket.header_timeout_ms;
	if (c->websocket.stall_timeout_ms < least)
		least = c->websocket.stall_timeout_ms;
	if (c->websocket.auth_timeout_ms < least)
		least = c->websocket.auth_timeout_ms;
	return least / 10 < 10 ? 10 : least / 10 > 1000 ? 1000 : least / 10;
}

static enum err
apply_log(const struct conf *c, struct error *error)
{
	log_set_format(c->log.format);
	return log_set_filter(span_of(c->log.filter), error);
}

/** The old certificate stays when there is something wrong with the new one. */
static enum err
read_tls(
	const struct server *s, const struct conf *c, struct tls_context **out, struct error *error)
{
	enum err e = doors_read_tls(s->doors, c, out, error);

	if (e != OK)
		error_wrap(error, "nothing was changed, the old certificate stays");
	return e;
}

static enum err
reload(void *arg, struct buf *result, struct error *error)
{
	struct server *s = arg;
	struct conf *next = NULL, *merged;
	struct tls_context *tls = NULL;
	struct json_out o = json_out_start(result);
	enum err e = conf_load(s->sources, &next, error);

	if (e != OK)
		return e;
	merged = conf_reload(s->conf, next, &o);
	conf_free(next);
	e = read_tls(s, merged, &tls, error);
	if (e == OK)
		e = apply_log(merged, error);
	if (e == OK)
		e = audit_reopen(s->audit, merged->log.audit, error);
	if (e != OK) {
		tls_context_unref(tls);
		conf_free(merged);
		return e;
	}
	net_set_max_handshakes(s->net, merged->tls.max_handshakes);
	store_reload(s->store, merged);
	search_reload(s->search, merged);
	hub_reload(s->hub, merged);
	limits_reload(s->limits, merged);
	backups_reload(s->backups, merged);
	secrets_reload(s->secrets, merged);
	s->api.conf = merged;
	sessions_reload(s->sessions);
	doors_reload(s->doors, tls);
	conf_free(s->conf);
	s->conf = merged;
	log_info("server", "configuration read again", F_SPAN("result", buf_span(result)));
	return OK;
}

static void
on_hangup(void *arg, int signo)
{
	struct error error = ERROR_NONE;
	struct buf result;

	(void)signo;
	buf_init(&result, 1 << 20);
	if (reload(arg, &result, &error) != OK)
		log_error("server", "the configuration was not read again, the old one stays",
			F_ERROR(&error));
	buf_fini(&result);
}

/* The way to a clean stop. */

static void
close_peer(struct peer *p, void *arg)
{
	(void)arg;
	p->ops->close(p, CLOSE_GOING, "the daemon is stopping");
}

static void
enter_phase(struct server *s, enum phase phase, int64_t wait_ms)
{
	s->phase = phase;
	s->phase_ends_ms = clock_mono_ms() + wait_ms;
	loop_timer_start(s->drain_timer, DRAIN_LOOK_MS);
}

/** When tokens were last used is kept in memory, and in the store now and then. */
static void
note_use(struct server *s)
{
	struct job *j = auth_note_use(s->auth);

	s->noted_ms = loop_now_ms(s->loop);
	if (j != NULL && store_submit(s->store, NULL, &j, NULL) != PENDING)
		job_free(j);
}

static void
start_draining(struct server *s)
{
	note_use(s);
	doors_stop(s->doors);
	store_refuse(s->store);
	enter_phase(s, DRAINING, s->conf->daemon.shutdown_timeout_ms);
}

static void
start_closing(struct server *s, bool is_late)
{
	if (is_late) {
		log_warn("server", "the time to stop is up: what still waits is given up");
		store_abandon(s->store);
	}
	peers_each(s->peers, close_peer, NULL);
	enter_phase(s, CLOSING, CLOSING_MS);
}

static bool
is_drained(const struct server *s)
{
	return store_is_idle(s->store) && hub_is_idle(s->hub) && secrets_are_idle(s->secrets);
}

static void
on_drain_look(void *arg)
{
	struct server *s = arg;
	bool is_late = clock_mono_ms() >= s->phase_ends_ms;

	loop_timer_start(s->drain_timer, DRAIN_LOOK_MS);
	if (s->phase == ANNOUNCING && is_late)
		start_draining(s);
	else if (s->phase == DRAINING && (is_late || is_drained(s)))
		start_closing(s, is_late);
	else if (s->phase == CLOSING &&
		 (is_late || (store_is_idle(s->store) && peers_are_idle(s->peers))))
		loop_stop(s->loop);
}

static void
begin_stop(void *arg)
{
	struct server *s = arg;

	if (s->phase != SERVING) {
		s->phase_ends_ms = 0; /* asked again: now */
		return;
	}
	log_info("server", "stopping");
	sessions_drain(s->sessions);
	enter_phase(s, ANNOUNCING, s->conf->websocket.shutdown_delay_ms);
	if (s->conf->websocket.shutdown_delay_ms == 0)
		start_draining(s);
}

static void
on_stop_signal(void *arg, int signo)
{
	log_info("server", "signal received", F_STR("signal", strsignal(signo)));
	begin_stop(arg);
}

/* The stages. */

static void
raise_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		return;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) != 0)
		log_warn("server", "the limit of open files could not be raised");
}

static enum err
loop_init(struct server *s, struct error *error)
{
	heap_bound();
	raise_descriptors();
	signal(SIGPIPE, SIG_IGN);
	s->loop = loop_new();
	s->net = net_new(s->loop);
	s->stats = stats_new();
	s->bounds = bounds_new(s->stats);
	net_add_stats(s->net, s->stats);
	net_note_bounds(s->net, s->bounds);
	net_set_max_handshakes(s->net, s->conf->tls.max_handshakes);
	return apply_log(s->conf, error);
}

static void
loop_fini(struct server *s)
{
	bounds_free(s->bounds);
	stats_free(s->stats);
	net_free(s->net);
	loop_free(s->loop);
}

static enum err
store_init(struct server *s, struct error *error)
{
	struct store_sink sink = deliver_sink(&s->deliver);

	return store_open(s->loop, s->conf, &sink, &s->store, error);
}

static void
store_fini(struct server *s)
{
	store_close(s->store);
	deliver_fini(&s->deliver);
}

static enum err
auth_init(struct server *s, struct error *error)
{
	struct grant_list list;
	enum err e = grants_read(s->conf->store.path, s->conf, &list, error);

	if (e != OK)
		return e;
	s->auth = s->deliver.auth = auth_new(&list);
	grant_list_fini(&list);
	return audit_open(s->conf->log.audit, s->stats, &s->audit, error);
}

static void
auth_fini(struct server *s)
{
	audit_close(s->audit);
	auth_free(s->auth);
}

static enum err
vault_init(struct server *s, struct error *error)
{
	struct safe_rows rows;
	enum err e = safe_read(s->conf->store.path, &rows, error);

	if (e != OK)
		return e;
	s->vault = vault_new(&rows);
	secrets_find_key(s->vault, s->conf);
	return OK;
}

static void
vault_fini(struct server *s)
{
	vault_free(s->vault);
}

static enum err
search_init(struct server *s, struct error *error)
{
	(void)error;
	s->search = search_start(s->store, s->conf);
	s->deliver.search = s->search;
	return OK;
}

static void
search_fini(struct server *s)
{
	search_stop(s->search);
}

static enum err
hub_init(struct server *s, struct error *error)
{
	s->hub = hub_new(s->loop, s->store, s->conf);
	hub_note_bounds(s->hub, s->bounds);
	s->deliver.hub = s->hub;
	return hub_warm(s->hub, error);
}

static void
hub_fini(struct server *s)
{
	hub_free(s->hub);
}

static enum err
peers_init(struct server *s, struct error *error)
{
	(void)error;
	s->api = (struct api){
		.loop = s->loop,
		.store = s->store,
		.hub = s->hub,
		.search = s->search,
		.limits = s->limits = limits_new(s->conf, s->bounds),
		.bounds = s->bounds,
		.conf = s->conf,
		.stats = s->stats,
		.auth = s->auth,
		.audit = s->audit,
		.vault = s->vault,
		.ops = {reload, begin_stop, add_status, list_sessions, show_session, close_session,
			admit, describe, begin_backup, add_backups, begin_check, begin_compaction,
			ask_vault, s},
	};
	s->peers = peers_new(&s->api, s->net, s->loop);
	s->deliver.peers = s->peers;
	s->sessions = sessions_new(s->peers);
	return OK;
}

static void
fini_peer(struct peer *p, void *arg)
{
	(void)arg;
	p->ops->abandon(p);
}

static void
peers_fini(struct server *s)
{
	peers_each(s->peers, fini_peer, NULL);
	/* One more turn, for what they left to be freed at its end. */
	loop_defer(s->loop, (void (*)(void *))loop_stop, s->loop);
	loop_run(s->loop);
	sessions_free(s->sessions);
	peers_free(s->peers);
	limits_free(s->limits);
}

static enum err
backups_init(struct server *s, struct error *error)
{
	(void)error;
	s->backups = backups_new(s->loop, s->store, s->peers, s->conf);
	s->deliver.backups = s->backups;
	return OK;
}

static void
backups_fini(struct server *s)
{
	s->deliver.backups = NULL; /* one that is still made comes back to nobody */
	backups_free(s->backups);
}

static enum err
errands_init(struct server *s, struct error *error)
{
	static const struct errand_work check = {
		store_check, store_check_stop, store_check_progress};
	static const struct errand_work compaction = {
		store_compact, store_compact_stop, store_compact_progress};

	(void)error;
	s->check = s->deliver.check = errand_new(s->loop, s->store, s->peers, &check);
	s->compaction = s->deliver.compaction =
		errand_new(s->loop, s->store, s->peers, &compaction);
	return OK;
}

static void
errands_fini(struct server *s)
{
	s->deliver.check = s->deliver.compaction = NULL;
	errand_free(s->check);
	errand_free(s->compaction);
}

static enum err
secrets_init(struct server *s, struct error *error)
{
	(void)error;
	s->secrets = s->deliver.secrets =
		secrets_new(s->loop, s->store, s->peers, s->vault, s->conf);
	return OK;
}

static void
secrets_fini(struct server *s)
{
	s->deliver.secrets = NULL;
	secrets_free(s->secrets);
}

static enum err
doors_init(struct server *s, struct error *error)
{
	return doors_open(s->peers, s->sessions, &s->doors, error);
}

static void
doors_fini(struct server *s)
{
	doors_close(s->doors);
}

static void
on_look(void *arg)
{
	struct server *s = arg;

	loop_timer_start(s->look_timer, look_interval_ms(s->conf));
	peers_check_tokens(s->peers, clock_wall_ms());
	peers_look(s->peers);
	if (loop_now_ms(s->loop) - s->noted_ms >= NOTE_USE_MS)
		note_use(s);
	heap_look(&s->heap, loop_now_ms(s->loop));
}

static enum err
clocks_init(struct server *s, struct error *error)
{
	(void)error;
	s->look_timer = loop_timer_new(s->loop, on_look, s);
	s->drain_timer = loop_timer_new(s->loop, on_drain_look, s);
	loop_timer_start(s->look_timer, look_interval_ms(s->conf));
	loop_on_signal(s->loop, SIGTERM, on_stop_signal, s);
	loop_on_signal(s->loop, SIGINT, on_stop_signal, s);
	loop_on_signal(s->loop, SIGHUP, on_hangup, s);
	return OK;
}

static void
clocks_fini(struct server *s)
{
	loop_timer_free(s->look_timer);
	loop_timer_free(s->drain_timer);
}

static const struct stage {
	const char *name;
	enum err (*init)(struct server *s, struct error *error);
	void (*fini)(struct server *s);
} stages[] = {
	{"loop",    loop_init,    loop_fini   },
	{"store",   store_init,   store_fini  },
	{"auth",    auth_init,    auth_fini   },
	{"vault",   vault_init,   vault_fini  },
	{"search",  search_init,  search_fini },
	{"hub",     hub_init,     hub_fini    },
	{"peers",   peers_init,   peers_fini  },
	{"backups", backups_init, backups_fini},
	{"errands", errands_init, errands_fini},
	{"secrets", secrets_init, secrets_fini},
	{"doors",   doors_init,   doors_fini  },
	{"clocks",  clocks_init,  clocks_fini },
};
#define STAGES_N (sizeof(stages) / sizeof(stages[0]))

static void
log_ready(const struct server *s)
{
	doors_log(s->doors);
	log_info("server", "ready", F_STR("version", SYSRT_VERSION),
		F_STR("store", s->conf->store.path), F_INT("seq", store_last_seq(s->store)),
		F_STR("control", s->conf->control.socket),
		F_INT("took_ms", clock_mono_ms() - s->started_ms));
}

enum err
server_run(struct conf *conf, const struct conf_sources *sources, struct error *error)
{
	struct server *s = xnew(struct server);
	size_t up = 0;
	enum err e = OK;

	s->conf = conf;
	s->sources = sources;
	s->started_ms = clock_mono_ms();
	while (up < STAGES_N && e == OK)
		e = stages[up++].init(s, error);
	if (e == OK) {
		log_ready(s);
		loop_run(s->loop);
		log_info("server", "stopped");
	}
	/* A stage that failed may have come half-way. */
	while (up-- > 0)
		stages[up].fini(s);
	conf_free(s->conf);
	free(s);
	return e;
}

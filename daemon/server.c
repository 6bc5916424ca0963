/* The running daemon: see server.h. */

#include "daemon/server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/stats.h"
#include "daemon/net/tls.h"
#include "daemon/secrets.h"
#include "daemon/server_priv.h"

#define DRAIN_LOOK_MS 10
#define CLOSING_MS    1000  /* for the last bytes to go out */
#define ABANDONING_MS 10000 /* for the commit that is under way, and for reads */
#define FEEDS_END_MS  3000
#define CLOSE_GOING   1001
#define TIDY_MS       300000

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

enum err
server_reload(struct server *s, struct buf *result, struct error *error)
{
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
		e = audit_reopen(s->audit, merged->log.audit, error);
	if (e == OK)
		e = apply_log(merged, error); /* it was judged when it was read */
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
	feeds_reload(s->feeds, merged);
	if (vault_state(s->vault) == VAULT_OPEN)
		feeds_secrets_changed(s->feeds); /* it may have been opened by this */
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
	if (server_reload(arg, &result, &error) != OK)
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
tidy_tokens(struct server *s)
{
	struct job *j = auth_tidy(s->auth, clock_wall_ms());

	s->tidied_ms = loop_now_ms(s->loop);
	if (j != NULL && store_submit(s->store, NULL, &j, NULL) != PENDING)
		job_free(j);
}

static void
start_draining(struct server *s)
{
	tidy_tokens(s);
	doors_stop(s->doors);
	store_refuse(s->store);
	enter_phase(s, DRAINING, s->conf->daemon.shutdown_timeout_ms);
}

/** Who waits is told what became of it: that it was not done, or what the commit under way brings.
 */
static void
start_abandoning(struct server *s)
{
	log_warn("server", "the time to stop is up: what still waits is given up");
	store_abandon(s->store);
	enter_phase(s, ABANDONING, ABANDONING_MS);
}

static void
start_closing(struct server *s)
{
	peers_each(s->peers, close_peer, NULL);
	enter_phase(s, CLOSING, CLOSING_MS);
}

static bool
is_drained(const struct server *s)
{
	return store_is_idle(s->store) && hub_is_idle(s->hub) && secrets_are_idle(s->secrets);
}

/** They have a little longer than the announcement lasts, for what they have read. */
static bool
have_feeds_ended(const struct server *s)
{
	return feeds_are_idle(s->feeds) || clock_mono_ms() >= s->phase_ends_ms + FEEDS_END_MS;
}

static void
on_drain_look(void *arg)
{
	struct server *s = arg;
	bool is_late = clock_mono_ms() >= s->phase_ends_ms;

	loop_timer_start(s->drain_timer, DRAIN_LOOK_MS);
	switch (s->phase) {
	case SERVING:
		break;
	case ANNOUNCING:
		if (is_late && have_feeds_ended(s))
			start_draining(s);
		break;
	case DRAINING:
		if (is_drained(s))
			start_closing(s);
		else if (is_late)
			start_abandoning(s);
		break;
	case ABANDONING:
		if (is_late || store_is_idle(s->store))
			start_closing(s);
		break;
	case CLOSING:
		if (is_late || (store_is_idle(s->store) && peers_are_idle(s->peers)))
			loop_stop(s->loop);
		break;
	}
}

void
server_begin_stop(struct server *s)
{
	if (s->phase != SERVING) {
		s->phase_ends_ms = 0; /* asked again: now */
		return;
	}
	log_info("server", "stopping");
	sessions_drain(s->sessions);
	feeds_hurry(s->feeds);
	enter_phase(s, ANNOUNCING, s->conf->websocket.shutdown_delay_ms);
	if (s->conf->websocket.shutdown_delay_ms == 0)
		loop_timer_start(s->drain_timer, 0); /* not from inside a request */
}

static void
on_stop_signal(void *arg, int signo)
{
	log_info("server", "signal received", F_STR("signal", strsignal(signo)));
	server_begin_stop(arg);
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
	enum err e = grants_read(s->conf->store.path, &list, error);

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
		.ops = server_api_ops(s),
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

static void
answer_for_feed(void *arg, const struct origin *origin, enum err result, struct span reply,
	const struct error *error)
{
	struct server *s = arg;
	struct peer *p = peers_find(s->peers, origin->peer);

	if (origin->audited != NULL)
		gate_note(&s->api, &(struct audit_entry){.what = origin->audited,
					   .session = origin->peer,
					   .name = SPAN(""),
					   .result = result,
					   .error = error});
	if (p != NULL)
		peer_answer(p, origin, result, reply, error);
}

static enum err
feeds_init(struct server *s, struct error *error)
{
	struct feedrow_list rows;
	enum err e = feedrows_read(s->conf->store.path, &rows, error);

	if (e != OK)
		return e;
	s->feeds = s->deliver.feeds = s->api.feeds = feeds_new(
		&(struct feeds_parts){
			.loop = s->loop,
			.net = s->net,
			.store = s->store,
			.hub = s->hub,
			.vault = s->vault,
			.stats = s->stats,
			.conf = s->conf,
			.answer = answer_for_feed,
			.arg = s,
		},
		&rows);
	feedrow_list_fini(&rows);
	return OK;
}

static void
feeds_fini(struct server *s)
{
	s->deliver.feeds = s->api.feeds = NULL;
	feeds_free(s->feeds);
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
	if (loop_now_ms(s->loop) - s->tidied_ms >= TIDY_MS)
		tidy_tokens(s);
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
	{"feeds",   feeds_init,   feeds_fini  },
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
		feeds_begin(s->feeds);
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

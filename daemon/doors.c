/* The doors: see doors.h. */

#include "daemon/doors.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/guard/peercred.h"
#include "daemon/net/listen.h"
#include "daemon/net/tls.h"
#include "daemon/peer/control.h"

#define LISTENERS_MAX 32

struct doors {
	struct peers *peers;
	struct sessions *sessions;
	struct listener *listeners[LISTENERS_MAX];
	unsigned listeners_n;
	struct listener *control; /* NULL: not opened yet */
};

static const char *const auth_names[] = {"optional", "required", "none"};

static const struct conf *
conf_of(const struct doors *d)
{
	return peers_api(d->peers)->conf;
}

static void
on_accept(void *arg, struct listener *l, int fd)
{
	struct doors *d = arg;

	session_accept(d->sessions, l, fd);
}

static enum err
open_listeners(struct doors *d, struct error *error)
{
	const struct conf_list *list = &conf_of(d)->websocket.listen;
	enum err e = OK;

	for (size_t i = 0; i < list->n && i < LISTENERS_MAX && e == OK; i++) {
		e = listener_open_tcp(peers_loop(d->peers), list->v[i], on_accept, d,
			&d->listeners[d->listeners_n], error);
		d->listeners_n += e == OK;
	}
	return e;
}

static void
on_accept_control(void *arg, struct listener *l, int fd)
{
	struct doors *d = arg;

	(void)l;
	control_accept(d->peers, fd);
}

/** Where others than the members of one group may come in, everybody may knock. */
static mode_t
control_mode(const struct conf *c)
{
	return c->control.read_group[0] != '\0' ? 0666 : 0660;
}

static bool
is_there(const char *group)
{
	gid_t gid;

	return group[0] == '\0' || peercred_group(group, &gid);
}

static void
warn_of_groups(const struct conf *c)
{
	if (!is_there(c->control.admin_group))
		log_warn("server",
			"there is no such group: only root and the daemon's user may use the "
			"control socket",
			F_STR("admin_group", c->control.admin_group));
	if (!is_there(c->control.read_group))
		log_warn("server", "there is no such group: nobody reads by it",
			F_STR("read_group", c->control.read_group));
}

static enum err
open_control(struct doors *d, struct error *error)
{
	const struct conf *c = conf_of(d);
	struct listener_file file = {
		.path = c->control.socket, .gid = (gid_t)-1, .mode = control_mode(c)};

	peercred_group(c->control.admin_group, &file.gid);
	warn_of_groups(c);
	return listener_open_unix(
		peers_loop(d->peers), &file, on_accept_control, d, &d->control, error);
}

/** Certificate and key, as the configuration names them; NULL: there is none. */
static enum err
read_tls(const struct conf *c, struct tls_context **out, struct error *error)
{
	struct tls_files files = {c->tls.cert, c->tls.key, c->tls.client_ca};
	bool has_cert = files.cert[0] != '\0', has_key = files.key[0] != '\0';

	*out = NULL;
	if (has_cert && has_key)
		return tls_context_open(&files, out, error);
	if (!has_cert && !has_key && files.client_ca[0] == '\0')
		return OK;
	return error_set(error, ERR_CONFIG_ERROR,
		"%s is set, and %s is not: TLS needs a certificate and its key",
		has_cert  ? "tls.cert"
		: has_key ? "tls.key"
			  : "tls.client_ca",
		has_cert ? "tls.key" : "tls.cert");
}

static void
set_tls(struct doors *d, struct tls_context *tls)
{
	sessions_set_tls(d->sessions, tls);
	if (tls == NULL)
		return;
	log_info("server", "certificate loaded", F_STR("file", conf_of(d)->tls.cert),
		F_INT("expires_at", tls_context_expires_at(tls)));
	if (tls_context_expires_at(tls) <= clock_wall_ms())
		log_warn("server", "the certificate has expired: clients will refuse it",
			F_STR("file", conf_of(d)->tls.cert));
}

enum err
doors_read_tls(
	const struct doors *d, const struct conf *c, struct tls_context **out, struct error *error)
{
	enum err e = read_tls(c, out, error);

	if (e == OK && *out == NULL && sessions_tls(d->sessions) != NULL)
		e = error_set(error, ERR_CONFIG_ERROR,
			"tls.cert and tls.key are gone: a port that speaks TLS stops doing so at a "
			"restart only");
	return e;
}

enum err
doors_open(struct peers *ps, struct sessions *ss, struct doors **out, struct error *error)
{
	struct doors *d = xnew(struct doors);
	struct tls_context *tls;
	enum err e;

	d->peers = ps;
	d->sessions = ss;
	e = read_tls(conf_of(d), &tls, error);
	if (e == OK) {
		set_tls(d, tls);
		e = open_listeners(d, error);
	}
	if (e == OK)
		e = open_control(d, error);
	if (e != OK) {
		doors_close(d);
		return e;
	}
	*out = d;
	return OK;
}

void
doors_reload(struct doors *d, struct tls_context *tls)
{
	set_tls(d, tls);
	control_reload(d->peers);
	listener_set_mode(d->control, control_mode(conf_of(d)));
	warn_of_groups(conf_of(d));
}

void
doors_stop(struct doors *d)
{
	for (unsigned i = 0; i < d->listeners_n; i++)
		listener_stop(d->listeners[i]);
	listener_stop(d->control);
}

void
doors_close(struct doors *d)
{
	if (d == NULL)
		return;
	for (unsigned i = 0; i < d->listeners_n; i++)
		listener_close(d->listeners[i]);
	listener_close(d->control);
	free(d);
}

static void
warn_of_network(const struct doors *d, const struct listener *l)
{
	if (listener_is_loopback(l))
		return;
	if (sessions_tls(d->sessions) == NULL)
		log_warn("server",
			"not on loopback and not encrypted: whoever is on the way reads all, tokens "
			"too (tls.cert)",
			F_STR("address", listener_address(l)));
	if (conf_of(d)->websocket.auth == AUTH_NONE)
		log_warn("server",
			"websocket.auth is \"none\": whoever reaches this address may do what "
			"websocket.anonymous says, without a token",
			F_STR("address", listener_address(l)));
	else if (auth_count(peers_api(d->peers)->auth) == 0)
		log_warn("server",
			"nobody can come in without a token, and there is none: make one with "
			"sysrtctl token create",
			F_STR("address", listener_address(l)));
}

void
doors_log(const struct doors *d)
{
	for (unsigned i = 0; i < d->listeners_n; i++) {
		log_info(
			"server", "listening", F_STR("address", listener_address(d->listeners[i])));
		warn_of_network(d, d->listeners[i]);
	}
}

void
doors_add_status(const struct doors *d, struct json_out *o)
{
	json_begin_object(o, "websocket");
	json_begin_array(o, "listen");
	for (unsigned i = 0; i < d->listeners_n; i++)
		json_put_str(o, NULL, listener_address(d->listeners[i]));
	json_end_array(o);
	if (sessions_tls(d->sessions) != NULL) {
		json_begin_object(o, "tls");
		tls_context_add_status(sessions_tls(d->sessions), o);
		json_end_object(o);
	}
	json_put_str(o, "auth", auth_names[conf_of(d)->websocket.auth]);
	json_put_int(o, "tokens", auth_count(peers_api(d->peers)->auth));
	json_put_int(o, "sessions", sessions_count(d->sessions));
	json_put_int(o, "connections", peers_count(d->peers, ORIGIN_WEBSOCKET));
	json_end_object(o);
	json_begin_object(o, "control");
	json_put_str(o, "socket", conf_of(d)->control.socket);
	json_put_int(o, "connections", peers_count(d->peers, ORIGIN_CONTROL));
	json_end_object(o);
}

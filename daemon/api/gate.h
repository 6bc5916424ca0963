#pragma once
/*
 * The gate: the one way in. Looks a method up, checks from the columns of its
 * row (parameters, scope, where it may be called), then calls the handler. A
 * refusal is a value; only the peer writes. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/rpc.h"
#include "daemon/api/args.h"
#include "daemon/base/bounds.h"
#include "daemon/base/conf.h"
#include "daemon/base/stats.h"
#include "daemon/guard/audit.h"
#include "daemon/guard/auth.h"
#include "daemon/guard/limit.h"
#include "daemon/guard/scope.h"
#include "daemon/guard/trail.h"
#include "daemon/guard/vault.h"
#include "daemon/hub/hub.h"
#include "daemon/search/search.h"
#include "daemon/store/store.h"

struct feeds;

/* MAJOR.MINOR of the language that clients speak. */
#define API_PROTOCOL "1.0"

enum method_kind {
	METHOD_LOCAL,
	METHOD_OPEN, /* likewise, and for those who still have to show a token, too */
	METHOD_READ,
	METHOD_WRITE,
	METHOD_SECRET, /* local; a secret is among its parameters or in its answer: they are
			  overwritten after use */
};

/** Who calls: a peer's view for the gate. Borrowed for the length of a call. */
struct caller {
	enum origin_kind kind;
	uint64_t id;
	struct scopes *scopes;
	struct auth_token *token; /* the one that was shown; NULL: none */
	bool must_auth;           /* until it has shown one */
	int passed_fd; /* the last descriptor that came over the control socket; -1: none */
	struct store_client *store;
	struct subscriber *subscriber;
	struct limited *limited;
	struct trail **trail; /* what is refused is noted there */
};

struct call;

struct method {
	const char *name;
	enum scope scope; /* the verb: for what its arguments touch so, or for everything */
	unsigned cost;    /* for the limiter */
	enum method_kind kind;
	bool in_batch; /* allowed inside a batch */
	bool is_audited;
	enum err (*handle)(struct call *c);
	const struct arg_spec *args;
	const char *help;
};

/** What a backup is to be. */
struct backup_wish {
	int fd; /* borrowed; -1: into the folder */
	bool does_verify;
};

enum vault_verb {
	WISH_SET,
	WISH_REMOVE,
	WISH_ROTATE,
	WISH_TEST,
	WISH_IMPORT,
	WISH_EXPORT,
	WISH_UNLOCK,
	WISH_LOCK,
	WISH_REKEY,
};

/** What is wanted of the vault. */
struct vault_wish {
	enum vault_verb verb;
	const char *method;
	struct span name;          /* "": of all, where that can be */
	struct secret *value;      /* to set; to unlock: a key */
	struct secret *passphrase; /* to import, export, unlock, rekey */
	struct span blob;          /* to import */
	struct span salt;          /* to import, export */
	int64_t rounds;            /* likewise */
	bool creates;              /* to unlock: a vault that is not there yet */
};

/** What handlers work with: made once by main. */
struct api {
	struct loop *loop;
	struct store *store;
	struct hub *hub;
	struct search *search;
	struct limits *limits;
	struct bounds *bounds;
	const struct conf *conf; /* in force; changes at reload */
	struct stats *stats;
	struct auth *auth;
	struct audit *audit;
	struct vault *vault;
	struct feeds *feeds;
	struct daemon_ops { /* what only main can do */
		enum err (*reload)(void *daemon, struct buf *result, struct error *error);
		void (*shutdown)(void *daemon);
		void (*add_status)(void *daemon, struct json_out *o); /* listeners, peers, uptime */
		void (*list_sessions)(void *daemon, struct json_out *o);
		enum err (*show_session)(
			void *daemon, uint64_t id, struct json_out *o, struct error *error);
		enum err (*close_session)(void *daemon, uint64_t id, struct error *error);
		/** The peer has shown this token. */
		enum err (*admit)(
			void *daemon, uint64_t peer, struct auth_token *token, struct error *error);
		/** Writes who a peer is, for the audit log. */
		void (*describe)(void *daemon, uint64_t peer, char out[AUDIT_WHO_SIZE]);
		enum err (*backup)(void *daemon, uint64_t peer, const struct backup_wish *wish,
			int64_t *job, struct error *error);
		void (*add_backups)(void *daemon, struct json_out *o);
		enum err (*check)(void *daemon, uint64_t peer, int64_t *job, struct error *error);
		enum err (*compact)(void *daemon, uint64_t peer, int64_t *job, struct error *error);
		/** PENDING: it will be answered. Takes what is secret in the wish. */
		enum err (*vault)(void *daemon, const struct origin *origin,
			struct vault_wish *wish, struct error *error);
		void *daemon;
	} ops;
	bool had_secret; /* a secret may have been sent: who cleared this overwrites what he has */
};

/** What a handler sees. */
struct call {
	const struct method *method;
	struct api *api;
	const struct caller *caller;
	struct origin origin;
	const struct arg *args; /* checked, in the order of method->args */
	size_t params_n;        /* bytes of the params */
	struct buf *result;     /* JSON of the result, when the handler returns OK */
	struct error *error;
	int64_t now_ms; /* wall clock */
};

/** Charges the caller for what is no call of a method. */
enum err gate_charge(
	struct api *api, const struct caller *caller, unsigned cost, struct error *error);
/** Runs one request. OK: *result holds the answer. PENDING: the store will answer to the origin.
 * Otherwise *error. */
enum err gate_call(struct api *api, const struct caller *caller, const struct rpc_request *request,
	uint64_t batch, struct buf *result, struct error *error);

/** Notes something in the audit log: fills in who it was, by the session. */
void gate_note(struct api *api, const struct audit_entry *entry);
/** The rows, sorted by name. */
const struct method *method_table(size_t *n);
const struct method *method_find(struct span name);

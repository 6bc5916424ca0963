#pragma once
/*
 * The gate: the one way in. Looks a method up, checks from the columns of its
 * row (scope, parameters, where it may be called), then calls the handler. A
 * refusal is a value; only the peer writes. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/rpc.h"
#include "daemon/api/args.h"
#include "daemon/base/conf.h"
#include "daemon/base/stats.h"
#include "daemon/hub/hub.h"
#include "daemon/store/store.h"

enum scope {
	SCOPE_NONE = 0, /* anybody */
	SCOPE_READ = 1,
	SCOPE_WRITE = 2,
	SCOPE_PUBLISH = 4,
	SCOPE_ADMIN = 8,
};
/* MAJOR.MINOR of the language that clients speak. */
#define API_PROTOCOL "1.0"

#define SCOPE_ALL (SCOPE_READ | SCOPE_WRITE | SCOPE_PUBLISH | SCOPE_ADMIN)

enum method_kind { METHOD_LOCAL, METHOD_READ, METHOD_WRITE };

/** Who calls: a peer's view for the gate. Borrowed for the length of a call. */
struct caller {
	enum origin_kind kind;
	uint64_t id;
	unsigned scopes; /* mask of enum scope */
	struct store_client *store;
	struct subscriber *subscriber;
};

struct call;

struct method {
	const char *name;
	unsigned scope;
	unsigned cost; /* for the limiter */
	enum method_kind kind;
	bool in_batch; /* allowed inside a batch */
	bool is_audited;
	enum err (*handle)(struct call *c);
	const struct arg_spec *args;
	const char *help;
};

/** What handlers work with: made once by main. */
struct api {
	struct loop *loop;
	struct store *store;
	struct hub *hub;
	const struct conf *conf; /* in force; changes at reload */
	struct stats *stats;
	struct daemon_ops { /* what only main can do */
		enum err (*reload)(void *daemon, struct buf *result, struct error *error);
		void (*shutdown)(void *daemon);
		void (*add_status)(void *daemon, struct json_out *o); /* listeners, peers, uptime */
		void (*list_sessions)(void *daemon, struct json_out *o);
		enum err (*close_session)(void *daemon, uint64_t id, struct error *error);
		void *daemon;
	} ops;
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

/** Runs one request. OK: *result holds the answer. PENDING: the store will answer to the origin.
 * Otherwise *error. */
enum err gate_call(struct api *api, const struct caller *caller, const struct rpc_request *request,
	uint64_t batch, struct buf *result, struct error *error);

/** "read", "write", "publish", "admin"; "none". */
const char *scope_name(unsigned scope);
/** The rows, sorted by name. */
const struct method *method_table(size_t *n);
const struct method *method_find(struct span name);

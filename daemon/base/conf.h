#pragma once
/*
 * The configuration: one table of options (name, type, default, bounds, unit,
 * whether a change needs a restart, help) drives loading, checking, printing,
 * the example file and the manual's list. A struct conf is immutable once made.
 * Pure but for reading the files; any thread may read one.
 *
 * A section may have tables with names of their own instead of options, such as
 * [category."sensor.*"]: see struct conf_tables. They come from files only.
 *
 * Sources, later ones win: defaults, the file, those in FILE's conf.d in order of
 * name, SYSRT_SECTION_KEY in the environment, overrides of the command line.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"
#include "common/name.h"
#include "common/rate.h"
#include "common/span.h"

/** What "unlimited" is for sizes, counts and durations. */
#define CONF_UNLIMITED INT64_MAX

struct conf_list {
	char **v; /* terminated texts */
	size_t n;
};

/** Who has to show a token: nobody on loopback, everybody, nobody at all. */
enum conf_auth { AUTH_OPTIONAL, AUTH_REQUIRED, AUTH_NONE };

/** What secrets are sealed with; AES only where the processor has it. */
enum conf_cipher { CIPHER_XCHACHA20, CIPHER_AES256GCM };

enum durability { DURABILITY_NORMAL, DURABILITY_FULL };

/** A table with a name of its own: the beginning of every struct that one is read into. */
struct conf_named {
	struct name_pattern pattern;
	char *name;                  /* as it was written: "sensor.*"; NULL in the defaults */
	struct conf_origin *origins; /* where its values came from, by row of its section */
};

/** The tables of one section, sorted by text, and the values that hold where no table does. */
struct conf_tables {
	struct name_pattern **v; /* each the beginning of a struct conf_named */
	size_t n;
	struct conf_named *standard;
};

/** How many earlier versions of a record are kept, and how long each after it was replaced: both
 * bounds hold. */
struct conf_keep {
	int64_t count; /* 0: none are kept */
	int64_t age_ms;
};

enum conf_search { SEARCH_WORDS, SEARCH_TRIGRAM, SEARCH_OFF };

/** [category.NAME] */
struct conf_category {
	struct conf_named named;
	struct conf_keep history;
	int64_t ttl_ms; /* CONF_UNLIMITED: none */
	int64_t max_records;
	int64_t max_data; /* bytes of one record's data */
	enum conf_search search;
};

/** A message that a feed sends when it has connected, and what it waits for then. */
struct conf_step {
	char *send;         /* NULL: nothing, it only waits */
	bool is_binary;     /* send is base64 of a binary message */
	char *await;        /* a condition (common/where.h) on a message; NULL: it does not wait */
	int64_t timeout_ms; /* for that message to come */
};

struct conf_steps {
	struct conf_step *v;
	size_t n;
};

/** How the text of a secret is made the key of signatures, and how these are written. */
enum conf_sign_key { SIGN_KEY_RAW, SIGN_KEY_HEX, SIGN_KEY_BASE64 };
enum conf_sign_as { SIGN_AS_HEX, SIGN_AS_BASE64 };

/** What a feed does while the store has no room. */
enum conf_on_full { FULL_WAIT, FULL_CONFLATE };

/** [feed.NAME]. Texts that are not given are "". In headers, messages and sign_text ${...} stands
 * for something: see expand.h. */
struct conf_feed {
	struct conf_named named;
	char *url;
	bool enabled;
	char *ca;                 /* a file; "": the system's authorities */
	struct conf_list headers; /* "Name: value" */
	struct conf_list subprotocols;
	struct conf_steps on_connect;
	int64_t connect_timeout_ms;
	char *app_ping; /* a message */
	int64_t app_ping_every_ms;
	int64_t heartbeat_ms;    /* CONF_UNLIMITED: no pings are sent */
	int64_t idle_timeout_ms; /* these two: CONF_UNLIMITED */
	int64_t max_retries;
	int64_t max_message;
	char *sign_text;
	char *sign_secret; /* the name of a secret */
	enum conf_sign_key sign_key;
	enum conf_sign_as sign_as;
	char *split;    /* a JSON Pointer; "{}": the message itself is the array */
	char *where;    /* a condition on a message */
	char *category; /* from here on templates: see template.h */
	char *id;
	char *name;
	char *data; /* of one place */
	char *time;
	int64_t ttl_ms;    /* CONF_UNLIMITED: what the category says */
	char *received_at; /* the name of a member */
	char *topic;       /* a template */
	bool drop_unmapped;
	enum conf_on_full on_full;
	struct rate rate; /* of messages */
	char *record;     /* the name of a recording */
	int64_t record_max;
	int64_t stale_after_ms; /* CONF_UNLIMITED: never */
};

struct conf {
	struct {
		char *path;
		enum durability durability;
		int64_t readers;
		int64_t queue; /* operations waiting for the writer */
		int64_t queue_bytes;
		int64_t max_record; /* bytes of one record's data */
		int64_t tombstone_retention_ms;
		int64_t tombstone_max;
		int64_t read_timeout_ms;
		int64_t cache_bytes;
		int64_t wal_limit;      /* bytes: the writer restarts the log here */
		int64_t wal_hard_limit; /* bytes: writes are refused here */
	} store;
	struct {
		struct conf_list listen;
		bool echo;
		int64_t max_sessions;
		int64_t max_message;   /* bytes of a message and of a line */
		int64_t max_fragments; /* of a message */
		int64_t max_input;     /* bytes of unfinished messages, of all sessions */
		int64_t send_queue;    /* unsent bytes per session before it lags */
		int64_t heartbeat_ms;
		struct conf_list origins;
		struct conf_list hosts;
		int64_t max_in_flight;
		int64_t max_subscriptions; /* of one session */
		int64_t max_header;        /* bytes of an HTTP head */
		int64_t header_timeout_ms;
		int64_t stall_timeout_ms;
		enum conf_auth auth;
		int64_t auth_timeout_ms;
		struct conf_list anonymous;       /* scopes */
		struct conf_list trusted_proxies; /* networks */
		bool proxy_protocol;
		int64_t shutdown_delay_ms;
	} websocket;
	struct {
		char *cert; /* a file; "": no TLS */
		char *key;
		char *client_ca; /* "": clients are not asked for certificates */
		int64_t max_handshakes;
	} tls;
	struct {
		char *socket;
		char *admin_group;
		char *read_group; /* "": none */
		int64_t max_per_uid;
	} control;
	struct {
		struct rate session;     /* costs of one session's requests */
		struct rate address;     /* of all sessions from one address */
		struct rate connections; /* from one address */
		struct rate total;       /* of all requests */
		struct rate refusals;    /* that one session is told */
		struct conf_list exempt; /* networks */
		int64_t addresses;       /* remembered */
	} limits;
	struct {
		int64_t recent; /* changes kept in the ring */
		int64_t recent_bytes;
		int64_t max_patterns; /* of all subscriptions to records: pairs of a category and
					 an id */
		int64_t max_topics;   /* the same of topics */
	} hub;
	struct {
		int64_t rank_limit; /* matches that are counted and ranked */
		int64_t timeout_ms;
		int64_t max_lag; /* changes that the index may be behind */
	} search;
	struct {
		char *filter;
		enum log_format format;
		char *audit; /* a file; "": none */
	} log;
	struct {
		enum conf_cipher cipher;
		char *key_file; /* "": none */
		bool allow_read;
		int64_t argon2_memory;
		int64_t argon2_passes;
	} vault;
	struct {
		char *folder;     /* "": none */
		int64_t every_ms; /* CONF_UNLIMITED: only when asked for */
		int64_t keep;
		bool verify;
	} backup;
	struct {
		int64_t shutdown_timeout_ms;
	} daemon;
	struct conf_tables categories; /* of struct conf_category: see conf_category() */
	struct conf_tables feeds;      /* of struct conf_feed: see conf_feed_at() */
	struct conf_origin *origins; /* where each option's value came from, by row of the table */
};

/** One option from the command line. The value is bare text, as in the environment; items of a list
 * are parted by commas. */
struct conf_override {
	const char *name;
	const char *value;
};

struct conf_sources {
	const char *file;          /* NULL: the default file if it is there, else none */
	bool is_file_required;     /* --config was given: a missing file is an error */
	char *const *environ_list; /* NULL: no environment */
	const struct conf_override *overrides;
	size_t overrides_n;
};

#define CONF_DEFAULT_FILE "/etc/sysrt/config.toml"

/** Reads and checks everything; ERR_CONFIG_ERROR names file, line and the nearest known key. */
enum err conf_load(const struct conf_sources *from, struct conf **out, struct error *error);
/** The defaults alone. */
struct conf *conf_new(void);
void conf_free(struct conf *c);
/** What is in force for a category: the table with the longest name that fits, alone, else the
 * defaults. */
const struct conf_category *conf_category(const struct conf *c, struct span name);

/** The example file: every option with its help, unit, bounds and default, as TOML. Parsing it
 * gives the defaults. */
void conf_add_defaults(struct buf *out);
/** The configuration in force as TOML, each value with where it came from as a comment. */
void conf_add_effective(const struct conf *c, struct buf *out);
/** The same as a JSON array of {name, value, default, origin, needs_restart, help}. */
void conf_add_json(const struct conf *c, struct json_out *o);
/** What differs: {"applied": [names], "needs_restart": [names]}. Returns a configuration to run on
 * from now: `now` with only those values of `next` that may change at run time. */
struct conf *conf_reload(const struct conf *now, const struct conf *next, struct json_out *o);

/* Feeds, from the configuration and from definitions in JSON, which have the same keys. */

/** The i-th of the configuration, by name; i is below c->feeds.n. */
const struct conf_feed *conf_feed_at(const struct conf *c, size_t i);
/** The one with this name; NULL: there is none. */
const struct conf_feed *conf_feed_find(const struct conf *c, struct span name);
/** Reads a definition, an object: what it does not give has its default. ERR_INVALID_ARGUMENT names
 * the key, and the nearest known one if it is none. On success the caller owns *out. */
enum err conf_feed_read(struct span name, struct json_value definition, struct conf_feed **out,
	struct error *error);
struct conf_feed *conf_feed_dup(const struct conf_feed *f);
void conf_feed_free(struct conf_feed *f);
/** Writes members for what is not the default, or for all: what conf_feed_read() takes. */
void conf_feed_add(const struct conf_feed *f, bool all, struct json_out *o);
/** Whether they are defined alike; the name does not count. */
bool conf_feed_is_equal(const struct conf_feed *a, const struct conf_feed *b);

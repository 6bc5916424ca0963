/* The command line of sysrtctl: see grammar.h. */

#include "ctl/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/time.h"
#include "common/utf8.h"
#include "common/xalloc.h"
#include "ctl/commands.h"
#include "ctl/help.h"

#define DEFAULT_TIMEOUT_MS 10000
#define NAME_SIZE          64
#define WHERE_HELP         "only records whose data meets it: JSON, or such as '/price>10'"

/* clang-format off */
const struct option_spec global_options[] = {
	/* name     letter value   choices               help */
	{"socket",  0,   "PATH",   NULL,                 "control socket (default $SYSRT_SOCKET, else /run/sysrt/control.sock)"},
	{"url",     0,   "URL",    NULL,                 "a daemon over the network instead: wss://HOST[:PORT], ws://... (default $SYSRT_URL)"},
	{"token-file", 0, "FILE",  NULL,                 "the token for --url is in this file, which only its owner may read (default $SYSRT_TOKEN_FILE)"},
	{"ca",      0,   "FILE",   NULL,                 "certificates to trust for wss:// (default $SYSRT_CA, else the system's)"},
	{"timeout", 0,   "TIME",   NULL,                 "wait at most so long for an answer, such as 30s (default 10s)"},
	{"output",  'o', "FORMAT", "table json ndjson",  "table, json or ndjson (default table on a terminal, else ndjson)"},
	{"color",   0,   "WHEN",   "auto always never",  "auto, always or never; NO_COLOR is heeded"},
	{"quiet",   'q', NULL,     NULL,                 "print no progress and no hints"},
	{"help",    'h', NULL,     NULL,                 "print help"},
	{"version", 0,   NULL,     NULL,                 "print the version of sysrtctl"},
	{.name = NULL},
};

static const struct option_spec put_options[] = {
	{"name",       0, "TEXT", NULL, "name of the record (default: the id)"},
	{"if-seq",     0, "SEQ",  NULL, "write only if the record is at this seq; 0: only if there is none"},
	{"if-absent",  0, NULL,   NULL, "leave a record that is there as it is"},
	{"ttl",        0, "TIME", NULL, "delete it after so long, such as 1h"},
	{"expires-at", 0, "TIME", NULL, "delete it at this time (RFC 3339, or milliseconds)"},
	{"text",       0, NULL,   NULL, "the data is a bare string, not JSON"},
	{.name = NULL},
};

static const struct option_spec patch_options[] = {
	{"if-seq", 0, "SEQ", NULL, "write only if the record is at this seq"},
	{.name = NULL},
};

static const struct option_spec get_options[] = {
	{"data",   0, NULL,   NULL, "print only the data"},
	{"rev",    0, "N",    NULL, "the version with this rev"},
	{"at-seq", 0, "SEQ",  NULL, "the version that was there at this seq"},
	{"at",     0, "TIME", NULL, "the version that was there at this time (RFC 3339, or milliseconds)"},
	{.name = NULL},
};

static const struct option_spec history_options[] = {
	{"limit",  0, "N",    NULL, "at most so many a page (default 100)"},
	{"cursor", 0, "TEXT", NULL, "go on where a page ended"},
	{"all",    0, NULL,   NULL, "all pages"},
	{.name = NULL},
};

static const struct option_spec del_options[] = {
	{"if-seq",  0, "SEQ",       NULL, "delete only if the record is at this seq"},
	{"where",   0, "CONDITION", NULL, "all records whose data meets it: JSON, or such as '/price>10'"},
	{"yes",     0, NULL,        NULL, "do not ask before deleting by --where"},
	{"dry-run", 0, NULL,        NULL, "tell how many records meet --where, delete nothing"},
	{.name = NULL},
};

static const struct option_spec ls_options[] = {
	{"id",        0, "PATTERN",   NULL,               "ids: exact, or a prefix ending in *"},
	{"where",     0, "CONDITION", NULL,               WHERE_HELP},
	{"name",      0, "TEXT",      NULL,               "only names that hold this text"},
	{"name-like", 0, "PATTERN",   NULL,               "only names that match this LIKE pattern"},
	{"after",     0, "TIME",      NULL,               "only records written after this time"},
	{"before",    0, "TIME",      NULL,               "only records written before this time"},
	{"order",     0, "ORDER",     "newest oldest id", "newest, oldest or id (default newest)"},
	{"limit",     0, "N",         NULL,               "at most so many a page (default 100)"},
	{"offset",    0, "N",         NULL,               "pass over so many"},
	{"cursor",    0, "TEXT",      NULL,               "go on where a page ended"},
	{"all",       0, NULL,        NULL,               "all pages"},
	{.name = NULL},
};

static const struct option_spec search_options[] = {
	{"category", 0, "PATTERN",   NULL,          "categories, parted by commas: exact, or prefixes ending in *"},
	{"after",    0, "TIME",      NULL,          "only records written after this time"},
	{"before",   0, "TIME",      NULL,          "only records written before this time"},
	{"where",    0, "CONDITION", NULL,          WHERE_HELP},
	{"order",    0, "ORDER",     "rank newest", "rank or newest (default rank)"},
	{"snippet",  0, "N",         NULL,          "characters of the piece that is shown (default 160; 0: none)"},
	{"data",     0, NULL,        NULL,          "give the data too"},
	{"limit",    0, "N",         NULL,          "at most so many a page (default 20)"},
	{"cursor",   0, "TEXT",      NULL,          "go on where a page ended"},
	{"all",      0, NULL,        NULL,          "all pages"},
	{.name = NULL},
};

static const struct option_spec count_options[] = {
	{"id",    0, "PATTERN",   NULL, "ids: exact, or a prefix ending in *"},
	{"where", 0, "CONDITION", NULL, WHERE_HELP},
	{.name = NULL},
};

static const struct option_spec watch_options[] = {
	{"since", 0, "POSITION",  NULL, "0: everything first; N, EPOCH:SEQ or EPOCH:SEQ:BASE: what came after (default: from now on)"},
	{"state", 0, "FILE",      NULL, "go on from the position in this file, when it is there, and keep it there"},
	{"id",    0, "PATTERN",   NULL, "ids: exact, or a prefix ending in *"},
	{"where", 0, "CONDITION", NULL, WHERE_HELP},
	{"history", 0, NULL,      NULL, "every version that is kept, not only the newest"},
	{"topic", 0, NULL,        NULL, "the words are topics, not categories"},
	{.name = NULL},
};

static const struct option_spec changes_options[] = {
	{"since", 0, "POSITION",  NULL, "0, N, EPOCH:SEQ or EPOCH:SEQ:BASE (default 0)"},
	{"id",    0, "PATTERN",   NULL, "ids: exact, or a prefix ending in *"},
	{"where", 0, "CONDITION", NULL, WHERE_HELP},
	{"limit", 0, "N",         NULL, "at most so many (default 100)"},
	{.name = NULL},
};

static const struct option_spec import_options[] = {
	{"format",    0, "FORMAT", "ndjson json csv tsv", "ndjson, json (an array), csv or tsv (default: by the name, else by the first byte)"},
	{"id",        0, "MEMBER", NULL,                  "column or member that is the id"},
	{"name",      0, "MEMBER", NULL,                  "column or member that is the name"},
	{"map",       0, "MAPPING", NULL,                 "FIELD=POINTER: where in an item a field of the record is, such as id=/key; can be given several times"},
	{"numbers",   0, NULL,     NULL,                  "fields of a table that are numbers become numbers, unless they are in quotes"},
	{"preset",    0, "NAME",   "journald log",        "items are entries of journalctl -o json, or {timestamp, level, message, fields}"},
	{"category",  0, "NAME",   NULL,                  "category of items that name none (default general; journal and log with --preset)"},
	{"if-absent", 0, NULL,     NULL,                  "never overwrite a record that is there"},
	{"on-error",  0, "WHAT",   "stop skip",           "stop or skip at a bad item (default stop)"},
	{"dry-run",   0, NULL,     NULL,                  "print the records, write nothing"},
	{"restore",   0, NULL,     NULL,                  "put an export into an empty store, with the seq, rev and times that it has"},
	{"resume",    0, NULL,     NULL,                  "go on where an import of this file broke off, by what FILE.resume says, and keep that there"},
	{"state",     0, "FILE",   NULL,                  "the same, with another name than FILE.resume"},
	{.name = NULL},
};

static const struct option_spec export_options[] = {
	{"format",  0, "FORMAT",  "ndjson csv", "ndjson or csv (default ndjson)"},
	{"columns", 0, "COLUMNS", NULL,         "columns of csv: members of a record, and pointers into its data, such as id,name,/price"},
	{"file",    0, "FILE",    NULL,         "write to a file, which gets its name when it is whole (default: standard output)"},
	{.name = NULL},
};

static const struct option_spec publish_options[] = {
	{"text", 0, NULL, NULL, "the message is a bare string, not JSON"},
	{.name = NULL},
};

static const struct option_spec token_options[] = {
	{"scope",   0, "SCOPE", NULL, "what it may do, such as read:ticker,sensor.*; can be given several times"},
	{"expires", 0, "TIME",  NULL, "good for so long, such as 90d, or until a time (default: for ever)"},
	{"rate",    0, "RATE",  NULL, "what all its sessions together may use, such as 50/s (default: what everybody may)"},
	{.name = NULL},
};

static const struct option_spec secret_set_options[] = {
	{"file", 0, "FILE", NULL, "the value is what is in this file (default: asked for on a terminal, else standard input without a newline at its end)"},
	{.name = NULL},
};

static const struct option_spec secret_import_options[] = {
	{"format", 0, "FORMAT", "aes256gcm-pbkdf2", "how it is sealed: aes256gcm-pbkdf2"},
	{"salt",   0, "TEXT",   NULL,               "the salt of its passphrase, in base64"},
	{"rounds", 0, "N",      NULL,               "rounds of PBKDF2 (default 600000)"},
	{.name = NULL},
};

static const struct option_spec secret_export_options[] = {
	{"format", 0, "FORMAT", "aes256gcm-pbkdf2", "how it is to be sealed: aes256gcm-pbkdf2"},
	{"salt",   0, "TEXT",   NULL,               "the salt of its passphrase, in base64 (default: random)"},
	{"rounds", 0, "N",      NULL,               "rounds of PBKDF2 (default 600000)"},
	{.name = NULL},
};

static const struct option_spec vault_unlock_options[] = {
	{"key-file", 0, "FILE", NULL, "with the key in this file, which the daemon need not be able to read"},
	{.name = NULL},
};

static const struct option_spec vault_rekey_options[] = {
	{"passphrase", 0, NULL, NULL, "a new passphrase, which is asked for (default: the key that is in the daemon's key file now)"},
	{.name = NULL},
};

#define DEFINITION_OPTIONS                                                                                                             \
	{"upstream", 0, "URL", NULL, "where it connects to: ws://HOST:PORT/PATH or wss://..."},                                               \
	{"set", 0, "SETTING",   NULL, "KEY=VALUE: an option of [feed.NAME], such as category=ticker or 'id={/id}'; can be given several times"}

static const struct option_spec feed_add_options[] = {
	DEFINITION_OPTIONS,
	{"replace", 0, NULL, NULL, "in the place of the one that has this name"},
	{.name = NULL},
};

static const struct option_spec feed_test_options[] = {
	DEFINITION_OPTIONS,
	{"messages", 0, "N",    NULL, "how many messages to wait for (default 5)"},
	{"wait",     0, "TIME", NULL, "at most so long, such as 30s (default 10s)"},
	{.name = NULL},
};

static const struct option_spec feed_replay_options[] = {
	{"feed",  0, "NAME",  NULL, "through the mapping of this feed (default: the file's name without .ndjson)"},
	{"speed", 0, "SPEED", NULL, "as it came, 1x, or faster or slower, such as 4x (default max: as fast as it goes)"},
	{"into",  0, "FILE",  NULL, "into a store of its own, a new file"},
	{.name = NULL},
};

static const struct option_spec feed_logs_options[] = {
	{"limit", 0, "N", NULL, "at most so many (default 100)"},
	{.name = NULL},
};

static const struct option_spec backup_options[] = {
	{"verify", 0, NULL, NULL, "check all of the backup"},
	{.name = NULL},
};

static const struct option_spec restore_options[] = {
	{"store",       0, "FILE", NULL, "the store (default: the configured one)"},
	{"config",      0, "FILE", NULL, "the configuration of the daemon"},
	{"drop-tokens", 0, NULL,   NULL, "leave the tokens of the backup out: they are as they were then"},
	{.name = NULL},
};

static const struct option_spec compact_options[] = {
	{"store",  0, "FILE", NULL, "a store that no daemon holds"},
	{"config", 0, "FILE", NULL, "the configuration of the daemon, where none runs"},
	{.name = NULL},
};

static const struct option_spec check_options[] = {
	{"store",  0, "FILE", NULL, "a store that no daemon holds, or a copy of one"},
	{"config", 0, "FILE", NULL, "the configuration of the daemon, with --repair"},
	{"repair", 0, NULL,   NULL, "rebuild or salvage what is damaged; the daemon must be stopped"},
	{.name = NULL},
};

static const struct option_spec migrate_options[] = {
	{"store",  0, "FILE",    NULL, "the store (default: the configured one)"},
	{"config", 0, "FILE",    NULL, "the configuration of the daemon"},
	{"to",     0, "VERSION", NULL, "version of the schema (default: the newest)"},
	{.name = NULL},
};

static const struct option_spec limits_test_options[] = {
	{"token",  0, "NAME",   NULL, "the token that they are sent with"},
	{"rate",   0, "RATE",   NULL, "the same as the argument"},
	{"method", 0, "METHOD", NULL, "what is called (default record.put)"},
	{"for",    0, "TIME",   NULL, "for so long (default 60s)"},
	{.name = NULL},
};

const struct command commands[] = {
	/* name            words                               min max        function            options          help */
	{"status",        "",                                  0, 0,         status_run,         NULL,            "Show how the daemon is", false},
	{"ping",          "",                                  0, 0,         system_ping,        NULL,            "Ask for a sign of life", false},
	{"put",           "CATEGORY ID [JSON | @FILE | -]",    2, 3,         record_put,         put_options,     "Write a record, its data from the argument, a file or standard input", false},
	{"patch",         "CATEGORY ID [JSON | @FILE | -]",    2, 3,         record_patch,       patch_options,   "Change parts of a record's data by a JSON Merge Patch", false},
	{"get",           "CATEGORY ID",                       2, 2,         record_get,         get_options,     "Print a record", false},
	{"history",       "CATEGORY ID",                       2, 2,         history_list,       history_options, "List the versions of a record that are kept, the newest first", false},
	{"diff",          "CATEGORY ID REV [REV]",             3, 4,         history_diff,       NULL,            "Show what differs between two versions of a record (default: and the newest)", false},
	{"del",           "CATEGORY [ID...]",                  1, WORDS_ANY, delete_run,         del_options,     "Delete records, by their ids or by a condition", false},
	{"ls",            "[CATEGORY...]",                     0, WORDS_ANY, record_ls,          ls_options,      "List records", false},
	{"search",        "QUERY...",                          1, WORDS_ANY, search_run,         search_options,  "Find records by words, the best first", false},
	{"count",         "[CATEGORY...]",                     0, WORDS_ANY, record_count,       count_options,   "Count records", false},
	{"category list", "[CATEGORY...]",                     0, WORDS_ANY, record_categories,  NULL,            "List categories and how many records each has", false},
	{"watch",         "[CATEGORY...] [-- PROGRAM ARG...]", 0, WORDS_ANY, watch_run,          watch_options,   "Follow changes as JSON lines, or run a program on each", true},
	{"changes",       "[CATEGORY...]",                     0, WORDS_ANY, record_changes,     changes_options, "Print a page of changes after a position", false},
	{"import",        "FILE | -",                          1, 1,         import_run,         import_options,  "Write records from JSON lines, an array, a table or a log", false},
	{"export",        "[CATEGORY...]",                     0, WORDS_ANY, export_run,         export_options,  "Print all records as JSON lines or CSV", false},
	{"publish",       "TOPIC [JSON | @FILE | -]",          1, 2,         system_publish,     publish_options, "Send a message to all who listen to a topic", false},
	{"call",          "METHOD [JSON | @FILE | -]",         1, 2,         system_call,        NULL,            "Call any method of the daemon with these params", false},
	{"methods",       "",                                  0, 0,         system_methods,     NULL,            "List the methods of the daemon", false},
	{"feed ls",       "",                                  0, 0,         feed_ls,            NULL,            "List the feeds and how they are", false},
	{"feed show",     "NAME",                              1, 1,         feed_show,          NULL,            "Show a feed: how it is, its handshake, its definition", false},
	{"feed add",      "NAME [JSON | @FILE | -]",           1, 2,         feed_add,           feed_add_options, "Add a feed, which the store keeps", false},
	{"feed rm",       "NAME",                              1, 1,         feed_rm,            NULL,            "Remove a feed that was added", false},
	{"feed start",    "NAME",                              1, 1,         feed_start,         NULL,            "Start a feed, or let one that waits try again now", false},
	{"feed stop",     "NAME",                              1, 1,         feed_stop,          NULL,            "Stop a feed", false},
	{"feed test",     "NAME [JSON | @FILE | -]",           1, 2,         feed_test,          feed_test_options, "Connect once, and show what the first messages would be; nothing is stored", false},
	{"feed replay",   "FILE | -",                          1, 1,         feed_replay,        feed_replay_options, "Write what recorded messages are by the mapping of a feed", false},
	{"feed logs",     "NAME",                              1, 1,         feed_logs,          feed_logs_options, "Show what happened to a feed", false},
	{"limits list",   "",                                  0, 0,         limits_list,        NULL,            "List the addresses that are nearest to their limits", false},
	{"limits test",   "[RATE]",                            0, 1,         limits_test,        limits_test_options, "Tell what would become of requests at a rate such as 50/s", false},
	{"session list",  "",                                  0, 0,         session_ls,         NULL,            "List the connected clients", false},
	{"session show",  "NUMBER",                            1, 1,         session_show,       NULL,            "Show what a session was refused or held back for, and what it may use", false},
	{"session close", "NUMBER",                            1, 1,         session_close,      NULL,            "Close a session", false},
	{"token create",  "NAME",                              1, 1,         token_create,       token_options,   "Make a token for clients of the network, which is told only now", false},
	{"token list",    "",                                  0, 0,         token_ls,           NULL,            "List the tokens", false},
	{"token revoke",  "NAME",                              1, 1,         token_revoke,       NULL,            "Make a token void, and close the sessions that use it", false},
	{"secret set",    "NAME",                              1, 1,         secret_set,         secret_set_options, "Set the value of a secret, from standard input or a file", false},
	{"secret list",   "",                                  0, 0,         secret_ls,          NULL,            "List the secrets, without their values", false},
	{"secret show",   "NAME",                              1, 1,         secret_show,        NULL,            "Print the value of a secret, where vault.allow_read allows it", false},
	{"secret remove", "NAME",                              1, 1,         secret_remove,      NULL,            "Remove a secret", false},
	{"secret rotate", "[NAME]",                            0, 1,         secret_rotate,      NULL,            "Seal a secret, or all of them, with new keys", false},
	{"secret test",   "[NAME]",                            0, 1,         secret_test,        NULL,            "Read a secret, or all of them, anew, and tell whether they open", false},
	{"secret import", "NAME FILE",                         2, 2,         secret_import,      secret_import_options, "Set a secret to what another program has sealed by a passphrase", false},
	{"secret export", "NAME",                              1, 1,         secret_export,      secret_export_options, "Print a secret sealed by a passphrase, for other programs", false},
	{"vault unlock",  "",                                  0, 0,         vault_unlock,       vault_unlock_options, "Open the vault, or make it with a passphrase", false},
	{"vault lock",    "",                                  0, 0,         vault_lock,         NULL,            "Let the daemon forget the key of the vault", false},
	{"vault rekey",   "",                                  0, 0,         vault_rekey,        vault_rekey_options, "Give the vault another key", false},
	{"vault status",  "",                                  0, 0,         vault_status,       NULL,            "Tell how the vault is", false},
	{"config",        "",                                  0, 0,         system_config,      NULL,            "Show the configuration in force", false},
	{"reload",        "",                                  0, 0,         system_reload,      NULL,            "Let the daemon read its configuration again", false},
	{"log-level",     "[FILTER]",                          0, 1,         system_log_level,   NULL,            "Show or set what the daemon logs, such as info,store=debug", false},
	{"backup",        "[FILE]",                            0, 1,         backup_run,         backup_options,  "Make a copy of the store while it is in use", false},
	{"check",         "",                                  0, 0,         check_run,          check_options,   "Check whether the store is whole", false},
	{"compact",       "",                                  0, 0,         compact_run,        compact_options, "Give back what is free in the store", false},
	{"restore",       "FILE",                              1, 1,         system_restore,     restore_options, "Put a backup in the place of a store that no daemon holds", false},
	{"migrate",       "",                                  0, 0,         system_migrate,     migrate_options, "Bring a store that no daemon holds to a version of the schema", false},
	{"shutdown",      "",                                  0, 0,         system_shutdown,    NULL,            "Stop the daemon, and wait for its end", false},
	{"version",       "",                                  0, 0,         system_version,     NULL,            "Print the versions of sysrtctl and of the daemon", false},
	{"completion",    "bash | zsh | fish",                 1, 1,         completion_print,   NULL,            "Print a completion script for a shell", false},
	{"help",          "[COMMAND]",                         0, 2,         help_run,           NULL,            "Print help", false},
};
/* clang-format on */
const size_t commands_n = sizeof(commands) / sizeof(commands[0]);

/** What has been read so far. */
struct reading {
	struct ctl *c;
	char **argv;
	int argc;
	int at;
	bool wants_help;
	bool wants_version;
};

const struct command *
grammar_find(const char *const *words, unsigned n, unsigned *used)
{
	char two[NAME_SIZE];

	for (size_t i = 0; i < commands_n; i++) {
		*used = strchr(commands[i].name, ' ') != NULL ? 2 : 1;
		if (n < *used)
			continue;
		snprintf(two, sizeof(two), "%s%s%s", words[0], *used == 2 ? " " : "",
			*used == 2 ? words[1] : "");
		if (strcmp(two, commands[i].name) == 0)
			return &commands[i];
	}
	return NULL;
}

bool
grammar_is_group(const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i < commands_n; i++)
		if (strncmp(commands[i].name, word, n) == 0 && commands[i].name[n] == ' ')
			return true;
	return false;
}

static const struct option_spec *
find_option(const struct option_spec *options, struct span name, char letter)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++)
		if (letter != 0 ? o->letter == letter : span_is(name, o->name))
			return o;
	return NULL;
}

static bool
is_choice(const char *choices, const char *value)
{
	size_t n = strlen(value);

	for (const char *p = choices; *p != '\0'; p += strspn(p, " ")) {
		size_t choice_n = strcspn(p, " ");

		if (choice_n == n && memcmp(p, value, n) == 0)
			return true;
		p += choice_n;
	}
	return false;
}

static int
set_timeout(struct ctl *c, const char *value)
{
	int64_t ms;

	if (!duration_parse(span_of(value), &ms) || ms <= 0 || ms > INT32_MAX)
		return ctl_usage("--timeout is a time such as 30s, not \"%s\"", value);
	c->timeout_ms = (int)ms;
	return -1;
}

static void
set_format(struct ctl *c, const char *value)
{
	c->format = strcmp(value, "table") == 0  ? FORMAT_TABLE
		    : strcmp(value, "json") == 0 ? FORMAT_JSON
						 : FORMAT_NDJSON;
}

static int
set_global(struct reading *r, const struct option_spec *o, const char *value)
{
	struct ctl *c = r->c;

	if (strcmp(o->name, "socket") == 0)
		c->socket = value;
	else if (strcmp(o->name, "url") == 0)
		c->url = value;
	else if (strcmp(o->name, "token-file") == 0)
		c->token_file = value;
	else if (strcmp(o->name, "ca") == 0)
		c->ca = value;
	else if (strcmp(o->name, "timeout") == 0)
		return set_timeout(c, value);
	else if (strcmp(o->name, "output") == 0)
		set_format(c, value);
	else if (strcmp(o->name, "color") == 0)
		c->has_color =
			strcmp(value, "auto") == 0 ? c->has_color : strcmp(value, "always") == 0;
	else if (strcmp(o->name, "quiet") == 0)
		c->is_quiet = true;
	else if (strcmp(o->name, "version") == 0)
		r->wants_version = true;
	else
		r->wants_help = true;
	return -1;
}

static int
unknown_option(const struct reading *r, const char *word)
{
	const struct command *command = r->c->command;

	return ctl_usage("unknown option %s: see sysrtctl %s%s--help", word,
		command != NULL ? command->name : "", command != NULL ? " " : "");
}

/** Takes "--name", "--name=value", "--name value", "-n", "-nvalue" or "-n value". */
static int
take_option(struct reading *r, const char *word)
{
	const struct option_spec *own = r->c->command != NULL ? r->c->command->options : NULL;
	char letter = word[1] != '-' ? word[1] : '\0';
	const char *name = word + 2, *equals = letter == 0 ? strchr(name, '=') : NULL;
	size_t n = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct option_spec *o = find_option(own, (struct span){name, n}, letter);
	bool is_own = o != NULL;
	const char *value = equals != NULL ? equals + 1 : NULL;

	if (o == NULL)
		o = find_option(global_options, (struct span){name, n}, letter);
	if (letter != 0 && word[2] != '\0')
		value = word + 2;
	if (o == NULL || (letter != 0 && value != NULL && o->value == NULL))
		return unknown_option(r, word);
	if (o->value == NULL && value != NULL)
		return ctl_usage("--%s takes no value", o->name);
	if (o->value != NULL && value == NULL) {
		if (r->at == r->argc)
			return ctl_usage("--%s needs a value: %s", o->name, o->value);
		value = r->argv[r->at++];
	}
	if (value == NULL)
		value = "";
	if (o->choices != NULL && !is_choice(o->choices, value))
		return ctl_usage("--%s is one of %s, not \"%s\"", o->name, o->choices, value);
	if (!is_own)
		return set_global(r, o, value);
	r->c->values[o - own] = value;
	r->c->given[r->c->given_n++] = (struct given){o->name, value};
	return -1;
}

static int
unknown_command(const struct ctl *c)
{
	if (c->words_n == 1)
		return ctl_usage("there is no command \"%s\": see sysrtctl --help", c->words[0]);
	return ctl_usage("there is no command \"%s %s\": see sysrtctl %s --help", c->words[0],
		c->words[1], c->words[0]);
}

/** As soon as the words name a command, its options can be read. */
static int
take_word(struct reading *r, const char *word)
{
	struct ctl *c = r->c;
	unsigned used;

	c->words[c->words_n++] = word;
	if (c->command != NULL)
		return -1;
	c->command = grammar_find(c->words, c->words_n, &used);
	if (c->command != NULL)
		c->words_n = 0;
	else if (c->words_n > 1 || !grammar_is_group(word))
		return unknown_command(c);
	return -1;
}

/** "-" alone is standard input, "-5" is a number. */
static bool
is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0' && !(word[1] >= '0' && word[1] <= '9');
}

static int
take_all(struct reading *r)
{
	int status = -1;

	while (status < 0 && r->at < r->argc) {
		char *word = r->argv[r->at++];

		if (strcmp(word, "--") == 0 && r->c->command != NULL &&
			r->c->command->runs_program) {
			if (r->at == r->argc)
				return ctl_usage("behind -- stands a program to run");
			r->c->program = r->argv + r->at;
			return -1;
		}
		if (strcmp(word, "--") == 0) {
			while (status < 0 && r->at < r->argc)
				status = take_word(r, r->argv[r->at++]);
		} else {
			status = is_option(word) ? take_option(r, word) : take_word(r, word);
		}
	}
	return status;
}

static bool
is_utf8(const char *text)
{
	const char *end = text + strlen(text);
	size_t n = 1;

	for (; text < end && n > 0; text += n)
		n = utf8_next(text, end);
	return n > 0;
}

/** Whether its words are names of files. */
static bool
takes_file(const struct command *command)
{
	return command->run == import_run || command->run == backup_run ||
	       command->run == system_restore || command->run == secret_import ||
	       command->run == feed_replay;
}

/** Whether a word is "@FILE", where its data stands. */
static bool
is_file_of_data(const struct ctl *c, unsigned i)
{
	return c->words[i][0] == '@' && i >= c->command->words_min &&
	       strstr(c->command->usage, "@FILE") != NULL;
}

/** What the command line says becomes JSON, but for the names of files. */
static int
check_texts(const struct ctl *c)
{
	const struct option_spec *o = c->command->options;

	for (unsigned i = 0; i < c->words_n && !takes_file(c->command); i++)
		if (!is_file_of_data(c, i) && !is_utf8(c->words[i]))
			return ctl_usage("\"%s\" is not UTF-8", c->words[i]);
	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (c->values[i] != NULL &&
			strcmp(o[i].value != NULL ? o[i].value : "", "FILE") != 0 &&
			!is_utf8(c->values[i]))
			return ctl_usage("--%s: \"%s\" is not UTF-8", o[i].name, c->values[i]);
	return -1;
}

static void
set_defaults(struct ctl *c)
{
	const char *no_color = getenv("NO_COLOR");

	c->timeout_ms = DEFAULT_TIMEOUT_MS;
	c->is_terminal = isatty(STDOUT_FILENO) == 1;
	c->format = c->is_terminal ? FORMAT_TABLE : FORMAT_NDJSON;
	c->has_color = c->is_terminal && (no_color == NULL || no_color[0] == '\0');
}

static int
print_help(const struct ctl *c)
{
	if (c->command != NULL)
		help_print_command(c->command);
	else if (c->words_n > 0)
		help_print_group(c->words[0]);
	else
		help_print_all();
	return EXIT_DONE;
}

int
grammar_read(struct ctl *c, int argc, char **argv)
{
	struct reading r = {.c = c, .argv = argv, .argc = argc, .at = 1};
	int status;

	set_defaults(c);
	c->words = xnew_n((size_t)argc + 1, const char *);
	c->given = xnew_n((size_t)argc + 1, struct given);
	status = take_all(&r);
	if (status >= 0)
		return status;
	if (r.wants_help)
		return print_help(c);
	if (r.wants_version) {
		puts("sysrtctl " SYSRT_VERSION);
		return EXIT_DONE;
	}
	if (c->command == NULL && c->words_n > 0)
		return ctl_usage("%s: of what? See sysrtctl %s --help", c->words[0], c->words[0]);
	if (c->command == NULL)
		return ctl_usage("which command? See sysrtctl --help");
	if (c->url != NULL && c->socket != NULL)
		return ctl_usage("--url and --socket do not go together");
	if (c->words_n < c->command->words_min || c->words_n > c->command->words_max)
		return ctl_usage(
			"usage: sysrtctl %s [options] %s", c->command->name, c->command->usage);
	return check_texts(c);
}

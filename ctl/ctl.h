#pragma once
/*
 * What every command of sysrtctl sees: the parsed command line, the connection,
 * the way to fail. A command is a row of the table in grammar.c; its function
 * returns an exit status.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/client/sysrt.h"
#include "common/json.h"

/* Exit statuses beside those of the table in common/err.c. */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_NOT_RUNNING = 3,
	EXIT_NOT_FOUND = 4,
	EXIT_TIMEOUT = 5,
	EXIT_DENIED = 6,
	EXIT_SIGNALLED = 128, /* and the signal's number */
};

#define WORDS_ANY   UINT_MAX
#define OPTIONS_MAX 16
#define COLUMNS_MAX 8

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_NDJSON };

/** An option of a command, or a global one. */
struct option_spec {
	const char *name;    /* without "--"; NULL ends the list */
	char letter;         /* 0: none */
	const char *value;   /* what help calls its value; NULL: it takes none */
	const char *choices; /* what the value may be, parted by spaces; NULL: anything */
	const char *help;
};

struct ctl;

/** A row of the table of commands. */
struct command {
	const char *name;  /* "put", "session list" */
	const char *usage; /* its words, as help shows them */
	unsigned words_min;
	unsigned words_max;
	int (*run)(struct ctl *c); /* the exit status */
	const struct option_spec *options;
	const char *help;
	bool runs_program; /* what stands behind "--" is a program and its arguments */
};

/** An option as it was given. */
struct given {
	const char *name; /* that of its spec */
	const char *value;
};

struct ctl {
	const struct command *command;
	const char **words; /* owned; the texts are those of the command line */
	unsigned words_n;
	const char *values[OPTIONS_MAX]; /* of command->options, NULL: not given */
	struct given *given;             /* owned; those of command->options, in their order */
	unsigned given_n;
	char **program;     /* what stands behind "--", NULL-terminated; NULL: nothing */
	const char *socket; /* this and the next three: NULL when not given */
	const char *url;
	const char *token_file;
	const char *ca;
	int timeout_ms;
	enum format format;
	bool is_terminal; /* standard output */
	bool is_quiet;
	bool has_color;
	bool has_warned;            /* that a token goes unencrypted */
	bool has_heading;           /* a table was begun */
	size_t widths[COLUMNS_MAX]; /* of its columns, as far as is known */
	struct sysrt *sysrt;        /* once connected */
};

extern const struct command commands[];
extern const size_t commands_n;
extern const struct option_spec global_options[];

/** The value of one of the command's options ("" for one that takes none), or NULL. */
const char *ctl_option(const struct ctl *c, const char *name);
/** The values of an option that can be given several times, one after the other: *at is 0 at first.
 * NULL: no more. */
const char *ctl_option_next(const struct ctl *c, const char *name, unsigned *at);
/** Prints "sysrtctl: ..." to standard error; returns EXIT_USAGE, or EXIT_REFUSED. */
int ctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int ctl_refuse(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** Prints "sysrtctl: ..." to standard error: nothing failed, but somebody has to know. */
void ctl_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** Prints a line to standard error, unless --quiet. */
void ctl_hint(const struct ctl *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Prints an error in one line; returns its exit status. */
int ctl_fail(const struct sysrt_error *error);
/** Connects when it is not yet: 0, or an exit status after telling why not. */
int ctl_connect(struct ctl *c);
void ctl_disconnect(struct ctl *c);

/** Params of a call: an open JSON object. */
struct json_out ctl_params(struct buf *params);
/** Calls with these params, which are freed: 0 and *result, which the caller frees, or an exit
 * status after telling why not. */
int ctl_call(struct ctl *c, const char *method, struct buf *params, char **result);
/** As ctl_call(), then prints the result as an object. */
int ctl_call_and_print(struct ctl *c, const char *method, struct buf *params);

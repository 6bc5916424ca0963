/* The command line of sysrtctl: see grammar.h. */

#include "ctl/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/time.h"
#include "ctl/commands.h"

#define DEFAULT_TIMEOUT_MS 10000

const struct option_spec global_options[] = {
	{"socket",						 0, "PATH", "control socket (default $SYSRT_SOCKET, /run/sysrt/control.sock)"},
	{"timeout",						  0, "TIME", "wait so long for an answer, such as 30s (default 10s)"},
	{"output",							'o', "FORMAT",
         "table, json or ndjson (default: table on a terminal, else ndjson)"},
	{"color",      0, "WHEN", "auto, always or never; NO_COLOR is heeded"},
	{"quiet", 'q', NULL, "print no progress and no hints"},
	{"help",						 'h', NULL, "print help"},
	{.name = NULL					       },
};

static const struct option_spec put_options[] = {
	{"name",							       0, "TEXT", "name of the record (default: the id)"},
	{"if-seq",							      0, "SEQ", "write only if the record is at this seq; 0: only if there is none"},
	{"ttl",								    0, "TIME", "delete it after so long, such as 1h"},
	{"expires-at",      0, "TIME", "delete it at this time (RFC 3339 or milliseconds)"},
	{"if-absent", 0, NULL, "leave a record that is there as it is"},
	{"text",								0, NULL, "the data is a bare string, not JSON"},
	{.name = NULL							     },
};

static const struct option_spec get_options[] = {
	{"data", 0, NULL, "print only the data"},
	{.name = NULL },
};

static const struct option_spec del_options[] = {
	{"if-seq", 0, "SEQ", "delete only if the record is at this seq"},
	{.name = NULL  },
};

static const struct option_spec ls_options[] = {
	{"id",				    0, "PATTERN", "ids: exact, or a prefix ending in *"},
	{"name",			      0, "TEXT", "only names that hold this text"},
	{"name-like",				       0, "PATTERN", "only names that match this LIKE pattern"},
	{"after",         0, "TIME", "only records written after this time"},
	{"before",       0, "TIME", "only records written before this time"},
	{"order",			     0, "ORDER", "newest, oldest or id (default newest)"},
	{"limit",			      0, "N", "at most so many (default 100)"},
	{"offset",				       0, "N", "pass over so many"},
	{"cursor",			      0, "TEXT", "go on where a page ended"},
	{"all", 0, NULL, "all pages"},
	{.name = NULL			       },
};

static const struct option_spec count_options[] = {
	{"id",       0, "PATTERN", "ids: exact, or a prefix ending in *"},
	{.name = NULL},
};

static const struct option_spec watch_options[] = {
	{"since",				0, "POSITION", "0: everything first; N; EPOCH:SEQ[:BASE] (default: from now on)"},
	{"id",			    0, "PATTERN", "ids: exact, or a prefix ending in *"},
	{"state",				      0, "FILE", "go on from the position in this file, and keep it there"},
	{"topic",          0, NULL, "the words are topics, not categories"},
	{.name = NULL},
};

static const struct option_spec changes_options[] = {
	{"since",     0, "POSITION", "0, N, or EPOCH:SEQ[:BASE]"},
	{"limit", 0, "N", "at most so many (default 100)"},
	{.name = NULL          },
};

static const struct option_spec import_options[] = {
	{"category", 0, "NAME", "category of lines that name none (default general)"},
	{"if-absent",    0, NULL, "never overwrite a record that is there"},
	{"on-error",          0, "WHAT", "stop or skip, at a bad line (default stop)"},
	{.name = NULL     },
};

static const struct option_spec migrate_options[] = {
	{"store", 0, "FILE", "the store (default: the configured one)"},
	{"config", 0, "FILE", "the daemon's configuration"},
	{"to",       0, "VERSION", "this version of the schema (default: the newest)"},
	{.name = NULL     },
};

const struct command commands[] = {
	{"status",        "",				       0, 0,         system_status,      NULL,            "Show how the daemon is"         },
	{"ping",          "",				       0, 0,         system_ping,        NULL,            "Ask for a sign of life"         },
	{"put",           "CATEGORY ID [JSON | @FILE | -]",         2, 3,         record_put,         put_options,
         "Write a record; the data from the argument, a file or standard input"                                                                         },
	{"get",           "CATEGORY ID",                            2, 2,         record_get,         get_options,     "Print a record"                 },
	{"del",           "CATEGORY ID...",                         2, WORDS_MAX, record_del,         del_options,     "Delete records"                 },
	{"ls",            "[CATEGORY...]",                          0, WORDS_MAX, record_ls,          ls_options,      "List records"                   },
	{"count",         "[CATEGORY...]",                          0, WORDS_MAX, record_count,       count_options,   "Count records"                  },
	{"categories",    "[PATTERN...]",                           0, WORDS_MAX, category_ls,        NULL,
         "List categories with their numbers of records"												},
	{"watch",         "[CATEGORY...] [-- PROGRAM ARGUMENT...]", 0, WORDS_MAX, watch_run,          watch_options,
         "Follow changes as JSON lines, or run a program for each"										      },
	{"changes",       "[CATEGORY...]",                          0, WORDS_MAX, watch_changes,      changes_options,
         "Print a page of changes behind a position"												    },
	{"import",        "FILE | -",			       1, 1,         import_run,         import_options,  "Write records from JSON lines"  },
	{"publish",       "TOPIC [JSON | @FILE | -]",               1, 2,         system_publish,     NULL,
         "Tell a message to all who listen to a topic"												  },
	{"call",          "METHOD [PARAMS]",                        1, 2,         system_call,        NULL,            "Call any method"                },
	{"methods",       "",				       0, 0,         system_methods,     NULL,            "List the daemon's methods"      },
	{"session list",  "",				       0, 0,         session_ls,         NULL,            "List the sessions"              },
	{"session close", "NUMBER",                                 1, 1,         session_close,      NULL,            "Close a session"                },
	{"config",        "",				       0, 0,         system_config,      NULL,            "Show the configuration in force"},
	{"reload",        "",				       0, 0,         system_reload,      NULL,            "Read the configuration again"   },
	{"log-level",     "[FILTER]",                               0, 1,         system_log_level,   NULL,
         "Show or set the filter of the daemon's log"												   },
	{"migrate",       "",				       0, 0,         system_migrate,     migrate_options,
         "Bring a store that no daemon holds to a version of the schema"										},
	{"shutdown",      "",				       0, 0,         system_shutdown,    NULL,            "Stop the daemon"                },
	{"completion",    "bash | zsh | fish",                      1, 1,         grammar_completion, NULL,
         "Print a completion script for a shell"													},
	{"version",       "",				       0, 0,         system_version,     NULL,            "Print the versions"             },
};
const size_t commands_n = sizeof(commands) / sizeof(commands[0]);

static void
print_options(const struct option_spec *options)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter != 0 ? "-" : "",
			o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "   ", o->name,
			o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
		printf("  %-26s %s\n", left, o->help);
	}
}

static void
print_help(void)
{
	printf("usage: sysrtctl [options] COMMAND ...\n\n"
	       "Runs a command on the sysrtd of this machine.\n\n");
	for (size_t i = 0; i < commands_n; i++)
		printf("  %-16s %s\n", commands[i].name, commands[i].help);
	printf("\nOptions of every command:\n");
	print_options(global_options);
	printf("\n`sysrtctl COMMAND --help` tells more about a command. Exit status: 0 done, 1\n"
	       "refused or failed, 2 usage, 3 daemon not running, 4 not found, 5 timed out, 6\n"
	       "denied, 7 conflict, 8 try again later, 130 interrupted. See sysrtctl(1).\n");
}

static void
print_command_help(const struct command *command)
{
	printf("usage: sysrtctl %s [options] %s\n\n%s.\n", command->name, command->usage,
		command->help);
	if (command->options != NULL) {
		printf("\nOptions:\n");
		print_options(command->options);
	}
	printf("\nOptions of every command:\n");
	print_options(global_options);
}

/** What has been read so far. */
struct reading {
	struct ctl *c;
	char **argv;
	int argc;
	int at;
	bool wants_help;
};

/** Finds the command whose name the first words are; they are taken away. */
static int
find_command(struct ctl *c)
{
	for (size_t i = 0; i < commands_n; i++) {
		char name[64];
		unsigned n = strchr(commands[i].name, ' ') != NULL ? 2 : 1;

		if (c->words_n < n)
			continue;
		snprintf(name, sizeof(name), "%s%s%s", c->words[0], n == 2 ? " " : "",
			n == 2 ? c->words[1] : "");
		if (strcmp(name, commands[i].name) != 0)
			continue;
		c->command = &commands[i];
		c->words_n -= n;
		memmove(c->words, c->words + n, c->words_n * sizeof(c->words[0]));
		return -1;
	}
	return ctl_usage("there is no command \"%s\": see sysrtctl --help", c->words[0]);
}

static const struct option_spec *
find_option(const struct option_spec *options, const char *name, size_t n, char letter)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++)
		if ((letter != 0 && o->letter == letter) ||
			(letter == 0 && strlen(o->name) == n && memcmp(o->name, name, n) == 0))
			return o;
	return NULL;
}

static int
set_format(struct ctl *c, const char *value)
{
	static const char *const names[] = {"table", "json", "ndjson"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			c->format = (enum format)i;
			return -1;
		}
	}
	return ctl_usage("--output is table, json or ndjson, not \"%s\"", value);
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

static int
set_color(struct ctl *c, const char *value)
{
	if (strcmp(value, "always") == 0)
		c->has_color = true;
	else if (strcmp(value, "never") == 0)
		c->has_color = false;
	else if (strcmp(value, "auto") != 0)
		return ctl_usage("--color is auto, always or never, not \"%s\"", value);
	return -1;
}

static int
set_global(struct reading *r, const struct option_spec *o, const char *value)
{
	struct ctl *c = r->c;

	if (strcmp(o->name, "socket") == 0)
		c->socket = value;
	else if (strcmp(o->name, "timeout") == 0)
		return set_timeout(c, value);
	else if (strcmp(o->name, "output") == 0)
		return set_format(c, value);
	else if (strcmp(o->name, "color") == 0)
		return set_color(c, value);
	else if (strcmp(o->name, "quiet") == 0)
		c->is_quiet = true;
	else
		r->wants_help = true;
	return -1;
}

/** Takes "--name", "--name=value", "--name value", "-n" or "-n value". */
static int
take_option(struct reading *r, const char *word)
{
	const struct option_spec *own = r->c->command != NULL ? r->c->command->options : NULL;
	char letter = word[1] != '-' ? word[1] : '\0';
	const char *name = word + 2, *equals = letter == 0 ? strchr(name, '=') : NULL;
	size_t n = equals != NULL ? (size_t)(equals - name) : strlen(name);
	const struct option_spec *o = find_option(own, name, n, letter);
	bool is_own = o != NULL;
	const char *value = equals != NULL ? equals + 1 : NULL;

	if (o == NULL)
		o = find_option(global_options, name, n, letter);
	if (o == NULL || (letter != 0 && word[2] != '\0' && o->value == NULL))
		return ctl_usage("unknown option %s: see sysrtctl %s%s--help", word,
			r->c->command != NULL ? r->c->command->name : "",
			r->c->command != NULL ? " " : "");
	if (o->value == NULL && value != NULL)
		return ctl_usage("--%s takes no value", o->name);
	if (letter != 0 && word[2] != '\0')
		value = word + 2;
	if (o->value != NULL && value == NULL) {
		if (r->at == r->argc)
			return ctl_usage("--%s needs a value: %s", o->name, o->value);
		value = r->argv[r->at++];
	}
	if (!is_own)
		return set_global(r, o, value);
	r->c->values[o - own] = value != NULL ? value : "";
	return -1;
}

static int
take_word(struct reading *r, const char *word)
{
	struct ctl *c = r->c;

	if (c->words_n == WORDS_MAX)
		return ctl_usage("too many words");
	c->words[c->words_n++] = word;
	/* As soon as the command is known its options can be read. */
	if (c->command == NULL && (c->words_n == 2 || strcmp(word, "session") != 0))
		return find_command(c);
	return -1;
}

static int
check_words(const struct ctl *c)
{
	const struct command *command = c->command;

	if (c->words_n >= command->words_min && c->words_n <= command->words_max)
		return -1;
	return ctl_usage("usage: sysrtctl %s [options] %s", command->name, command->usage);
}

static void
set_defaults(struct ctl *c)
{
	const char *no_color = getenv("NO_COLOR");
	bool is_terminal = isatty(STDOUT_FILENO) == 1;

	c->timeout_ms = DEFAULT_TIMEOUT_MS;
	c->format = is_terminal ? FORMAT_TABLE : FORMAT_NDJSON;
	c->has_color = is_terminal && (no_color == NULL || no_color[0] == '\0');
}

int
grammar_read(struct ctl *c, int argc, char **argv)
{
	struct reading r = {.c = c, .argv = argv, .argc = argc, .at = 1};
	int status = -1;

	set_defaults(c);
	while (status < 0 && r.at < argc) {
		char *word = argv[r.at++];

		if (strcmp(word, "--") == 0 && c->command != NULL &&
			strchr(c->command->usage, '.') != NULL && c->command->run == watch_run) {
			c->rest = argv + r.at;
			break;
		}
		if (strcmp(word, "--") == 0) {
			while (status < 0 && r.at < argc)
				status = take_word(&r, argv[r.at++]);
		} else {
			status = word[0] == '-' && word[1] != '\0' ? take_option(&r, word)
								   : take_word(&r, word);
		}
	}
	if (status >= 0)
		return status;
	if (r.wants_help || (c->command == NULL && c->words_n == 0)) {
		if (c->command != NULL)
			print_command_help(c->command);
		else
			print_help();
		return r.wants_help ? EXIT_DONE : EXIT_USAGE;
	}
	if (c->command == NULL)
		return find_command(c);
	return check_words(c);
}

static void
print_words(const char *between)
{
	for (size_t i = 0; i < commands_n; i++)
		printf("%s%.*s", i > 0 ? between : "", (int)strcspn(commands[i].name, " "),
			commands[i].name);
}

static void
print_option_words(const struct option_spec *options)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++)
		printf(" --%s", o->name);
}

static void
complete_bash(void)
{
	printf("_sysrtctl() {\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} command= words i\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\t[[ ${COMP_WORDS[i]} != -* ]] && { command=${COMP_WORDS[i]}; break; }\n"
	       "\tdone\n"
	       "\tcase $command in\n\t'') words='");
	print_words(" ");
	print_option_words(global_options);
	printf("' ;;\n");
	for (size_t i = 0; i < commands_n; i++) {
		if (commands[i].options == NULL)
			continue;
		printf("\t%s) words='", commands[i].name);
		print_option_words(commands[i].options);
		print_option_words(global_options);
		printf("' ;;\n");
	}
	printf("\tsession) words='list close' ;;\n\tcompletion) words='bash zsh fish' ;;\n"
	       "\t*) words='");
	print_option_words(global_options);
	printf("' ;;\n\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
	       "complete -o default -F _sysrtctl sysrtctl\n");
}

static void
complete_zsh(void)
{
	printf("#compdef sysrtctl\nlocal -a commands=(\n");
	for (size_t i = 0; i < commands_n; i++)
		if (strchr(commands[i].name, ' ') == NULL)
			printf("\t'%s:%s'\n", commands[i].name, commands[i].help);
	printf("\t'session:List or close sessions'\n)\n"
	       "_arguments '1: :{_describe command commands}' '*:: :_files'");
	for (const struct option_spec *o = global_options; o->name != NULL; o++)
		printf(" '--%s%s'", o->name, o->value != NULL ? "=" : "");
	putchar('\n');
}

static void
complete_fish(void)
{
	for (size_t i = 0; i < commands_n; i++) {
		const struct command *k = &commands[i];
		int n = (int)strcspn(k->name, " ");

		printf("complete -c sysrtctl -n __fish_use_subcommand -a %.*s -d '%s'\n", n,
			k->name, k->help);
		for (const struct option_spec *o = k->options; o != NULL && o->name != NULL; o++)
			printf("complete -c sysrtctl -n '__fish_seen_subcommand_from %.*s' -l %s%s "
			       "-d '%s'\n",
				n, k->name, o->name, o->value != NULL ? " -r" : "", o->help);
	}
	for (const struct option_spec *o = global_options; o->name != NULL; o++)
		printf("complete -c sysrtctl -l %s%s -d '%s'\n", o->name,
			o->value != NULL ? " -r" : "", o->help);
}

int
grammar_completion(struct ctl *c)
{
	if (strcmp(c->words[0], "bash") == 0)
		complete_bash();
	else if (strcmp(c->words[0], "zsh") == 0)
		complete_zsh();
	else if (strcmp(c->words[0], "fish") == 0)
		complete_fish();
	else
		return ctl_usage("completion: bash, zsh or fish");
	return EXIT_DONE;
}

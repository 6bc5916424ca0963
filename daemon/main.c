/*
 * sysrtd: the command line, the configuration, then the server. Exit statuses
 * are those of sysexits: 64 usage, 69 unavailable, 77 no permission, 78
 * configuration.
 */

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/offline.h"
#include "daemon/server.h"
#include "daemon/store/store.h"

#define OVERRIDES_MAX 8

enum mode { MODE_RUN, MODE_CHECK, MODE_DEFAULTS, MODE_EFFECTIVE, MODE_OFFLINE };

enum option_key {
	OPT_CONFIG = 256,
	OPT_STORE,
	OPT_LISTEN,
	OPT_SOCKET,
	OPT_CHECK,
	OPT_DEFAULTS,
	OPT_EFFECTIVE,
	OPT_TO,
	OPT_NO_COPY,
	OPT_DROP_TOKENS,
	OPT_VERSION,
};

static const struct option options[] = {
	{"config",          required_argument, NULL, OPT_CONFIG     },
	{"store",           required_argument, NULL, OPT_STORE      },
	{"listen",          required_argument, NULL, OPT_LISTEN     },
	{"socket",          required_argument, NULL, OPT_SOCKET     },
	{"check",           no_argument,       NULL, OPT_CHECK      },
	{"print-defaults",  no_argument,       NULL, OPT_DEFAULTS   },
	{"print-effective", no_argument,       NULL, OPT_EFFECTIVE  },
	{"to",              required_argument, NULL, OPT_TO         },
	{"no-copy",         no_argument,       NULL, OPT_NO_COPY    },
	{"drop-tokens",     no_argument,       NULL, OPT_DROP_TOKENS},
	{"output",          required_argument, NULL, 'o'            },
	{"version",         no_argument,       NULL, OPT_VERSION    },
	{"help",            no_argument,       NULL, 'h'            },
	{NULL,              0,                 NULL, 0              },
};

static const char help[] =
	"usage: sysrtd [options]\n"
	"       sysrtd [options] store migrate [--to VERSION] [--no-copy]\n"
	"       sysrtd [options] store check [--output FORMAT] [FILE]\n"
	"       sysrtd [options] store repair [--output FORMAT] [FILE]\n"
	"       sysrtd [options] store compact [FILE]\n"
	"       sysrtd [options] store restore [--drop-tokens] FILE\n"
	"       sysrtd [options] store export FILE\n"
	"\n"
	"Keeps JSON records in one SQLite file and tells every connected WebSocket client\n"
	"about each change, in order, with nothing missed.\n"
	"\n"
	"  --config FILE        configuration (default " CONF_DEFAULT_FILE ", if it is there)\n"
	"  --store FILE         the store (store.path)\n"
	"  --listen HOST:PORT   WebSocket listener (websocket.listen); may be given\n"
	"                       several times; port 0: the kernel chooses\n"
	"  --socket PATH        control socket (control.socket)\n"
	"  --check              check the configuration and exit\n"
	"  --print-defaults     print every option with its default, as TOML\n"
	"  --print-effective    print the configuration in force and where each value came from\n"
	"  -v, -vv              log more (log.filter: debug, trace)\n"
	"  --version            print the version\n"
	"  --help               print this\n"
	"\n"
	"`store migrate` brings a store that no daemon holds to a version of its schema (by\n"
	"default the newest, to which the daemon brings it by itself); a copy from before is kept\n"
	"beside it, unless --no-copy says otherwise. `store check` looks whether a store, or any\n"
	"copy of one, is whole; `store repair` rebuilds it, or salvages what is left of it.\n"
	"`store compact` gives back what is free in it.\n"
	"`store restore` puts a backup in its place, `store export` writes its records to a plain\n"
	"SQLite file.\n"
	"\n"
	"Every option of the configuration can also be given in the environment, as\n"
	"SYSRT_SECTION_KEY. See sysrtd(8) and sysrt.conf(5).\n";

struct command_line {
	enum mode mode;
	struct conf_sources sources;
	struct conf_override overrides[OVERRIDES_MAX];
	char *listen; /* all --listen, parted by commas */
	unsigned verbosity;
	struct offline offline;
	const struct offline_verb *verb; /* of store */
};

static void
add_override(struct command_line *c, const char *name, const char *value)
{
	must(c->sources.overrides_n < OVERRIDES_MAX);
	for (size_t i = 0; i < c->sources.overrides_n; i++) {
		if (strcmp(c->overrides[i].name, name) == 0) {
			c->overrides[i].value = value;
			return;
		}
	}
	c->overrides[c->sources.overrides_n++] = (struct conf_override){name, value};
}

static void
add_listen(struct command_line *c, const char *address)
{
	char *list = c->listen == NULL ? xstrdup(address) : xasprintf("%s,%s", c->listen, address);

	free(c->listen);
	c->listen = list;
	add_override(c, "websocket.listen", list);
}

static int
take_version(struct command_line *c, const char *value)
{
	char *end;
	long version = strtol(value, &end, 10);

	if (*value == '\0' || *end != '\0' || version < 1 || version > INT_MAX) {
		fprintf(stderr, "sysrtd: --to is a version from 1 on, not \"%s\"\n", value);
		return EX_USAGE;
	}
	c->offline.to = (int)version;
	return -1;
}

static int
take_output(struct command_line *c, const char *value)
{
	c->offline.is_json = strcmp(value, "json") == 0;
	if (c->offline.is_json || strcmp(value, "text") == 0)
		return -1;
	fprintf(stderr, "sysrtd: --output is text or json, not \"%s\"\n", value);
	return EX_USAGE;
}

/** Takes one option; the exit status when there is nothing more to do, else -1. */
static int
take_option(struct command_line *c, int key, const char *value)
{
	switch (key) {
	case OPT_CONFIG:
		c->sources.file = value;
		c->sources.is_file_required = true;
		return -1;
	case OPT_STORE:
		add_override(c, "store.path", value);
		return -1;
	case OPT_LISTEN:
		add_listen(c, value);
		return -1;
	case OPT_SOCKET:
		add_override(c, "control.socket", value);
		return -1;
	case OPT_CHECK:
		c->mode = MODE_CHECK;
		return -1;
	case OPT_DEFAULTS:
		c->mode = MODE_DEFAULTS;
		return -1;
	case OPT_EFFECTIVE:
		c->mode = MODE_EFFECTIVE;
		return -1;
	case 'v':
		add_override(c, "log.filter", c->verbosity++ == 0 ? "debug" : "trace");
		return -1;
	case OPT_TO:
		return take_version(c, value);
	case OPT_NO_COPY:
		c->offline.does_copy = false;
		return -1;
	case OPT_DROP_TOKENS:
		c->offline.drops_tokens = true;
		return -1;
	case 'o':
		return take_output(c, value);
	case OPT_VERSION:
		printf("sysrtd %s (SQLite %s)\n", SYSRT_VERSION, store_engine_version());
		return EX_OK;
	case 'h':
		fputs(help, stdout);
		return EX_OK;
	default:
		fputs("sysrtd: see sysrtd --help\n", stderr);
		return EX_USAGE;
	}
}

/** What stands beside the options: nothing, or a verb for a store. */
static int
take_words(struct command_line *c, char *const *words, int n)
{
	const struct offline_verb *verb = NULL;
	int least = 0, most = 0;

	if (n >= 2 && strcmp(words[0], "store") == 0)
		verb = offline_find(words[1]);
	if (verb != NULL) {
		least = verb->needs_file ? 3 : 2;
		most = verb->takes_file ? 3 : 2;
	}
	if (n > most) {
		fprintf(stderr, "sysrtd: unexpected argument \"%s\": see sysrtd --help\n",
			words[most]);
		return EX_USAGE;
	}
	if (verb != NULL && n < least) {
		fprintf(stderr, "sysrtd: store %s needs a file: see sysrtd --help\n", verb->name);
		return EX_USAGE;
	}
	if (verb != NULL && c->mode != MODE_RUN) {
		fputs("sysrtd: --check and --print-... do not go with store\n", stderr);
		return EX_USAGE;
	}
	if ((c->offline.to != 0 || !c->offline.does_copy) && (verb == NULL || !verb->is_move)) {
		fputs("sysrtd: --to and --no-copy go with store migrate\n", stderr);
		return EX_USAGE;
	}
	if (c->offline.drops_tokens && (verb == NULL || !verb->is_restore)) {
		fputs("sysrtd: --drop-tokens goes with store restore\n", stderr);
		return EX_USAGE;
	}
	c->verb = verb;
	if (verb == NULL)
		return -1;
	c->mode = MODE_OFFLINE;
	if (n == 3 && verb->needs_file)
		c->offline.file = words[2];
	else if (n == 3)
		add_override(c, "store.path", words[2]);
	return -1;
}

static int
read_command_line(struct command_line *c, int argc, char **argv)
{
	int key, status = -1;

	while (status < 0 && (key = getopt_long(argc, argv, "hvo:", options, NULL)) != -1)
		status = take_option(c, key, optarg);
	if (status < 0)
		status = take_words(c, argv + optind, argc - optind);
	c->sources.overrides = c->overrides;
	return status;
}

static int
print(const struct conf *conf)
{
	struct buf out;
	int status = EX_OK;

	buf_init(&out, 1 << 20);
	if (conf == NULL)
		conf_add_defaults(&out);
	else
		conf_add_effective(conf, &out);
	if (fwrite(out.p, 1, out.n, stdout) != out.n || fflush(stdout) != 0)
		status = EX_IOERR;
	buf_fini(&out);
	return status;
}

static int
run(struct command_line *c)
{
	struct error error = ERROR_NONE;
	struct conf *conf = NULL;
	enum err e;
	int status = EX_OK;

	if (c->mode == MODE_DEFAULTS)
		return print(NULL);
	e = conf_load(&c->sources, &conf, &error);
	if (e != OK)
		return offline_fail(e, error.text);
	if (c->mode == MODE_RUN) {
		e = server_run(conf, &c->sources, &error);
		return e == OK ? EX_OK : offline_fail(e, error.text);
	}
	c->offline.conf = conf;
	if (c->mode == MODE_EFFECTIVE)
		status = print(conf);
	else if (c->mode == MODE_OFFLINE)
		status = c->verb->run(&c->offline);
	else
		printf("sysrtd: the configuration is good\n");
	conf_free(conf);
	return status;
}

int
main(int argc, char **argv)
{
	struct command_line c = {
		.sources = {.environ_list = environ},
		.offline = {.does_copy = true},
	};
	int status = read_command_line(&c, argc, argv);

	umask(umask(0077) | 0007); /* the store is nobody's business who is not of the group */
	if (status < 0 && sodium_init() < 0) {
		fputs("sysrtd: libsodium cannot be used\n", stderr);
		status = EX_UNAVAILABLE;
	}
	if (status < 0)
		status = run(&c);
	free(c.listen);
	return status;
}

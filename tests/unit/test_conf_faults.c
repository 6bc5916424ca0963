/*
 * Every way in which a configuration can be wrong: what is said, and where.
 */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/base/conf.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static char folder[64], path[96];
static struct error error;

static void
setup(void)
{
	error = ERROR_NONE;
	snprintf(folder, sizeof(folder), "/tmp/test_conf.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/config.toml", folder);
}

static void
teardown(void)
{
	unlink(path);
	rmdir(folder);
}

static void
write_file(const char *name, struct span text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text.p, text.n), (ssize_t)text.n);
	close(fd);
}

/* clang-format off */
static const struct {
	struct span text;
	const char *error; /* behind the folder's name */
} faults[] = {
	/* Keys */
	{SPAN("\n\n[stor]\n\npath = 'x'\n"),
		"/config.toml: unknown key \"stor.path\" in line 5, did you mean \"store.path\"?"},
	{SPAN("[store]\npath = 'x'\nbanana = 1\n"),
		"/config.toml: unknown key \"store.banana\" in line 3 "
		"(sysrtd --print-defaults lists all)"},
	{SPAN("[log]\n[nonsense]\n"), "/config.toml: unknown key \"nonsense\" in line 2 "
				      "(sysrtd --print-defaults lists all)"},
	{SPAN("store = 1\n"), "/config.toml: unknown key \"store\" in line 1 "
			      "(sysrtd --print-defaults lists all)"},
	{SPAN("[[store]]\npath = 'x'\n"), "/config.toml: unknown key \"store\" in line 1 "
					  "(sysrtd --print-defaults lists all)"},
	{SPAN("[store.path]\nx = 1\n"), "/config.toml:1: store.path must be a string"},

	/* Named tables */
	{SPAN("[category.a]\nhistroy = 1\n"),
		"/config.toml: [category.\"a\"]: unknown key \"histroy\" in line 2, did you mean "
		"\"history\"?"},
	{SPAN("[category.sensor.x]\nttl = '1h'\n"),
		"/config.toml:1: a name with a dot stands in quotes: [category.\"sensor.x\"]"},
	{SPAN("[categroy.a]\nttl = '1h'\n"),
		"/config.toml: unknown key \"categroy.a\" in line 1, did you mean \"category\"?"},
	{SPAN("category.ttl = '1h'\n"), "/config.toml:1: expected a table, [category.NAME]"},
	{SPAN("category = 1\n"), "/config.toml:1: expected tables, [category.NAME]"},
	{SPAN("[category.'$ours']\n"), "/config.toml:1: [category.\"$ours\"]: its name: names that "
				      "start with $ are reserved"},
	{SPAN("[category.'']\n"),
		"/config.toml:1: [category.\"\"]: its name must have 1 to 128 bytes"},
	{SPAN("[category.'a*b']\n"),
		"/config.toml:1: [category.\"a*b\"]: its name: only A-Z a-z 0-9 . _ / - are "
		"allowed, byte 2 is another"},
	{SPAN("[category.a]\nhistory = '7'\n"),
		"/config.toml:2: [category.\"a\"]: history must be a number, a duration such "
		"as \"7d\", or \"unlimited\""},
	{SPAN("[category.a]\nhistory = -1\n"),
		"/config.toml:2: [category.\"a\"]: history must be between 0 and 1000000"},
	{SPAN("[category.a]\nhistory = true\n"),
		"/config.toml:2: [category.\"a\"]: history must be a number, a duration such "
		"as \"7d\", or \"unlimited\""},
	{SPAN("[category.a]\nhistory = '0s'\n"),
		"/config.toml:2: [category.\"a\"]: history must be a number, a duration such "
		"as \"7d\", or \"unlimited\""},
	{SPAN("[category.a]\nmax_records = 0\n"),
		"/config.toml:2: [category.\"a\"]: max_records must be between 1 and unlimited"},
	{SPAN("[category.a]\nsearch = 'fuzzy'\n"),
		"/config.toml:2: [category.\"a\"]: search must be one of: words trigram off"},

	/* Types */
	{SPAN("store.path = 1"), "/config.toml:1: store.path must be a string"},
	{SPAN("store.path = \"a\\u0000b\""), "/config.toml:1: store.path must be a string"},
	{SPAN("store.readers = 'two'"), "/config.toml:1: store.readers must be an integer"},
	{SPAN("store.readers = '2'"), "/config.toml:1: store.readers must be an integer"},
	{SPAN("store.readers = 2.0"), "/config.toml:1: store.readers must be an integer"},
	{SPAN("store.tombstone_max = 'all'"),
		"/config.toml:1: store.tombstone_max must be an integer, or \"unlimited\""},
	{SPAN("store.max_record = '1 potato'"),
		"/config.toml:1: store.max_record must be a size such as \"64KiB\", or an integer "
		"of bytes"},
	{SPAN("store.read_timeout = 10"), "/config.toml:1: store.read_timeout must be a string "
					  "with a unit such as \"30s\""},
	{SPAN("store.tombstone_retention = '7'"),
		"/config.toml:1: store.tombstone_retention must be a string with a unit such as "
		"\"30s\", or \"unlimited\""},
	{SPAN("websocket.echo = 'true'"), "/config.toml:1: websocket.echo must be true or false"},
	{SPAN("websocket.echo = 1"), "/config.toml:1: websocket.echo must be true or false"},
	{SPAN("websocket.listen = 7117"),
		"/config.toml:1: websocket.listen must be a string or an array of strings"},
	{SPAN("websocket.hosts = ['a', 2]"),
		"/config.toml:1: websocket.hosts must be a string or an array of strings"},
	{SPAN("websocket.hosts = ['b.example.org:80', 'https://x']"),
		"/config.toml:1: websocket.hosts: \"https://x\" is no host such as "
		"\"app.example.org\""},
	{SPAN("websocket.hosts = ''"),
		"/config.toml:1: websocket.hosts: \"\" is no host such as \"app.example.org\""},
	{SPAN("websocket.origins = ['*', 'http://[::1]:80', 'app.example.org']"),
		"/config.toml:1: websocket.origins: \"app.example.org\" is no origin such as "
		"\"https://app.example.org\""},
	{SPAN("websocket.origins = 'https://app.example.org/'"),
		"/config.toml:1: websocket.origins: \"https://app.example.org/\" is no origin such "
		"as \"https://app.example.org\""},
	{SPAN("websocket.origins = 'null'"),
		"/config.toml:1: websocket.origins: \"null\" is no origin such as "
		"\"https://app.example.org\""},
	{SPAN("store.durability = 'high'"),
		"/config.toml:1: store.durability must be one of: normal full"},
	{SPAN("store.durability = true"),
		"/config.toml:1: store.durability must be one of: normal full"},
	{SPAN("websocket.anonymous = ['read', 'admin']"),
		"/config.toml:1: websocket.anonymous: \"admin\" is none of: read, write, publish"},
	{SPAN("websocket.anonymous = 'read:a,-b'"),
		"/config.toml:1: websocket.anonymous: the name of a scope must not start with "
		"'.', '-' or '/'"},

	/* Bounds */
	{SPAN("store.readers = 0"), "/config.toml:1: store.readers must be between 1 and 64"},
	{SPAN("store.readers = 65"), "/config.toml:1: store.readers must be between 1 and 64"},
	{SPAN("store.readers = 'unlimited'"),
		"/config.toml:1: store.readers must be an integer"},
	{SPAN("store.queue = -9223372036854775808"),
		"/config.toml:1: store.queue must be between 8 and 65536"},
	{SPAN("store.max_record = 1"),
		"/config.toml:1: store.max_record must be between 1KiB and 256MiB"},
	{SPAN("store.wal_hard_limit = '1KiB'"),
		"/config.toml:1: store.wal_hard_limit must be between 1MiB and unlimited"},
	{SPAN("store.read_timeout = '2d'"),
		"/config.toml:1: store.read_timeout must be between 1ms and 1d"},
	{SPAN("store.path = ''"), "/config.toml:1: store.path must have 1 to 4000 bytes"},
	{SPAN("websocket.listen = ['1','2','3','4','5','6','7','8','9','10','11','12','13','14',"
	      "'15','16','17']"),
		"/config.toml:1: websocket.listen: at most 16 of them"},

	/* The file is not TOML: where, in the words of the parser. */
	{SPAN("[store\n"), "/config.toml:1:7: "},
	{SPAN("[store]\nreaders = 1\nreaders = 2\n"), "/config.toml:3:1: "},
	{SPAN("[store]\npath = 'a\xff'\n"), "/config.toml:2:"},
};
/* clang-format on */

/** The load must fail and say so: the folder's name and then this, or more where it ends in " ". */
static void
expect_fault(const struct conf_sources *from, const char *expected)
{
	struct conf *c = NULL;
	size_t n = strlen(folder);

	ck_assert_int_eq(conf_load(from, &c, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_null(c);
	ck_assert_msg(strncmp(error.text, folder, n) == 0 &&
			      strncmp(error.text + n, expected, strlen(expected)) == 0,
		"expected %s, got %s", expected, error.text);
	if (expected[strlen(expected) - 1] != ' ' && expected[strlen(expected) - 1] != ':')
		ck_assert_str_eq(error.text + n, expected);
}

START_TEST(every_fault_has_its_message)
{
	write_file(path, faults[_i].text);
	expect_fault(
		&(struct conf_sources){.file = path, .is_file_required = true}, faults[_i].error);
}
END_TEST

START_TEST(a_file_that_cannot_be_read)
{
	struct conf_sources from = {.file = path, .is_file_required = true};
	struct span large = {xcalloc(5, 1 << 20), 5 << 20};
	struct conf *c = NULL;

	ck_assert_int_eq(conf_load(&from, &c, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "/config.toml: No such file or directory"));
	from.is_file_required = false;
	ck_assert_int_eq(conf_load(&from, &c, &error), OK);
	conf_free(c);
	from.file = folder;
	ck_assert_int_eq(conf_load(&from, &c, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "Is a directory"));
	from.file = path;
	write_file(path, large);
	expect_fault(&from, "/config.toml is too large");
	free((void *)(uintptr_t)large.p);
}
END_TEST

START_TEST(a_folder_that_is_none)
{
	struct conf_sources from = {.file = path};
	char *other = xasprintf("%s/conf.d", folder);
	struct conf *c = NULL;

	write_file(other, SPAN(""));
	ck_assert_int_eq(conf_load(&from, &c, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "/conf.d: Not a directory"));
	unlink(other);
	free(other);
}
END_TEST

START_TEST(a_fault_in_the_folder)
{
	char *sub = xasprintf("%s/conf.d", folder), *file = xasprintf("%s/1.toml", sub);

	ck_assert_int_eq(mkdir(sub, 0700), 0);
	write_file(file, SPAN("store.readers = 0"));
	expect_fault(&(struct conf_sources){.file = path},
		"/conf.d/1.toml:1: store.readers must be between 1 and 64");
	unlink(file);
	rmdir(sub);
	free(file);
	free(sub);
}
END_TEST

/* clang-format off */
static const struct {
	const char *entry, *error;
} variables[] = {
	{"SYSRT_STORE_READERS=",
		"environment variable SYSRT_STORE_READERS: store.readers must be an integer"},
	{"SYSRT_STORE_READERS=5x",
		"environment variable SYSRT_STORE_READERS: store.readers must be an integer"},
	{"SYSRT_STORE_READERS=-",
		"environment variable SYSRT_STORE_READERS: store.readers must be an integer"},
	{"SYSRT_STORE_READERS=[5]",
		"environment variable SYSRT_STORE_READERS: store.readers must be an integer"},
	{"SYSRT_STORE_READERS=500",
		"environment variable SYSRT_STORE_READERS: store.readers must be between 1 and "
		"64"},
	{"SYSRT_STORE_PATH=",
		"environment variable SYSRT_STORE_PATH: store.path must have 1 to 4000 bytes"},
	{"SYSRT_WEBSOCKET_ECHO=yes",
		"environment variable SYSRT_WEBSOCKET_ECHO: websocket.echo must be true or false"},
	{"SYSRT_WEBSOCKET_ANONYMOUS=read,admin",
		"environment variable SYSRT_WEBSOCKET_ANONYMOUS: websocket.anonymous: \"admin\" is "
		"none of: read, write, publish"},
	{"SYSRT_LOG=",
		"environment variable SYSRT_LOG: log.filter must have 1 to 1000 bytes"},
};
/* clang-format on */

START_TEST(faults_in_the_environment)
{
	char *entry = xstrdup(variables[_i].entry);
	char *list[] = {entry, NULL};
	struct conf_sources from = {.file = path, .environ_list = list};
	struct conf *c = NULL;

	ck_assert_int_eq(conf_load(&from, &c, &error), ERR_CONFIG_ERROR);
	ck_assert_str_eq(error.text, variables[_i].error);
	free(entry);
}
END_TEST

START_TEST(faults_on_the_command_line)
{
	struct conf_override override = {"store.readers", "many"};
	struct conf_sources from = {.file = path, .overrides = &override, .overrides_n = 1};
	struct conf *c = NULL;

	ck_assert_int_eq(conf_load(&from, &c, &error), ERR_CONFIG_ERROR);
	ck_assert_str_eq(error.text, "command line: store.readers must be an integer");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("conf faults");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, every_fault_has_its_message, 0, (int)COUNT_OF(faults));
	tcase_add_test(t, a_file_that_cannot_be_read);
	tcase_add_test(t, a_folder_that_is_none);
	tcase_add_test(t, a_fault_in_the_folder);
	tcase_add_loop_test(t, faults_in_the_environment, 0, (int)COUNT_OF(variables));
	tcase_add_test(t, faults_on_the_command_line);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

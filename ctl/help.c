/* What --help prints: see help.h. */

#include "ctl/help.h"

#include <stdio.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/grammar.h"

#define LINE_WIDTH    79
#define OPTION_WIDTH  23
#define COMMAND_WIDTH 14

/** Prints text from column `indent` on, in lines of at most LINE_WIDTH columns. */
static void
print_wrapped(const char *text, int indent)
{
	int at = indent;

	while (*text != '\0') {
		int n = (int)strcspn(text, " ");

		if (at > indent && at + 1 + n > LINE_WIDTH) {
			printf("\n%*s", indent, "");
			at = indent;
		}
		at += printf("%s%.*s", at > indent ? " " : "", n, text);
		text += n + (text[n] == ' ');
	}
	putchar('\n');
}

static void
print_options(const struct option_spec *options)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter != 0 ? "-" : "",
			o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "   ", o->name,
			o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
		printf("  %-*s ", OPTION_WIDTH, left);
		print_wrapped(o->help, OPTION_WIDTH + 3);
	}
}

static void
print_commands(const char *group)
{
	size_t n = strlen(group);

	for (size_t i = 0; i < commands_n; i++)
		if (n == 0 ||
			(strncmp(commands[i].name, group, n) == 0 && commands[i].name[n] == ' ')) {
			printf("  %-*s ", COMMAND_WIDTH, commands[i].name);
			print_wrapped(commands[i].help, COMMAND_WIDTH + 3);
		}
}

void
help_print_all(void)
{
	printf("usage: sysrtctl [options] COMMAND ...\n\n"
	       "Runs a command on the sysrtd of this machine, or with --url on another.\n\n");
	print_commands("");
	printf("\nOptions of every command:\n");
	print_options(global_options);
	printf("\n`sysrtctl COMMAND --help` tells more about a command. Exit status: 0 done, 1\n"
	       "refused or failed, 2 usage, 3 daemon not running, 4 not found, 5 timed out, 6\n"
	       "denied, 7 conflict, 8 try again later, 130 interrupted. See sysrtctl(1).\n");
}

void
help_print_group(const char *group)
{
	printf("usage: sysrtctl [options] %s ...\n\n", group);
	print_commands(group);
	printf("\nOptions of every command:\n");
	print_options(global_options);
}

void
help_print_command(const struct command *command)
{
	printf("usage: sysrtctl %s [options]%s%s\n\n%s.\n", command->name,
		command->usage[0] != '\0' ? " " : "", command->usage, command->help);
	if (command->options != NULL) {
		printf("\nOptions:\n");
		print_options(command->options);
	}
	printf("\nOptions of every command:\n");
	print_options(global_options);
}

int
help_run(struct ctl *c)
{
	unsigned used;
	const struct command *command = grammar_find(c->words, c->words_n, &used);

	if (c->words_n == 0)
		help_print_all();
	else if (command != NULL)
		help_print_command(command);
	else if (c->words_n == 1 && grammar_is_group(c->words[0]))
		help_print_group(c->words[0]);
	else
		return ctl_usage("there is no such command: see sysrtctl --help");
	return EXIT_DONE;
}

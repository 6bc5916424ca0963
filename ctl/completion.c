/*
 * completion: scripts for shells, made of the table of commands. Those in
 * packaging/completions are what this prints.
 */

#include <stdio.h>
#include <string.h>

#include "ctl/commands.h"

/** The first word of a command's name. */
static int
first_word(const struct command *command)
{
	return (int)strcspn(command->name, " ");
}

/** True for the first command of those whose names begin with the same word. */
static bool
is_first_of_group(size_t i)
{
	int n = first_word(&commands[i]);

	return i == 0 || first_word(&commands[i - 1]) != n ||
	       strncmp(commands[i].name, commands[i - 1].name, (size_t)n) != 0;
}

/** True if what follows the first word is one of a few words that are known: the second word of the
 * name, those of a usage such as "bash | zsh", or the name of a command. */
static bool
has_fixed_words(const struct command *command)
{
	return strchr(command->name, ' ') != NULL || strcmp(command->usage, "[COMMAND]") == 0 ||
	       (command->usage[0] >= 'a' && command->usage[0] <= 'z');
}

static void
print_command_words(void)
{
	for (size_t i = 0; i < commands_n; i++)
		if (is_first_of_group(i))
			printf("%s%.*s", i > 0 ? " " : "", first_word(&commands[i]),
				commands[i].name);
}

static void
print_fixed_words(const struct command *command)
{
	const char *second = strchr(command->name, ' ');

	if (second != NULL) {
		fputs(second + 1, stdout);
		return;
	}
	if (strcmp(command->usage, "[COMMAND]") == 0) {
		print_command_words();
		return;
	}
	for (const char *p = command->usage; *p != '\0'; p++)
		if (*p != '|' && !(p[0] == ' ' && p[1] == '|'))
			putchar(*p);
}

/** Prints text for the inside of single quotes, with a backslash before each of `special`; where a
 * quote is none of them, it ends the quotes and begins them anew. */
static void
print_quoted(const char *text, const char *special)
{
	for (; *text != '\0'; text++) {
		if (strchr(special, *text) != NULL)
			printf("\\%c", *text);
		else if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	}
}

static void
print_option_word(const struct option_spec *o)
{
	printf(" --%s", o->name);
	if (o->letter != 0)
		printf(" -%c", o->letter);
}

static void
print_option_words(const struct option_spec *options)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++)
		print_option_word(o);
}

static void
print_names(const struct option_spec *o, bool *is_first)
{
	printf("%s--%s", *is_first ? "" : " | ", o->name);
	if (o->letter != 0)
		printf(" | -%c", o->letter);
	*is_first = false;
}

static bool
has_option(const struct option_spec *options, const char *name)
{
	for (; options != NULL && options->name != NULL; options++)
		if (strcmp(options->name, name) == 0)
			return true;
	return false;
}

/** True if an option of this name is the global one, or an earlier command's. */
static bool
is_known_before(const struct option_spec *o, const struct command *command)
{
	if (command != NULL && has_option(global_options, o->name))
		return true;
	for (const struct command *c = commands; command != NULL && c < command; c++)
		if (has_option(c->options, o->name))
			return true;
	return false;
}

/** The patterns, and what follows them, of options whose value is one of a few. */
static void
print_bash_choices(const struct option_spec *options, const struct command *command)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		bool is_first = true;

		if (o->choices == NULL || is_known_before(o, command))
			continue;
		printf("\t");
		print_names(o, &is_first);
		printf(") words='%s' ;;\n", o->choices);
	}
}

/** The patterns of options whose value is anything. */
static void
print_bash_values(const struct option_spec *options, const struct command *command, bool *is_first)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++)
		if (o->value != NULL && o->choices == NULL && !is_known_before(o, command))
			print_names(o, is_first);
}

/** What an option whose value is to be completed next offers. */
static void
print_bash_options(void)
{
	bool is_first = true;

	printf("\tcase $before in\n");
	print_bash_choices(global_options, NULL);
	for (size_t i = 0; i < commands_n; i++)
		print_bash_choices(commands[i].options, &commands[i]);
	printf("\t");
	print_bash_values(global_options, NULL, &is_first);
	for (size_t i = 0; i < commands_n; i++)
		print_bash_values(commands[i].options, &commands[i], &is_first);
	printf(") words='' ;;\n\tesac\n");
}

/** The options of a group of commands that ends with this one, each once. */
static void
print_group_options(size_t last)
{
	size_t first = last;

	while (!is_first_of_group(first))
		first--;
	for (size_t i = first; i <= last; i++)
		for (const struct option_spec *o = commands[i].options;
			o != NULL && o->name != NULL; o++) {
			size_t before = first;

			while (before < i && !has_option(commands[before].options, o->name))
				before++;
			if (before == i)
				print_option_word(o);
		}
}

static void
print_bash_commands(void)
{
	printf("\tcase $command in\n\t'') words='");
	print_command_words();
	printf("' ;;\n");
	for (size_t i = 0; i < commands_n; i++) {
		if (is_first_of_group(i))
			printf("\t%.*s) words='", first_word(&commands[i]), commands[i].name);
		if (has_fixed_words(&commands[i]))
			print_fixed_words(&commands[i]);
		if (i + 1 < commands_n && !is_first_of_group(i + 1)) {
			printf(" ");
			continue;
		}
		printf("' options='");
		print_group_options(i);
		printf("' ;;\n");
	}
	printf("\tesac\n");
}

static void
print_bash_head(void)
{
	bool is_first = true;

	printf("# bash completion of sysrtctl; made by `sysrtctl completion bash`\n"
	       "_sysrtctl() {\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
	       "\tlocal command='' words='' options='' i\n"
	       "\tCOMPREPLY=()\n"
	       "\t# bash takes --name=value apart\n"
	       "\tif [[ $word == '=' ]]; then\n\t\tword=''\n"
	       "\telif [[ $before == '=' ]]; then\n"
	       "\t\tbefore=${COMP_WORDS[COMP_CWORD - 2]}\n\tfi\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tcase ${COMP_WORDS[i]} in\n\t\t");
	for (const struct option_spec *o = global_options; o->name != NULL; o++)
		if (o->value != NULL)
			print_names(o, &is_first);
	printf(")\n\t\t\t((i++))\n"
	       "\t\t\t[[ ${COMP_WORDS[i]} == '=' ]] && ((i++))\n\t\t\t;;\n"
	       "\t\t-*) ;;\n"
	       "\t\t*)\n\t\t\tcommand=${COMP_WORDS[i]}\n\t\t\tbreak\n\t\t\t;;\n"
	       "\t\tesac\n\tdone\n");
}

static void
print_bash(void)
{
	print_bash_head();
	print_bash_commands();
	printf("\t# only the first word behind the command is one of a few\n"
	       "\t((COMP_CWORD > i + 1)) && [[ ${COMP_WORDS[i + 1]} != -* ]] && words=''\n"
	       "\t[[ $word == -* ]] && words=\"$options");
	print_option_words(global_options);
	printf("\"\n");
	print_bash_options();
	printf("\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
	       "complete -o default -F _sysrtctl sysrtctl\n");
}

static bool
is_file(const struct option_spec *o)
{
	return strcmp(o->value, "FILE") == 0 || strcmp(o->value, "PATH") == 0;
}

static void
print_zsh_options(const struct option_spec *options, const char *indent)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		printf(" \\\n%s'", indent);
		if (o->letter != 0)
			printf("(-%c --%s)'{-%c%s,--%s%s}'", o->letter, o->name, o->letter,
				o->value != NULL ? "+" : "", o->name, o->value != NULL ? "=" : "");
		else
			printf("--%s%s", o->name, o->value != NULL ? "=" : "");
		putchar('[');
		print_quoted(o->help, "[]");
		putchar(']');
		if (o->choices != NULL)
			printf(":%s:(%s)", o->value, o->choices);
		else if (o->value != NULL)
			printf(":%s:%s", o->value, is_file(o) ? "_files" : "");
		putchar('\'');
	}
}

static void
print_zsh_description(const struct command *command)
{
	printf("\t\t\t'%.*s:", first_word(command), command->name);
	print_quoted(command->help, "");
	printf("'\n");
}

static void
print_zsh(void)
{
	printf("#compdef sysrtctl\n# made by `sysrtctl completion zsh`\n"
	       "_sysrtctl() {\n\tlocal -a common commands\n\tlocal state line\n\tcommon=(");
	print_zsh_options(global_options, "\t\t");
	printf("\n\t)\n\t_arguments -C $common '1:command:->command' '*::argument:->argument'\n"
	       "\tcase $state in\n\tcommand)\n\t\tcommands=(\n");
	for (size_t i = 0; i < commands_n; i++)
		if (is_first_of_group(i))
			print_zsh_description(&commands[i]);
	printf("\t\t)\n\t\t_describe command commands\n\t\t;;\n\targument)\n\t\tcase $line[1] in\n");
	for (size_t i = 0; i < commands_n; i++) {
		if (is_first_of_group(i))
			printf("\t\t%.*s) _arguments $common", first_word(&commands[i]),
				commands[i].name);
		print_zsh_options(commands[i].options, "\t\t\t");
		if (has_fixed_words(&commands[i])) {
			printf("%s", is_first_of_group(i) ? " '1:what:(" : " ");
			print_fixed_words(&commands[i]);
		}
		if (i + 1 == commands_n || is_first_of_group(i + 1))
			printf("%s '*:word:_files' ;;\n",
				has_fixed_words(&commands[i]) ? ")'" : "");
	}
	printf("\t\tesac\n\t\t;;\n\tesac\n}\n_sysrtctl \"$@\"\n");
}

static void
print_fish_description(const char *help)
{
	printf(" -d '");
	print_quoted(help, "'\\");
	printf("'\n");
}

static void
print_fish_options(const struct option_spec *options, const char *condition)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		printf("complete -c sysrtctl%s -l %s", condition, o->name);
		if (o->letter != 0)
			printf(" -s %c", o->letter);
		if (o->choices != NULL)
			printf(" -x -a '%s'", o->choices);
		else if (o->value != NULL)
			printf(is_file(o) ? " -r" : " -x");
		print_fish_description(o->help);
	}
}

static void
print_fish(void)
{
	printf("# fish completion of sysrtctl; made by `sysrtctl completion fish`\n");
	print_fish_options(global_options, "");
	for (size_t i = 0; i < commands_n; i++) {
		const struct command *command = &commands[i];
		char condition[128];
		int n = first_word(command);

		snprintf(condition, sizeof(condition), " -n '__fish_seen_subcommand_from %.*s'", n,
			command->name);
		if (is_first_of_group(i)) {
			printf("complete -c sysrtctl -n __fish_use_subcommand -f -a %.*s", n,
				command->name);
			print_fish_description(command->help);
		}
		if (has_fixed_words(command)) {
			printf("complete -c sysrtctl%s -f -a '", condition);
			print_fixed_words(command);
			putchar('\'');
			print_fish_description(command->help);
		}
		print_fish_options(command->options, condition);
	}
}

int
completion_print(struct ctl *c)
{
	if (strcmp(c->words[0], "bash") == 0)
		print_bash();
	else if (strcmp(c->words[0], "zsh") == 0)
		print_zsh();
	else if (strcmp(c->words[0], "fish") == 0)
		print_fish();
	else
		return ctl_usage("completion is for bash, zsh or fish, not \"%s\"", c->words[0]);
	return EXIT_DONE;
}

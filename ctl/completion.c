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

/** True if what follows the first word is one of a few fixed words: the second word of the name, or
 * those of a usage such as "bash | zsh". */
static bool
has_fixed_words(const struct command *command)
{
	return strchr(command->name, ' ') != NULL ||
	       (command->usage[0] >= 'a' && command->usage[0] <= 'z');
}

static void
print_fixed_words(const struct command *command)
{
	const char *second = strchr(command->name, ' ');

	if (second != NULL)
		fputs(second + 1, stdout);
	for (const char *p = command->usage; second == NULL && *p != '\0'; p++)
		if (*p != '|' && !(p[0] == ' ' && p[1] == '|'))
			putchar(*p);
}

/** Prints text for the inside of single quotes, with a backslash before each of `special`. */
static void
print_quoted(const char *text, const char *special)
{
	for (; *text != '\0'; text++) {
		if (strchr(special, *text) != NULL)
			putchar('\\');
		putchar(*text);
	}
}

static void
print_option_words(const struct option_spec *options)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		printf(" --%s", o->name);
		if (o->letter != 0)
			printf(" -%c", o->letter);
	}
}

/** Prints "--a|--b|-b" of the options that take a value. */
static void
print_bash_values(const struct option_spec *options, bool *is_first)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		if (o->value == NULL)
			continue;
		printf("%s--%s", *is_first ? "" : "|", o->name);
		if (o->letter != 0)
			printf("|-%c", o->letter);
		*is_first = false;
	}
}

static void
print_bash_choices(const struct option_spec *options)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		if (o->choices == NULL)
			continue;
		printf("\t--%s", o->name);
		if (o->letter != 0)
			printf(" | -%c", o->letter);
		printf(") words='%s' ;;\n", o->choices);
	}
}

static void
print_bash_commands(void)
{
	printf("\t'') words='");
	for (size_t i = 0; i < commands_n; i++)
		if (is_first_of_group(i))
			printf("%.*s ", first_word(&commands[i]), commands[i].name);
	printf("' options='' ;;\n");
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
		print_option_words(commands[i].options);
		printf("' ;;\n");
	}
}

static void
print_bash(void)
{
	bool is_first = true;

	printf("# bash completion of sysrtctl; made by `sysrtctl completion bash`\n"
	       "_sysrtctl() {\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
	       "\tlocal command='' words='' options='' i\n"
	       "\tCOMPREPLY=()\n"
	       "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	       "\t\tcase ${COMP_WORDS[i]} in\n\t\t");
	print_bash_values(global_options, &is_first);
	printf(") ((i++)) ;;\n\t\t-*) ;;\n\t\t*)\n\t\t\tcommand=${COMP_WORDS[i]}\n\t\t\tbreak\n"
	       "\t\t\t;;\n\t\tesac\n\tdone\n\tcase $command in\n");
	print_bash_commands();
	printf("\tesac\n\t[[ $word == -* ]] && words=\"$options");
	print_option_words(global_options);
	printf("\"\n\tcase $before in\n");
	print_bash_choices(global_options);
	for (size_t i = 0; i < commands_n; i++)
		print_bash_choices(commands[i].options);
	printf("\tesac\n\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}\n"
	       "complete -o default -F _sysrtctl sysrtctl\n");
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
			printf(":%s:_files", o->value);
		putchar('\'');
	}
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
			printf("\t\t\t'%.*s:%s'\n", first_word(&commands[i]), commands[i].name,
				commands[i].help);
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
print_fish_options(const struct option_spec *options, const char *condition)
{
	for (const struct option_spec *o = options; o != NULL && o->name != NULL; o++) {
		printf("complete -c sysrtctl%s -l %s", condition, o->name);
		if (o->letter != 0)
			printf(" -s %c", o->letter);
		if (o->choices != NULL)
			printf(" -x -a '%s'", o->choices);
		else if (o->value != NULL)
			printf(" -r");
		printf(" -d '");
		print_quoted(o->help, "'\\");
		printf("'\n");
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
		if (is_first_of_group(i))
			printf("complete -c sysrtctl -n __fish_use_subcommand -a %.*s -d '%s'\n", n,
				command->name, command->help);
		if (has_fixed_words(command)) {
			printf("complete -c sysrtctl%s -f -a '", condition);
			print_fixed_words(command);
			printf("' -d '%s'\n", command->help);
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

/* check: whether the store is whole, asked of the daemon that has it. */

#include <stdio.h>
#include <stdlib.h>

#include "common/report.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/follow.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/progress.h"

static void
on_progress(void *arg, int64_t done, int64_t total)
{
	struct progress *p = arg;

	p->size = total;
	progress_show(p, (uint64_t)done, done);
}

static void
print(const struct ctl *c, struct span report)
{
	struct buf text, safe;

	if (c->format != FORMAT_TABLE) {
		out_json(c, report);
		return;
	}
	buf_init(&text, SIZE_MAX / 2);
	report_add_check(&text, report);
	if (c->is_terminal) {
		buf_init(&safe, SIZE_MAX / 2);
		for (size_t at = 0, end; at < text.n; at = end + 1) {
			for (end = at; text.p[end] != '\n'; end++)
				continue;
			out_add_safe(&safe, (struct span){text.p + at, end - at});
			buf_add_char(&safe, '\n');
		}
		fwrite(safe.p, 1, safe.n, stdout);
		buf_fini(&safe);
	} else {
		fwrite(text.p, 1, text.n, stdout);
	}
	buf_fini(&text);
}

int
check_run(struct ctl *c)
{
	struct progress progress;
	char *result = NULL;
	int status;

	if (ctl_option(c, "repair") != NULL || ctl_option(c, "store") != NULL)
		return system_check_file(c);
	interrupt_catch();
	progress_start(&progress, 0, c->is_quiet);
	status = follow_method(c, "system.check", on_progress, &progress, &result);
	progress_clear(&progress);
	if (status == 0) {
		struct json_value ok = answer_member(answer_value(span_of(result)), "ok");

		print(c, span_of(result));
		status = ok.type == JSON_TRUE ? EXIT_DONE : EXIT_REFUSED;
	}
	free(result);
	return status != 0 && interrupt_status() != 0 ? interrupt_status() : status;
}

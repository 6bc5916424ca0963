/* compact: what is free in the store goes back to the disk, by the daemon that has it. */

#include <stdio.h>
#include <stdlib.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/follow.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/progress.h"

#define LINE_MAX_BYTES 256

static void
on_progress(void *arg, int64_t done, int64_t total)
{
	progress_show_bytes(arg, done, total);
}

static void
print(const struct ctl *c, struct span json)
{
	struct json_value result = answer_value(json);
	struct buf line;

	if (c->format != FORMAT_TABLE) {
		out_json(c, json);
		return;
	}
	buf_init(&line, LINE_MAX_BYTES);
	buf_addf(&line, "gave back ");
	out_add_size(&line, answer_int(result, "bytes_freed", 0));
	buf_addf(&line, ", the file has ");
	out_add_size(&line, answer_int(result, "size", 0));
	printf("%.*s now\n", SPAN_FMT(buf_span(&line)));
	buf_fini(&line);
}

int
compact_run(struct ctl *c)
{
	struct progress progress;
	char *result = NULL;
	bool is_there;
	int status;

	status = system_find_daemon(c, &is_there);
	if (status != 0)
		return status;
	if (!is_there)
		return system_compact_file(c);
	interrupt_catch();
	progress_start(&progress, 0, c->is_quiet);
	status = follow_method(c, "system.compact", on_progress, &progress, &result);
	progress_clear(&progress);
	if (status == 0)
		print(c, span_of(result));
	free(result);
	return status != 0 && interrupt_status() != 0 ? interrupt_status() : status;
}

#pragma once
/* The functions behind the table of commands, by noun. */

#include "ctl/ctl.h"

int record_put(struct ctl *c);
int record_get(struct ctl *c);
int record_del(struct ctl *c);
int record_ls(struct ctl *c);
int record_count(struct ctl *c);
int record_changes(struct ctl *c);
int record_categories(struct ctl *c);
int watch_run(struct ctl *c);
int import_run(struct ctl *c);
int session_ls(struct ctl *c);
int session_close(struct ctl *c);
int system_status(struct ctl *c);
int system_ping(struct ctl *c);
int system_call(struct ctl *c);
int system_methods(struct ctl *c);
int system_publish(struct ctl *c);
int system_config(struct ctl *c);
int system_reload(struct ctl *c);
int system_log_level(struct ctl *c);
int system_shutdown(struct ctl *c);
int system_migrate(struct ctl *c);
int system_version(struct ctl *c);
int completion_print(struct ctl *c);
int help_run(struct ctl *c);

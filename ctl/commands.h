#pragma once
/* The functions behind the table of commands, by noun. */

#include "ctl/ctl.h"

int record_put(struct ctl *c);
int record_patch(struct ctl *c);
int record_get(struct ctl *c);
int delete_run(struct ctl *c);
int record_ls(struct ctl *c);
int record_count(struct ctl *c);
int record_changes(struct ctl *c);
int history_list(struct ctl *c);
int history_diff(struct ctl *c);
int record_categories(struct ctl *c);
int search_run(struct ctl *c);
int watch_run(struct ctl *c);
int import_run(struct ctl *c);
int export_run(struct ctl *c);
int feed_ls(struct ctl *c);
int feed_show(struct ctl *c);
int feed_add(struct ctl *c);
int feed_rm(struct ctl *c);
int feed_start(struct ctl *c);
int feed_stop(struct ctl *c);
int feed_test(struct ctl *c);
int feed_logs(struct ctl *c);
int feed_replay(struct ctl *c);
int limits_list(struct ctl *c);
int limits_test(struct ctl *c);
int session_ls(struct ctl *c);
int session_show(struct ctl *c);
int session_close(struct ctl *c);
int token_create(struct ctl *c);
int token_ls(struct ctl *c);
int token_revoke(struct ctl *c);
int secret_set(struct ctl *c);
int secret_ls(struct ctl *c);
int secret_show(struct ctl *c);
int secret_remove(struct ctl *c);
int secret_rotate(struct ctl *c);
int secret_test(struct ctl *c);
int secret_import(struct ctl *c);
int secret_export(struct ctl *c);
int vault_unlock(struct ctl *c);
int vault_lock(struct ctl *c);
int vault_rekey(struct ctl *c);
int vault_status(struct ctl *c);
int status_run(struct ctl *c);
int system_ping(struct ctl *c);
int system_call(struct ctl *c);
int system_methods(struct ctl *c);
int system_publish(struct ctl *c);
int system_config(struct ctl *c);
int system_reload(struct ctl *c);
int system_log_level(struct ctl *c);
int system_shutdown(struct ctl *c);
int backup_run(struct ctl *c);
int check_run(struct ctl *c);
int system_check_file(struct ctl *c);
int compact_run(struct ctl *c);
int system_compact_file(struct ctl *c);
/** Whether a daemon has the store that is meant: 0, or an exit status after telling why that cannot
 * be said. */
int system_find_daemon(struct ctl *c, bool *is_there);
int system_migrate(struct ctl *c);
int system_restore(struct ctl *c);
int system_version(struct ctl *c);
int completion_print(struct ctl *c);
int help_run(struct ctl *c);

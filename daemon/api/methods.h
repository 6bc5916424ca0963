#pragma once
/* The handlers of the table of methods, by noun. Private to api/. */

#include "daemon/api/gate.h"

/** Hands a job to the store: PENDING, or why not (the job is freed then). */
enum err call_submit(struct call *c, struct job *j);
/** A job of the caller's with room for texts, or NULL and c->error set. */
struct job *call_job(struct call *c, enum job_kind kind, size_t ops_n, size_t nbytes);
/** A parameter's text for the job. That of one that was not given is the table's: it needs no room.
 */
struct span call_keep(struct job *j, const struct arg *a);

#define PASSPHRASE_MAX 1024

/** Asks something of the vault: PENDING, or why not. What is secret in the wish is freed. */
enum err call_vault(struct call *c, struct vault_wish *wish);
/** One that was given: not the empty one. */
enum err call_read_passphrase(const struct call *c, const struct arg *a, struct secret **out);

/** The data of a record without white space between tokens, written straight into the job's room.
 */
enum err record_keep_data(struct call *c, const struct conf_category *category, struct job *j,
	struct op *op, struct json_value value);

enum err record_put(struct call *c);
enum err record_put_many(struct call *c);
enum err record_patch(struct call *c);
enum err record_restore(struct call *c);
enum err record_get(struct call *c);
enum err record_delete(struct call *c);
enum err record_history(struct call *c);
enum err record_list(struct call *c);
enum err record_search(struct call *c);
enum err record_count(struct call *c);
enum err category_list(struct call *c);
enum err changes_read(struct call *c);
enum err subscribe_start(struct call *c);
enum err subscribe_end(struct call *c);
enum err topic_publish(struct call *c);
enum err feed_list(struct call *c);
enum err feed_show(struct call *c);
enum err feed_add(struct call *c);
enum err feed_remove(struct call *c);
enum err feed_call_start(struct call *c);
enum err feed_call_stop(struct call *c);
enum err feed_test(struct call *c);
enum err feed_logs(struct call *c);
enum err feed_replay(struct call *c);
enum err limits_list(struct call *c);
enum err limits_test(struct call *c);
enum err token_show(struct call *c);
enum err token_create(struct call *c);
enum err token_list(struct call *c);
enum err token_revoke(struct call *c);
enum err secret_set(struct call *c);
enum err secret_list(struct call *c);
enum err secret_show(struct call *c);
enum err secret_remove(struct call *c);
enum err secret_rotate(struct call *c);
enum err secret_test(struct call *c);
enum err secret_import(struct call *c);
enum err secret_export(struct call *c);
enum err vault_call_unlock(struct call *c);
enum err vault_call_lock(struct call *c);
enum err vault_call_rekey(struct call *c);
enum err vault_call_status(struct call *c);
enum err session_list(struct call *c);
enum err session_close(struct call *c);
enum err session_show(struct call *c);
enum err system_ping(struct call *c);
enum err system_status(struct call *c);
enum err system_methods(struct call *c);
enum err system_stats(struct call *c);
enum err system_config(struct call *c);
enum err system_reload(struct call *c);
enum err system_log_level(struct call *c);
enum err system_backup(struct call *c);
enum err system_check(struct call *c);
enum err system_compact(struct call *c);
enum err system_shutdown(struct call *c);

extern const struct arg_spec feed_name_args[];
extern const struct arg_spec feed_add_args[];
extern const struct arg_spec feed_test_args[];
extern const struct arg_spec feed_logs_args[];
extern const struct arg_spec feed_replay_args[];
extern const struct arg_spec limits_list_args[];
extern const struct arg_spec limits_test_args[];
extern const struct arg_spec record_put_args[];
extern const struct arg_spec record_put_many_args[];
extern const struct arg_spec record_patch_args[];
extern const struct arg_spec record_restore_args[];
extern const struct arg_spec record_get_args[];
extern const struct arg_spec record_delete_args[];
extern const struct arg_spec record_history_args[];
extern const struct arg_spec record_list_args[];
extern const struct arg_spec record_count_args[];
extern const struct arg_spec record_search_args[];
extern const struct arg_spec category_list_args[];
extern const struct arg_spec changes_args[];
extern const struct arg_spec subscribe_args[];
extern const struct arg_spec unsubscribe_args[];
extern const struct arg_spec publish_args[];
extern const struct arg_spec auth_args[];
extern const struct arg_spec token_create_args[];
extern const struct arg_spec token_revoke_args[];
extern const struct arg_spec secret_set_args[];
extern const struct arg_spec secret_show_args[];
extern const struct arg_spec secret_remove_args[];
extern const struct arg_spec secret_rotate_args[];
extern const struct arg_spec secret_test_args[];
extern const struct arg_spec secret_import_args[];
extern const struct arg_spec secret_export_args[];
extern const struct arg_spec vault_unlock_args[];
extern const struct arg_spec vault_rekey_args[];
extern const struct arg_spec session_close_args[];
extern const struct arg_spec session_show_args[];
extern const struct arg_spec log_level_args[];
extern const struct arg_spec backup_args[];
extern const struct arg_spec no_args[];

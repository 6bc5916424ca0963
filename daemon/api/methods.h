#pragma once
/* The handlers of the table of methods, by noun. Private to api/. */

#include "daemon/api/gate.h"

/** Hands a job to the store: PENDING, or why not (the job is freed then). */
enum err call_submit(struct call *c, struct job *j);
/** A job of the caller's with room for texts, or NULL and c->error set. */
struct job *call_job(struct call *c, enum job_kind kind, size_t ops_n, size_t nbytes);

enum err record_put(struct call *c);
enum err record_put_many(struct call *c);
enum err record_get(struct call *c);
enum err record_delete(struct call *c);
enum err record_list(struct call *c);
enum err record_count(struct call *c);
enum err category_list(struct call *c);
enum err changes_read(struct call *c);
enum err subscribe_start(struct call *c);
enum err subscribe_end(struct call *c);
enum err topic_publish(struct call *c);
enum err session_list(struct call *c);
enum err session_close(struct call *c);
enum err system_ping(struct call *c);
enum err system_status(struct call *c);
enum err system_methods(struct call *c);
enum err system_stats(struct call *c);
enum err system_config(struct call *c);
enum err system_reload(struct call *c);
enum err system_log_level(struct call *c);
enum err system_shutdown(struct call *c);

extern const struct arg_spec record_put_args[];
extern const struct arg_spec record_put_many_args[];
extern const struct arg_spec record_get_args[];
extern const struct arg_spec record_delete_args[];
extern const struct arg_spec record_list_args[];
extern const struct arg_spec record_count_args[];
extern const struct arg_spec category_list_args[];
extern const struct arg_spec changes_args[];
extern const struct arg_spec subscribe_args[];
extern const struct arg_spec unsubscribe_args[];
extern const struct arg_spec publish_args[];
extern const struct arg_spec session_close_args[];
extern const struct arg_spec log_level_args[];
extern const struct arg_spec no_args[];

#pragma once
/*
 * Who is at the other end of a Unix socket, as the kernel tells it, and what the
 * configuration lets him do. Any thread, but for judging: it asks for groups by name.
 */

#include <sys/types.h>

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/guard/scope.h"

struct peercred {
	uid_t uid;
	pid_t pid;
	gid_t *groups; /* owned: all of them, which may be many thousands */
	size_t groups_n;
};

/** ERR_PERMISSION_DENIED: the kernel does not say. */
enum err peercred_read(int fd, struct peercred *p, struct error *error);
void peercred_fini(struct peercred *p);
/** His scopes, of which the caller becomes an owner. ERR_PERMISSION_DENIED: none; it names him, the
 * first of his groups and those that he would need. */
enum err peercred_judge(const struct peercred *p, const struct conf *conf, struct scopes **out,
	struct error *error);
/** The group of this name; false: there is none, or the name is empty. */
bool peercred_group(const char *name, gid_t *gid);

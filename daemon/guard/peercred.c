/* Who is at the other end of a Unix socket: see peercred.h. */

#include "daemon/guard/peercred.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/xalloc.h"

#define GROUPS_TOLD 10 /* in an error, which has to say what is needed, too */

static void
read_groups(int fd, gid_t gid, struct peercred *p)
{
	socklen_t size = 0;

	/* Without room it only says how much it needs. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || errno != ERANGE)
		size = 0;
	p->groups = xcalloc(1 + size / sizeof(gid_t), sizeof(gid_t));
	p->groups[0] = gid;
	p->groups_n = 1;
	if (size > 0 && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, p->groups + 1, &size) == 0)
		p->groups_n += size / sizeof(gid_t);
}

enum err
peercred_read(int fd, struct peercred *p, struct error *error)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0)
		return error_set_errno(error, ERR_PERMISSION_DENIED, errno, "who are you");
	*p = (struct peercred){.uid = who.uid, .pid = who.pid};
	read_groups(fd, who.gid, p);
	return OK;
}

void
peercred_fini(struct peercred *p)
{
	free(p->groups);
	p->groups = NULL;
}

bool
peercred_group(const char *name, gid_t *gid)
{
	const struct group *group = name[0] != '\0' ? getgrnam(name) : NULL;

	if (group != NULL)
		*gid = group->gr_gid;
	return group != NULL;
}

static bool
is_member(const struct peercred *p, const char *name)
{
	gid_t gid;

	if (!peercred_group(name, &gid))
		return false;
	for (size_t i = 0; i < p->groups_n; i++)
		if (p->groups[i] == gid)
			return true;
	return false;
}

static enum err
refuse(const struct peercred *p, const struct conf *conf, struct error *error)
{
	const char *reading = conf->control.read_group;
	struct buf list;

	buf_init(&list, ERROR_TEXT_MAX);
	for (size_t i = 0; i < p->groups_n && i < GROUPS_TOLD; i++)
		buf_addf(&list, "%s%u", i > 0 ? " " : "", (unsigned)p->groups[i]);
	if (p->groups_n > GROUPS_TOLD)
		buf_addf(&list, " and %zu more", p->groups_n - GROUPS_TOLD);
	error_set(error, ERR_PERMISSION_DENIED,
		"uid %u (groups %.*s) may not use the control socket: it needs the group \"%s\" "
		"(control.admin_group)%s%s%s",
		(unsigned)p->uid, SPAN_FMT(buf_span(&list)), conf->control.admin_group,
		reading[0] != '\0' ? " or, to read, \"" : "", reading,
		reading[0] != '\0' ? "\" (control.read_group)" : "");
	buf_fini(&list);
	return ERR_PERMISSION_DENIED;
}

enum err
peercred_judge(
	const struct peercred *p, const struct conf *conf, struct scopes **out, struct error *error)
{
	bool is_admin =
		p->uid == 0 || p->uid == geteuid() || is_member(p, conf->control.admin_group);

	if (!is_admin && !is_member(p, conf->control.read_group))
		return refuse(p, conf, error);
	*out = scopes_new(is_admin ? "control.admin_group" : "control.read_group");
	scopes_add_all(*out, is_admin ? SCOPE_ALL : SCOPE_READ);
	return OK;
}

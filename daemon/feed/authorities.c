/* Contexts of TLS clients by their file of authorities: see authorities.h. */

#include "daemon/feed/authorities.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/list.h"
#include "common/xalloc.h"
#include "daemon/net/tls.h"

#define KEPT_MAX 64

/** How to tell that a file is another one. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct kept {
	struct list link;
	char *ca;
	struct stamp stamp;
	struct tls_context *context; /* owned reference */
};

struct authorities {
	struct list kept; /* the one used last first */
	unsigned n;
};

struct authorities *
authorities_new(void)
{
	struct authorities *a = xnew(struct authorities);

	list_init(&a->kept);
	return a;
}

static void
drop(struct authorities *a, struct kept *k)
{
	list_remove(&k->link);
	a->n--;
	tls_context_unref(k->context);
	free(k->ca);
	free(k);
}

void
authorities_free(struct authorities *a)
{
	if (a == NULL)
		return;
	while (a->n > 0)
		drop(a, list_item(a->kept.next, struct kept, link));
	free(a);
}

static struct stamp
stamp_of(const char *ca)
{
	struct stat st;

	if (ca[0] == '\0' || stat(ca, &st) != 0)
		return (struct stamp){0};
	return (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool
is_same(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct kept *
find(struct authorities *a, const char *ca)
{
	for (struct list *l = a->kept.next; l != &a->kept; l = l->next) {
		struct kept *k = list_item(l, struct kept, link);

		if (strcmp(k->ca, ca) == 0)
			return k;
	}
	return NULL;
}

enum err
authorities_find(
	struct authorities *a, const char *ca, struct tls_context **out, struct error *error)
{
	struct kept *k = find(a, ca);
	struct stamp stamp = stamp_of(ca);
	enum err e;

	if (k != NULL && !is_same(&k->stamp, &stamp)) {
		drop(a, k);
		k = NULL;
	}
	if (k == NULL) {
		struct tls_context *context;

		e = tls_context_open_client(ca, &context, error);
		if (e != OK)
			return e;
		if (a->n == KEPT_MAX)
			drop(a, list_item(a->kept.prev, struct kept, link));
		k = xnew(struct kept);
		*k = (struct kept){.ca = xstrdup(ca), .stamp = stamp, .context = context};
		list_init(&k->link);
		a->n++;
	}
	list_remove(&k->link);
	list_append(a->kept.next, &k->link); /* before the first */
	*out = k->context;
	return OK;
}

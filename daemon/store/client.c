/* Clients of the store: see client.h. */

#include "daemon/store/client.h"

#include <stdlib.h>

#include "common/xalloc.h"

struct store_client *
client_new(struct lobby *lobby, uint64_t id, bool is_control)
{
	struct store_client *c = xnew(struct store_client);

	c->refs = 1;
	c->id = id;
	c->is_control = is_control;
	c->lobby = lobby;
	qlist_init(&c->parked);
	qlist_init(&c->held);
	qlist_init(&c->put_off);
	list_init(&c->waiting);
	list_init(&c->resting);
	return c;
}

struct store_client *
client_ref(struct store_client *c)
{
	c->refs++;
	return c;
}

void
client_unref(struct store_client *c)
{
	if (c != NULL && --c->refs == 0)
		free(c);
}

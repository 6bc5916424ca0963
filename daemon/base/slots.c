/*
 * Small blocks side by side: see slots.h. Their place is reserved once and taken as it
 * is needed; what is freed is used again. The only state outside of a struct, since
 * libevent's allocator has no argument.
 */

#include "daemon/base/slots.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SLOT_SIZE  64
#define PLACE_SIZE (64u << 20) /* of addresses: enough for a million descriptors */

struct slot {
	struct slot *next;
	char rest[SLOT_SIZE - sizeof(struct slot *)];
};

static struct {
	char *place; /* NULL: not there */
	size_t used;
	struct slot *freed;
} slots;

static bool
is_slot(const void *p)
{
	const char *at = p;

	return at >= slots.place && at < slots.place + PLACE_SIZE;
}

void *
slots_alloc(size_t nbytes)
{
	struct slot *s = slots.freed;

	if (nbytes > SLOT_SIZE || (s == NULL && slots.used == PLACE_SIZE))
		return malloc(nbytes);
	if (s != NULL) {
		slots.freed = s->next;
		return s;
	}
	slots.used += SLOT_SIZE;
	return slots.place + slots.used - SLOT_SIZE;
}

void
slots_free(void *p)
{
	struct slot *s = p;

	if (!is_slot(p)) {
		free(p);
		return;
	}
	s->next = slots.freed;
	slots.freed = s;
}

void *
slots_realloc(void *p, size_t nbytes)
{
	void *grown;

	if (p == NULL || !is_slot(p))
		return p == NULL ? slots_alloc(nbytes) : realloc(p, nbytes);
	if (nbytes <= SLOT_SIZE)
		return p;
	grown = malloc(nbytes);
	if (grown != NULL) {
		memcpy(grown, p, SLOT_SIZE);
		slots_free(p);
	}
	return grown;
}

void
slots_use(void)
{
	void *place;

	if (slots.place != NULL)
		return;
	place = mmap(NULL, PLACE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (place == MAP_FAILED)
		return;
	slots.place = place;
	event_set_mem_functions(slots_alloc, slots_realloc, slots_free);
}

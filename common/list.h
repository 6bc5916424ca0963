#pragma once
/*
 * Intrusive lists: a doubly linked ring with a head, for what is unlinked from
 * the middle in O(1). Nothing is allocated. Any thread, one at a time.
 */

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define list_item(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* Walks a list; the current item may be unlinked, no other one may. */
#define list_each(it, tmp, head)                                                                   \
	for ((it) = (head)->next, (tmp) = (it)->next; (it) != (head);                              \
		(it) = (tmp), (tmp) = (it)->next)

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool
list_is_empty(const struct list *head)
{
	return head->next == head;
}

/** True if the link is in some list (it must have been initialised). */
static inline bool
list_is_linked(const struct list *l)
{
	return l->next != l;
}

static inline void
list_append(struct list *head, struct list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

/** Before all others. */
static inline void
list_prepend(struct list *head, struct list *l)
{
	list_append(head->next, l);
}

/** Unlinks; afterwards it is linked nowhere and may be removed again. */
static inline void
list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/** Unlinks and returns the first, or NULL. */
static inline struct list *
list_shift(struct list *head)
{
	struct list *l = head->next;

	if (l == head)
		return NULL;
	list_remove(l);
	return l;
}

/** Moves all of `from` to the end of `to`. */
static inline void
list_splice(struct list *to, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

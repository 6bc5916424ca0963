#pragma once
/*
 * What the allocator may keep: free memory goes back to the kernel. Loop thread.
 */

#include <stddef.h>
#include <stdint.h>

struct heap {
	int64_t looked_ms; /* monotonic: when free memory was last looked at ... */
	size_t kept_bytes; /* ... and how much there was then */
};

/** Sets bounds, before there are threads: large blocks go back with free(). What the environment
 * says of the spare memory counts (mallopt(3)). */
void heap_bound(void);
/** Now and then gives back what is free in the middle of the heap. */
void heap_look(struct heap *h, int64_t now_ms);

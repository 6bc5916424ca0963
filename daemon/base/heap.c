/* What the allocator may keep: see heap.h. */

#include "daemon/base/heap.h"

#include <malloc.h>
#include <stdlib.h>

#define LARGE_BYTES (256 << 10) /* blocks of memory that are mapped */
#define SPARE_BYTES (1 << 20)   /* at the end of a heap, before it is given back */
#define EVERY_MS    5000
#define GROWTH      (2u << 20) /* free bytes more than after the last time */

/* Left alone, the allocator raises its own bounds with the first large block, and from then on
 * keeps tens of megabytes. */
void
heap_bound(void)
{
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	if (getenv("MALLOC_TRIM_THRESHOLD_") == NULL)
		mallopt(M_TRIM_THRESHOLD, SPARE_BYTES);
}

/* One small block at the end of the heap, allocated during a flood, would keep all below it. */
void
heap_look(struct heap *h, int64_t now_ms)
{
	size_t bytes;

	if (now_ms - h->looked_ms < EVERY_MS)
		return;
	h->looked_ms = now_ms;
	bytes = mallinfo2().fordblks;
	if (bytes > h->kept_bytes + GROWTH) {
		malloc_trim(0);
		h->kept_bytes = mallinfo2().fordblks;
	} else if (bytes < h->kept_bytes) {
		h->kept_bytes = bytes;
	}
}

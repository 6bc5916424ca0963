#pragma once
/*
 * SQLite's default file system with faults: calls on the database or its log
 * fail on demand. It also watches the checkpointer's passes: whether one began
 * on a log that was wholly copied already. Any thread.
 */

#include "tests/unit/disk.h"

enum fault_call { FAULT_READ, FAULT_WRITE, FAULT_SYNC };

/** Makes it the default for connections that are opened from now on. */
void fault_install(void);

/** After `skip` more calls of this kind on that file, the next n fail with rc. */
void fault_arm(enum fault_call call, enum fault_file file, unsigned skip, unsigned n, int rc);
void fault_disarm(void);
/** How many calls have failed since fault_arm(). */
unsigned fault_hits(void);

/** Passes of the thread "checkpointer" so far, and those that began on a wholly copied log. */
unsigned fault_passes(void);
unsigned fault_passes_on_copied_log(void);

#pragma once
/*
 * The folder of backups, and folders at all: how backups are called, which is the
 * newest, which have to go. Names hold the time, in UTC, so that their order is that of the
 * backups. Files with other names are nobody's business here. Pure but for the file system; any
 * thread.
 */

#include <stdint.h>

#include "common/err.h"

/** The folder that a path is in, to be freed. */
char *folder_of(const char *path);
/** Brings what was made, renamed or removed in the folder of a path to the disk. */
enum err folder_sync(const char *path, struct error *error);

#define FOLDER_STAMP_SIZE 21
/** Writes a time as names hold it: "20261128T231530.123Z". */
void folder_stamp(int64_t ms, char out[FOLDER_STAMP_SIZE]);
/** A backup's path: "FOLDER/sysrt-20261128T231530.123Z.db", to be freed. */
char *folder_path(const char *folder, int64_t ms);
/** When the newest was made; INT64_MIN: there is none, or no folder. */
int64_t folder_newest(const char *folder);
/** Removes the oldest ones until `keep` are left, but never `just_made` (a path), and what was left
 * unfinished. Returns how many backups went. */
unsigned folder_trim(const char *folder, int64_t keep, const char *just_made);

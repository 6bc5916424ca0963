#pragma once
/*
 * Where the vault's key is read from: the systemd credential sysrt.key, else the file
 * vault.key_file. Either holds 32 bytes, or 64 hexadecimal digits for them.
 */

#include "common/err.h"
#include "common/secret.h"

/** OK with *key NULL: there is none in either place. *source: which it was, a constant text.
 * ERR_CONFIG_ERROR says why it is not taken and what to do. key_file "": none. */
enum err keysource_read(
	const char *key_file, struct secret **key, const char **source, struct error *error);

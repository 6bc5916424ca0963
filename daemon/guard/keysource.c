/* Where the vault's key is read from: see keysource.h. */

#include "daemon/guard/keysource.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/guard/vaulthead.h"

#define CREDENTIAL "sysrt.key"
#define FILE_MAX   160 /* of hexadecimal digits there are 64 */
#define OTHERS     (S_IRWXG | S_IRWXO)

/** A key that others could have read is none. */
static enum err
check_owner(int fd, const char *path, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return error_set_errno(error, ERR_CONFIG_ERROR, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(error, ERR_CONFIG_ERROR, "%s is no file", path);
	if ((st.st_mode & OTHERS) != 0)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s has the mode %04o, others may use it: chmod 0400 it", path,
			(unsigned)st.st_mode & 07777);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return error_set(error, ERR_CONFIG_ERROR,
			"%s belongs to uid %u: chown it to root, or to the daemon's user (uid %u)",
			path, (unsigned)st.st_uid, (unsigned)geteuid());
	return OK;
}

/** The bytes are 32, or digits for 32. */
static struct secret *
parse(struct secret *text)
{
	struct span digits = secret_span(text);
	struct secret *key;

	if (text->n == VAULT_KEY_BYTES)
		return secret_copy(digits);
	while (digits.n > 0 && (digits.p[digits.n - 1] == '\n' || digits.p[digits.n - 1] == '\r'))
		digits.n--;
	key = digits.n == 2 * (size_t)VAULT_KEY_BYTES ? secret_from_hex(digits) : NULL;
	return key;
}

static enum err
read_key(int fd, const char *path, struct secret **out, struct error *error)
{
	struct secret *text = secret_new(FILE_MAX);
	size_t n = 0;
	ssize_t got;

	do {
		got = read(fd, text->bytes + n, FILE_MAX - n);
		n += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && n < FILE_MAX) || (got < 0 && errno == EINTR));
	text->n = n;
	*out = got < 0 ? NULL : parse(text);
	secret_free(text);
	if (got < 0)
		return error_set_errno(error, ERR_CONFIG_ERROR, errno, "reading %s", path);
	return *out != NULL
		       ? OK
		       : error_set(error, ERR_CONFIG_ERROR,
				 "%s holds no key: that is %d bytes, or %d hexadecimal digits, "
				 "such as `openssl rand -hex %d` makes",
				 path, VAULT_KEY_BYTES, 2 * VAULT_KEY_BYTES, VAULT_KEY_BYTES);
}

/** is_there: false when there is no such file, which is then no failure. */
static enum err
read_file(const char *path, bool is_ours, bool *is_there, struct secret **out, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	enum err e = OK;

	*is_there = fd >= 0 || errno != ENOENT;
	if (fd < 0)
		return *is_there
			       ? error_set_errno(error, ERR_CONFIG_ERROR, errno, "opening %s", path)
			       : OK;
	if (!is_ours)
		e = check_owner(fd, path, error);
	if (e == OK)
		e = read_key(fd, path, out, error);
	close(fd);
	return e;
}

/** The service manager sees to who may read it. */
static enum err
read_credential(bool *is_there, struct secret **key, struct error *error)
{
	const char *folder = getenv("CREDENTIALS_DIRECTORY");
	char *path;
	enum err e;

	*is_there = false;
	if (folder == NULL || folder[0] == '\0')
		return OK;
	path = xasprintf("%s/" CREDENTIAL, folder);
	e = read_file(path, true, is_there, key, error);
	free(path);
	return e;
}

enum err
keysource_read(const char *key_file, struct secret **key, const char **source, struct error *error)
{
	bool is_there;
	enum err e = read_credential(&is_there, key, error);

	*source = "credential";
	if (e != OK || is_there)
		return e;
	*key = NULL;
	*source = "key_file";
	if (key_file[0] == '\0')
		return OK;
	e = read_file(key_file, false, &is_there, key, error);
	if (e == OK && !is_there)
		e = error_set(error, ERR_CONFIG_ERROR,
			"there is no file %s: make it with `umask 077; openssl rand -hex %d`",
			key_file, VAULT_KEY_BYTES);
	if (e != OK)
		error_wrap(error, "vault.key_file");
	return e;
}

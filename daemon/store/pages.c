/* The pages of a database file: see pages.h. */

#include "daemon/store/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"

#define HEADER_BYTES 100
#define SIZE_DEFAULT 4096
#define SIZE_MIN     512
#define SIZE_MAX_    65536
#define PAGES_MAX    (UINT32_C(1) << 30)

/* The log's format is documented and fixed. */
#define LOG_MAGIC        0x377f0682u /* and, with the numbers of the sums big-endian, one more */
#define LOG_HEAD_BYTES   32
#define FRAME_HEAD_BYTES 24

uint32_t
pages_get16(const unsigned char *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

uint32_t
pages_get32(const unsigned char *at)
{
	return pages_get16(at) << 16 | pages_get16(at + 2);
}

/** Reads as much as there is; false if that is not all, and the rest is zero. */
static bool
read_at(int fd, void *out, size_t n, int64_t at)
{
	ssize_t got = pread(fd, out, n, at);

	if (got < 0)
		got = 0;
	memset((char *)out + got, 0, n - (size_t)got);
	return (size_t)got == n;
}

static bool
is_page_size(uint32_t n)
{
	return n >= SIZE_MIN && n <= SIZE_MAX_ && (n & (n - 1)) == 0;
}

/** From the file's head, where that can be; stores are made with what SQLite takes by itself. */
static void
find_size(struct pages *p)
{
	unsigned char head[HEADER_BYTES];
	uint32_t size;

	read_at(p->fd, head, sizeof(head), 0);
	size = pages_get16(head + 16);
	size = size == 1 ? SIZE_MAX_ : size;
	p->size = is_page_size(size) ? size : SIZE_DEFAULT;
}

/** The log's running sum over n bytes, a multiple of 8. */
static void
add_sum(uint32_t sum[2], const unsigned char *at, size_t n, bool is_big)
{
	for (size_t i = 0; i < n; i += 8) {
		uint32_t a = pages_get32(at + i), b = pages_get32(at + i + 4);

		sum[0] += (is_big ? a : __builtin_bswap32(a)) + sum[1];
		sum[1] += (is_big ? b : __builtin_bswap32(b)) + sum[0];
	}
}

/** What is under way while the log is read. */
struct log_scan {
	unsigned char head[LOG_HEAD_BYTES];
	unsigned char *frame; /* head and page */
	uint32_t sum[2];
	bool is_big;
	uint32_t *pages; /* of the frames so far, one a frame */
	uint32_t n;
	uint32_t committed_n; /* frames */
	uint32_t file_n;      /* pages, at the last commit */
};

static int64_t
frame_at(const struct pages *p, uint32_t i)
{
	return LOG_HEAD_BYTES + (int64_t)i * (FRAME_HEAD_BYTES + p->size);
}

/** True while the next frame is a whole one of this log. */
static bool
scan_frame(const struct pages *p, struct log_scan *s)
{
	const unsigned char *f = s->frame;
	uint32_t page;

	if (s->n == UINT32_MAX / 2 ||
		!read_at(p->log_fd, s->frame, FRAME_HEAD_BYTES + p->size, frame_at(p, s->n)))
		return false;
	page = pages_get32(f);
	add_sum(s->sum, f, 8, s->is_big);
	add_sum(s->sum, f + FRAME_HEAD_BYTES, p->size, s->is_big);
	if (page == 0 || page > PAGES_MAX || memcmp(f + 8, s->head + 16, 8) != 0 ||
		pages_get32(f + 16) != s->sum[0] || pages_get32(f + 20) != s->sum[1])
		return false;
	if ((s->n & (s->n + 1)) == 0)
		s->pages = xrealloc(s->pages, 2 * ((size_t)s->n + 1), sizeof(*s->pages));
	s->pages[s->n++] = page;
	if (pages_get32(f + 4) != 0) {
		s->committed_n = s->n;
		s->file_n = pages_get32(f + 4);
	}
	return true;
}

/** True if the log begins as one of this file does. */
static bool
scan_head(struct pages *p, struct log_scan *s)
{
	uint32_t magic;

	if (!read_at(p->log_fd, s->head, sizeof(s->head), 0))
		return false;
	magic = pages_get32(s->head);
	s->is_big = magic & 1;
	if ((magic | 1) != (LOG_MAGIC | 1) || !is_page_size(pages_get32(s->head + 8)))
		return false;
	p->size = pages_get32(s->head + 8);
	add_sum(s->sum, s->head, 24, s->is_big);
	return pages_get32(s->head + 24) == s->sum[0] && pages_get32(s->head + 28) == s->sum[1];
}

static void
note_frames(struct pages *p, const struct log_scan *s)
{
	for (uint32_t i = 0; i < s->committed_n; i++)
		if (s->pages[i] <= p->n)
			p->frames[s->pages[i]] = i + 1;
}

static enum err
count_pages(struct pages *p, const struct log_scan *s, struct error *error)
{
	struct stat st;
	int64_t n;

	if (fstat(p->fd, &st) != 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "looking at the file");
	n = (st.st_size + p->size - 1) / p->size;
	if (s->committed_n > 0) /* but no more than there can be */
		n = s->file_n < n + s->committed_n ? s->file_n : n + s->committed_n;
	if (n > PAGES_MAX)
		return error_set(error, ERR_DATABASE_ERROR, "the file is too large");
	p->n = (uint32_t)n;
	p->frames = xcalloc((size_t)p->n + 1, sizeof(*p->frames));
	return OK;
}

enum err
pages_init(struct pages *p, int fd, int log_fd, struct error *error)
{
	struct log_scan s = {.n = 0};
	enum err e;

	*p = (struct pages){.fd = fd, .log_fd = log_fd};
	find_size(p);
	if (log_fd >= 0 && scan_head(p, &s)) {
		s.frame = xcalloc(1, FRAME_HEAD_BYTES + p->size);
		while (scan_frame(p, &s))
			continue;
	}
	p->usable = p->size; /* a store has nothing else on its pages, whatever its head says */
	e = count_pages(p, &s, error);
	if (e == OK)
		note_frames(p, &s);
	else
		pages_close(p);
	free(s.frame);
	free(s.pages);
	return e;
}

enum err
pages_open(struct pages *p, const char *path, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum err e = OK;
	char *log;
	int log_fd;

	if (fd < 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "opening %s", path);
	log = xasprintf("%s-wal", path);
	log_fd = open(log, O_RDONLY | O_CLOEXEC);
	if (log_fd < 0 && errno != ENOENT) /* without it the newest would be lost unnoticed */
		e = error_set_errno(error, ERR_IO_ERROR, errno, "opening %s", log);
	free(log);
	if (e == OK)
		return pages_init(p, fd, log_fd, error);
	close(fd);
	return e;
}

void
pages_close(struct pages *p)
{
	close(p->fd);
	if (p->log_fd >= 0)
		close(p->log_fd);
	free(p->frames);
	*p = (struct pages){.fd = -1, .log_fd = -1};
}

bool
pages_read(const struct pages *p, uint32_t page, unsigned char *out)
{
	if (page == 0 || page > p->n) {
		memset(out, 0, p->size);
		return false;
	}
	if (p->frames[page] > 0)
		return read_at(p->log_fd, out, p->size,
			frame_at(p, p->frames[page] - 1) + FRAME_HEAD_BYTES);
	return read_at(p->fd, out, p->size, (int64_t)(page - 1) * p->size);
}

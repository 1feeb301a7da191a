/*
 * Preloaded into the server: writes down what it does to the files below one folder, in the order in which it does it,
 * so that a test can tell what would be left after a power cut at the end of the journal.
 *
 * CAIRN_TORTURE_FOLDER   the folder, an absolute path without symbolic links
 * CAIRN_TORTURE_JOURNAL  where the journal goes, outside the folder
 * CAIRN_TORTURE_SYNC_MS  how long a sync takes at least, as on a slow disk: many share it, and most power cuts fall into one
 * CAIRN_TORTURE_BOOT_ID  a file that is shown in place of the machine's boot id: after a power cut it is another one
 *
 * A record is its kind, two numbers, the lengths of a path and of data (five words of 64 bits), and these two:
 *   C  a file was made: inode; path       D  a folder was made: inode; path
 *   O  a file or folder was opened that was there: inode; path
 *   W  written: inode, offset; data       T  cut or lengthened: inode, length
 *   R  renamed: path; the new path        L  linked: path; the other path
 *   U  removed: path
 *   B  a sync began: inode, its number    E  it ended: inode, its number
 * A sync covers what was written down before it began. It counts once it has ended.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *folder, *boot_id;
static size_t folder_length;
static int journal = -1;
static uint64_t syncs;
static unsigned int sync_ms;

#define INODES_MAX 65536
static ino_t known[INODES_MAX]; /* an open table of the inodes below the folder */

static int (*real_openat)(int, const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_linkat)(int, const char *, int, const char *, int);
static int (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);

static void begin(void)
{
	real_openat = dlsym(RTLD_NEXT, "openat");
	real_write = dlsym(RTLD_NEXT, "write");
	real_pwrite = dlsym(RTLD_NEXT, "pwrite");
	real_writev = dlsym(RTLD_NEXT, "writev");
	real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
	real_fsync = dlsym(RTLD_NEXT, "fsync");
	real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	real_rename = dlsym(RTLD_NEXT, "rename");
	real_linkat = dlsym(RTLD_NEXT, "linkat");
	real_unlink = dlsym(RTLD_NEXT, "unlink");
	real_mkdir = dlsym(RTLD_NEXT, "mkdir");
	folder = getenv("CAIRN_TORTURE_FOLDER");
	boot_id = getenv("CAIRN_TORTURE_BOOT_ID");
	const char *path = getenv("CAIRN_TORTURE_JOURNAL");
	if (folder == NULL || path == NULL)
		return;
	folder_length = strlen(folder);
	const char *ms = getenv("CAIRN_TORTURE_SYNC_MS");
	sync_ms = ms == NULL ? 0 : (unsigned int)strtoul(ms, NULL, 10);
	journal = real_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (journal < 0)
		abort();
}

static void ready(void)
{
	pthread_once(&once, begin);
}

static void record(char kind, uint64_t a, uint64_t b, const char *path, const void *data, size_t length)
{
	size_t path_length = path == NULL ? 0 : strlen(path);
	uint64_t head[5] = { (uint64_t)kind, a, b, path_length, length };
	struct iovec parts[3] = {
		{ head, sizeof head }, { (void *)path, path_length }, { (void *)data, length },
	};
	ssize_t wanted = (ssize_t)(sizeof head + path_length + length);
	if (real_writev(journal, parts, 3) != wanted)
		abort();
}

static int below(const char *path)
{
	return journal >= 0 && strncmp(path, folder, folder_length) == 0 &&
	       (path[folder_length] == '/' || path[folder_length] == 0);
}

/* Absolute paths are as they are; others begin in the folder where the process began, which is no test's. */
static int ours(const char *path)
{
	return journal >= 0 && path[0] == '/' && below(path);
}

static size_t slot(ino_t inode)
{
	size_t at = (size_t)inode * 11400714819323198485u % INODES_MAX;
	while (known[at] != 0 && known[at] != inode)
		at = (at + 1) % INODES_MAX;
	return at;
}

/* The inode of a descriptor of ours, or 0. The lock is held. */
static ino_t inode_of(int fd)
{
	struct stat found;
	if (journal < 0 || fd == journal || fstat(fd, &found) != 0)
		return 0;
	if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode))
		return 0;
	return known[slot(found.st_ino)];
}

static int open_at(int at, const char *path, int flags, mode_t mode)
{
	ready();
	if (boot_id != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		path = boot_id;
	if (!ours(path))
		return real_openat(at, path, flags, mode);
	pthread_mutex_lock(&lock);
	struct stat found;
	int there = stat(path, &found) == 0;
	int fd = real_openat(at, path, flags, mode);
	int error = errno;
	if (fd >= 0 && fstat(fd, &found) == 0) {
		known[slot(found.st_ino)] = found.st_ino;
		record(there ? 'O' : 'C', found.st_ino, 0, path, NULL, 0);
		if (there && (flags & O_TRUNC) != 0 && (flags & O_ACCMODE) != O_RDONLY)
			record('T', found.st_ino, 0, NULL, NULL, 0);
	}
	pthread_mutex_unlock(&lock);
	errno = error;
	return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
	return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                \
	int name(const char *path, int flags, ...)                \
	{                                                         \
		va_list arguments;                                \
		va_start(arguments, flags);                       \
		mode_t mode = mode_of(flags, arguments);          \
		va_end(arguments);                                \
		return open_at(AT_FDCWD, path, flags, mode);      \
	}
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                              \
	int name(int at, const char *path, int flags, ...)        \
	{                                                         \
		va_list arguments;                                \
		va_start(arguments, flags);                       \
		mode_t mode = mode_of(flags, arguments);          \
		va_end(arguments);                                \
		return open_at(at, path, flags, mode);            \
	}
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t length)
{
	ready();
	struct stat found;
	if (journal < 0 || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))
		return real_write(fd, data, length);
	pthread_mutex_lock(&lock);
	ino_t inode = inode_of(fd);
	off_t at = 0;
	if (inode != 0) {
		fstat(fd, &found);
		at = (fcntl(fd, F_GETFL) & O_APPEND) != 0 ? found.st_size : lseek(fd, 0, SEEK_CUR);
	}
	ssize_t written = real_write(fd, data, length);
	int error = errno;
	if (inode != 0 && written > 0)
		record('W', inode, (uint64_t)at, NULL, data, (size_t)written);
	pthread_mutex_unlock(&lock);
	errno = error;
	return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	ready();
	struct stat found;
	if (journal < 0 || fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))
		return real_writev(fd, parts, count);
	pthread_mutex_lock(&lock);
	int is_ours = inode_of(fd) != 0;
	pthread_mutex_unlock(&lock);
	if (!is_ours)
		return real_writev(fd, parts, count);
	/* A short write is allowed: the caller goes on with the rest. */
	for (int part = 0; part < count; part++)
		if (parts[part].iov_len > 0)
			return write(fd, parts[part].iov_base, parts[part].iov_len);
	return 0;
}

static ssize_t write_at(int fd, const void *data, size_t length, off_t offset)
{
	ready();
	pthread_mutex_lock(&lock);
	ino_t inode = inode_of(fd);
	ssize_t written = real_pwrite(fd, data, length, offset);
	int error = errno;
	if (inode != 0 && written > 0)
		record('W', inode, (uint64_t)offset, NULL, data, (size_t)written);
	pthread_mutex_unlock(&lock);
	errno = error;
	return written;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
	return write_at(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
	return write_at(fd, data, length, offset);
}

static int truncate_to(int fd, off_t length)
{
	ready();
	pthread_mutex_lock(&lock);
	ino_t inode = inode_of(fd);
	int answer = real_ftruncate(fd, length);
	int error = errno;
	if (inode != 0 && answer == 0)
		record('T', inode, (uint64_t)length, NULL, NULL, 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	return answer;
}

int ftruncate(int fd, off_t length)
{
	return truncate_to(fd, length);
}

int ftruncate64(int fd, off64_t length)
{
	return truncate_to(fd, length);
}

static int sync_file(int fd, int (*real)(int))
{
	pthread_mutex_lock(&lock);
	ino_t inode = inode_of(fd);
	uint64_t number = ++syncs;
	if (inode != 0)
		record('B', inode, number, NULL, NULL, 0);
	pthread_mutex_unlock(&lock);
	if (inode != 0)
		usleep(sync_ms * 1000);
	int answer = real(fd);
	int error = errno;
	if (inode != 0 && answer == 0) {
		pthread_mutex_lock(&lock);
		record('E', inode, number, NULL, NULL, 0);
		pthread_mutex_unlock(&lock);
	}
	errno = error;
	return answer;
}

int fsync(int fd)
{
	ready();
	return sync_file(fd, real_fsync);
}

int fdatasync(int fd)
{
	ready();
	return sync_file(fd, real_fdatasync);
}

int rename(const char *from, const char *to)
{
	ready();
	if (!ours(from) && !ours(to))
		return real_rename(from, to);
	pthread_mutex_lock(&lock);
	int answer = real_rename(from, to);
	int error = errno;
	if (answer == 0)
		record('R', 0, 0, from, to, strlen(to));
	pthread_mutex_unlock(&lock);
	errno = error;
	return answer;
}

int linkat(int from_at, const char *from, int to_at, const char *to, int flags)
{
	ready();
	if (!ours(from) && !ours(to))
		return real_linkat(from_at, from, to_at, to, flags);
	pthread_mutex_lock(&lock);
	int answer = real_linkat(from_at, from, to_at, to, flags);
	int error = errno;
	if (answer == 0)
		record('L', 0, 0, from, to, strlen(to));
	pthread_mutex_unlock(&lock);
	errno = error;
	return answer;
}

int link(const char *from, const char *to)
{
	return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
	ready();
	if (!ours(path))
		return real_unlink(path);
	pthread_mutex_lock(&lock);
	int answer = real_unlink(path);
	int error = errno;
	if (answer == 0)
		record('U', 0, 0, path, NULL, 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	return answer;
}

int mkdir(const char *path, mode_t mode)
{
	ready();
	if (!ours(path))
		return real_mkdir(path, mode);
	pthread_mutex_lock(&lock);
	int answer = real_mkdir(path, mode);
	int error = errno;
	struct stat found;
	if (answer == 0 && stat(path, &found) == 0)
		record('D', found.st_ino, 0, path, NULL, 0);
	pthread_mutex_unlock(&lock);
	errno = error;
	return answer;
}

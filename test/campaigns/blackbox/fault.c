// A library to preload into a program. Makes one chosen system call fail, or kills the program at it. scripts/attack.sh
// chooses it by environment variables:
//
//   FAULT_CALL   the name of the call
//   FAULT_AT     the number of the call among those of that name, counted from 1
//   FAULT_ERROR  the errno to fail with; 0: SIGKILL before the call; -1: transfer half of the bytes
//   FAULT_LASTS  if set, all later calls of that name fail too
//   FAULT_LOG    a file to create when the fault happens
//
// Counts only calls that the program itself makes, not those of the loader and the C library. SIGALRM ends a program that
// still runs after 20 seconds.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static const char* chosen;
static const char* log_path;
static long at;
static int error;
static int lasts;
static atomic_long count;

__attribute__((constructor)) static void prepare(void) {
    alarm(20);
    if (getenv("FAULT_CALL") == NULL) return;
    at = atol(getenv("FAULT_AT"));
    error = atoi(getenv("FAULT_ERROR"));
    lasts = getenv("FAULT_LASTS") != NULL;
    log_path = getenv("FAULT_LOG");
    chosen = getenv("FAULT_CALL");
}

// Counts a call. Returns whether it must fail, with errno set, or kills the program.
static int hit(const char* name) {
    if (chosen == NULL || strcmp(chosen, name) != 0) return 0;
    const long now = atomic_fetch_add(&count, 1) + 1;
    if (now != at && !(lasts && now > at)) return 0;
    if (now == at)  // raw system calls, which are not counted
        syscall(SYS_close, (int)syscall(SYS_openat, AT_FDCWD, log_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
    if (error == 0) syscall(SYS_kill, getpid(), SIGKILL);
    errno = error;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// A call that returns -1 when it fails.
#define FAILING(type, name, parameters, arguments) \
    type name parameters {                         \
        if (hit(#name)) return -1;                 \
        return REAL(name) arguments;               \
    }
// A call that transfers bytes. Half of them is at least one. Writes to stderr never fail: the attack reads the errors.
#define MOVING(name, parameters, whole, half)                              \
    ssize_t name parameters {                                              \
        if (file == STDERR_FILENO || !hit(#name)) return REAL(name) whole; \
        if (error == -1) return REAL(name) half;                           \
        return -1;                                                         \
    }

MOVING(read, (int file, void* into, size_t size), (file, into, size), (file, into, (size + 1) / 2))
MOVING(write, (int file, const void* data, size_t size), (file, data, size), (file, data, (size + 1) / 2))
MOVING(pread, (int file, void* into, size_t size, off_t offset), (file, into, size, offset),
       (file, into, (size + 1) / 2, offset))
MOVING(pwrite, (int file, const void* data, size_t size, off_t offset), (file, data, size, offset),
       (file, data, (size + 1) / 2, offset))

FAILING(int, close, (int file), (file))
FAILING(int, fsync, (int file), (file))
FAILING(int, fdatasync, (int file), (file))
FAILING(int, ftruncate, (int file, off_t size), (file, size))
FAILING(int, flock, (int file, int operation), (file, operation))
FAILING(int, rename, (const char* from, const char* to), (from, to))
FAILING(int, link, (const char* from, const char* to), (from, to))
FAILING(int, unlink, (const char* path), (path))
FAILING(int, mkdir, (const char* path, mode_t mode), (path, mode))
FAILING(int, chmod, (const char* path, mode_t mode), (path, mode))
FAILING(int, lchown, (const char* path, uid_t user, gid_t group), (path, user, group))
FAILING(int, fstat, (int file, struct stat* about), (file, about))
FAILING(int, stat, (const char* path, struct stat* about), (path, about))
FAILING(int, lstat, (const char* path, struct stat* about), (path, about))
FAILING(ssize_t, readlink, (const char* path, char* to, size_t size), (path, to, size))
FAILING(int, poll, (struct pollfd * files, nfds_t number, int timeout), (files, number, timeout))
FAILING(int, sync_file_range, (int file, off64_t offset, off64_t size, unsigned flags), (file, offset, size, flags))

FAILING(int, madvise, (void* where, size_t size, int advice), (where, size, advice))

// Returns the error instead of setting errno.
int posix_fallocate(int file, off_t offset, off_t size) {
    if (hit("posix_fallocate")) return error;
    return REAL(posix_fallocate)(file, offset, size);
}

void* mmap(void* where, size_t size, int protection, int flags, int file, off_t offset) {
    if (hit("mmap")) return MAP_FAILED;
    return REAL(mmap)(where, size, protection, flags, file, offset);
}

DIR* fdopendir(int file) {
    if (hit("fdopendir")) return NULL;
    return REAL(fdopendir)(file);
}
struct dirent* readdir(DIR* directory) {
    if (hit("readdir")) return NULL;
    return REAL(readdir)(directory);
}

int open(const char* path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (hit("open")) return -1;
    return REAL(open)(path, flags, mode);
}

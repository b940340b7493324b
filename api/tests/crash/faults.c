/* Faults at the system calls of one process, by LD_PRELOAD: the Nth sync or write on files below
 * a directory fails, is torn, kills the process or cuts the power; the clock jumps.
 *
 *   DUCAT_FAULT_DIR     only files below it count
 *   DUCAT_FAULT         CLASS:N:ACTION; CLASS is sync, write or name, ACTION is EIO, ENOSPC, LATE
 *                       (ENOSPC after a while, in which others begin to wait for the call), TORN
 *                       (half is written, then EIO), KILL, CUT or HANG (until the board says
 *                       otherwise: FIRED is set to 2)
 *   DUCAT_FAULT_MOUNT   the filesystem that CUT shuts down
 *   DUCAT_FAULT_BOARD   a file of eight 64-bit numbers, shared with the test: see `enum board`
 *
 * Calls are counted over all threads in the order of their arrival. Everything goes straight to
 * the kernel: nothing here calls what it stands in for. `faults.rs` builds and drives it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum class { SYNC, WRITE, NAME, CLASSES };

/* What the test reads; CLOCK is what it writes. */
enum board { CALLS = 0 /* by class */, FIRED = 3, LATER = 4 /* by class, after the fault */, CLOCK = 7 };

static const char *const CLASS_NAMES[CLASSES] = {"sync", "write", "name"};

static char directory[PATH_MAX];
static size_t directory_length;
static char mount_point[PATH_MAX];
static enum class fault_class = CLASSES;
static uint64_t fault_number;
static char action[16];
static _Atomic int64_t alone[8];
static _Atomic int64_t *board = alone;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("DUCAT_FAULT_DIR");
    if (text) {
        snprintf(directory, sizeof directory, "%s", text);
        directory_length = strlen(directory);
    }
    text = getenv("DUCAT_FAULT_MOUNT");
    if (text)
        snprintf(mount_point, sizeof mount_point, "%s", text);
    text = getenv("DUCAT_FAULT");
    char name[16];
    if (text && sscanf(text, "%15[^:]:%lu:%15s", name, &fault_number, action) == 3)
        for (int class = 0; class < CLASSES; class++)
            if (strcmp(name, CLASS_NAMES[class]) == 0)
                fault_class = class;
    text = getenv("DUCAT_FAULT_BOARD");
    if (text) {
        int fd = syscall(SYS_openat, AT_FDCWD, text, O_RDWR | O_CLOEXEC, 0);
        void *at = mmap(NULL, sizeof alone, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || at == MAP_FAILED) {
            dprintf(2, "faults: no board at %s\n", text);
            _exit(99);
        }
        board = at;
        syscall(SYS_close, fd);
    }
}

static int is_below(const char *path) {
    return directory_length > 0 && strncmp(path, directory, directory_length) == 0 &&
           (path[directory_length] == '/' || path[directory_length] == '\0');
}

static int is_ours(int fd) {
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return is_below(path);
}

/* Counts a call. Returns 0 to let it through, or the error it fails with. */
static int meet(enum class class) {
    if (board[FIRED])
        board[LATER + class]++;
    if ((uint64_t)++board[CALLS + class] != fault_number || class != fault_class)
        return 0;
    int is_late = strcmp(action, "LATE") == 0;
    if (is_late) {
        /* What others write meanwhile they write before the fault. */
        struct timespec pause = {0, 300000000};
        syscall(SYS_nanosleep, &pause, NULL);
    }
    board[FIRED] = 1;
    if (is_late || strcmp(action, "ENOSPC") == 0)
        return ENOSPC;
    if (strcmp(action, "KILL") == 0) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;)
            pause();
    }
    if (strcmp(action, "HANG") == 0) {
        while (board[FIRED] == 1) {
            struct timespec pause = {0, 1000000};
            syscall(SYS_nanosleep, &pause, NULL);
        }
        return 0;
    }
    if (strcmp(action, "CUT") == 0) {
        uint32_t without_flush = 2;
        int fd = syscall(SYS_openat, AT_FDCWD, mount_point, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, 0x8004587d, &without_flush) != 0)
            dprintf(2, "faults: the power stays: %s\n", strerror(errno));
        syscall(SYS_close, fd);
        return 0;
    }
    return EIO;
}

#define FAIL_OR(class, fd, call)                                                                   \
    do {                                                                                           \
        int error = is_ours(fd) ? meet(class) : 0;                                                 \
        if (error) {                                                                               \
            errno = error;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        return call;                                                                               \
    } while (0)

int fsync(int fd) { FAIL_OR(SYNC, fd, syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { FAIL_OR(SYNC, fd, syscall(SYS_fdatasync, fd)); }
int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
    FAIL_OR(SYNC, fd, syscall(SYS_sync_file_range, fd, offset, bytes, flags));
}

static int is_torn(void) { return strcmp(action, "TORN") == 0; }

ssize_t write(int fd, const void *bytes, size_t count) {
    int error = is_ours(fd) ? meet(WRITE) : 0;
    if (!error)
        return syscall(SYS_write, fd, bytes, count);
    if (is_torn())
        syscall(SYS_write, fd, bytes, count / 2);
    errno = error;
    return -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    int error = is_ours(fd) ? meet(WRITE) : 0;
    if (!error)
        return syscall(SYS_pwrite64, fd, bytes, count, offset);
    if (is_torn())
        syscall(SYS_pwrite64, fd, bytes, count / 2, offset);
    errno = error;
    return -1;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    FAIL_OR(WRITE, fd, syscall(SYS_writev, fd, parts, count));
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    FAIL_OR(WRITE, fd, syscall(SYS_pwritev, fd, parts, count, offset, 0));
}

#define FAIL_NAME_OR(path, call)                                                                   \
    do {                                                                                           \
        int error = is_below(path) ? meet(NAME) : 0;                                               \
        if (error) {                                                                               \
            errno = error;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        return call;                                                                               \
    } while (0)

int ftruncate64(int fd, off64_t length) {
    FAIL_OR(NAME, fd, syscall(SYS_ftruncate, fd, length));
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int rename(const char *from, const char *to) { FAIL_NAME_OR(to, syscall(SYS_rename, from, to)); }
int mkdir(const char *path, mode_t mode) { FAIL_NAME_OR(path, syscall(SYS_mkdir, path, mode)); }

int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
        /* A file that is there is opened, not made. */
        if ((flags & O_CREAT) && syscall(SYS_access, path, F_OK) != 0)
            FAIL_NAME_OR(path, syscall(SYS_openat, AT_FDCWD, path, flags, mode));
    }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += board[CLOCK];
    return done;
}

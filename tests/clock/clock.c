/*
 * Clocks that a test can set, for one program: loaded into it with LD_PRELOAD. The real clock is not touched.
 *
 * The environment variable CLOCK_SHIM names a file of two 64 bit integers: nanoseconds that are added to what
 * CLOCK_REALTIME says, and to what CLOCK_MONOTONIC says. The file is mapped, so what a test writes counts at once.
 *
 * Waits that end at a moment of one of these clocks are given to the kernel in the kernel's own time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { REALTIME, MONOTONIC, CLOCKS };

static const volatile int64_t *offsets;

__attribute__((constructor)) static void map_offsets(void)
{
    const char *path = getenv("CLOCK_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = file < 0 ? MAP_FAILED : mmap(NULL, CLOCKS * sizeof *offsets, PROT_READ, MAP_SHARED, file, 0);

    if (map == MAP_FAILED) {
        perror("clock shim: CLOCK_SHIM");
        abort();
    }
    close(file);
    offsets = map;
}

static int64_t offset_of(clockid_t clock)
{
    if (offsets == NULL) /* another library's constructor asks what time it is */
        return 0;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE: return offsets[REALTIME];
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME: return offsets[MONOTONIC];
    default: return 0;
    }
}

static struct timespec shifted(struct timespec moment, int64_t by)
{
    int64_t nanoseconds = (int64_t)moment.tv_sec * 1000000000 + moment.tv_nsec + by;

    if (nanoseconds < 0)
        nanoseconds = 0;
    return (struct timespec){.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
}

int clock_gettime(clockid_t clock, struct timespec *result)
{
    int failed = (int)syscall(SYS_clock_gettime, clock, result);

    if (failed == 0)
        *result = shifted(*result, offset_of(clock));
    return failed;
}

int gettimeofday(struct timeval *restrict result, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    *result = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    if (result != NULL)
        *result = now.tv_sec;
    return now.tv_sec;
}

/* NEXT(f): the function of this name that the program would have called without us. */
#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    struct timespec real = shifted(*until, -offset_of(clock));

    return NEXT(sem_clockwait)(semaphore, clock, &real);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    struct timespec real = shifted(*until, -offset_of(CLOCK_REALTIME));

    return NEXT(sem_timedwait)(semaphore, &real);
}

/* Python makes its conditions for CLOCK_MONOTONIC, and there is no asking a condition for its clock. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec real = shifted(*until, -offset_of(CLOCK_MONOTONIC));

    return NEXT(pthread_cond_timedwait)(condition, mutex, &real);
}

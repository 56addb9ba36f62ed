#define _GNU_SOURCE
#include "call.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct nvmlDevice_st handles[MAX_GPUS][1 + MAX_MIGS]; /* [gpu][0]: the GPU itself */
struct nvmlDevice_st machine;                         /* for the calls that are about no device */

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
unsigned initialized;

/* enumerates_at_init 1: as of the last initialisation, how many devices there are and which were lost since. */
int devices_at_init;
bool lost_since_init[MAX_GPUS];

nvmlDevice_t handle_of(struct place at)
{
    return at.gpu < 0 ? &machine : &handles[at.gpu][1 + at.mig];
}

static nvmlReturn_t locate(nvmlDevice_t device, struct place *at)
{
    uintptr_t offset = (uintptr_t)device - (uintptr_t)handles;

    *at = MACHINE;
    if (device == &machine)
        return NVML_SUCCESS;
    if (offset >= sizeof handles || offset % sizeof **handles != 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    at->gpu = (int)(offset / sizeof *handles);
    at->mig = (int)(offset % sizeof *handles / sizeof **handles) - 1;
    return NVML_SUCCESS;
}

unsigned long milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000 + (unsigned long)now.tv_nsec / 1000000;
}

void pause_call(unsigned long duration)
{
    const struct timespec pause = {(time_t)(duration / 1000), (long)(duration % 1000) * 1000000};

    pthread_mutex_unlock(&mutex);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&mutex);
}

bool enumerates_at_init(void)
{
    const char *value = state_value(MACHINE, "enumerates_at_init");

    return value != NULL && strcmp(value, "1") == 0;
}

nvmlReturn_t unusable(struct place at, bool needs_init)
{
    if (needs_init && initialized == 0)
        return NVML_ERROR_UNINITIALIZED;
    switch (state_refresh()) {
    case STATE_MISSING: return NVML_ERROR_DRIVER_NOT_LOADED;
    case STATE_MALFORMED: return NVML_ERROR_UNKNOWN;
    case STATE_LOADED: break;
    }
    if (at.gpu >= 0 && !state_has(at))
        return at.mig < 0 ? NVML_ERROR_GPU_IS_LOST : NVML_ERROR_INVALID_ARGUMENT;
    if (at.gpu >= 0 && enumerates_at_init() && (at.gpu >= devices_at_init || lost_since_init[at.gpu]))
        return NVML_ERROR_GPU_IS_LOST;
    return NVML_SUCCESS;
}

nvmlReturn_t enter(const char *function, nvmlDevice_t device, struct place *at, bool needs_init)
{
    unsigned long number, started = milliseconds();
    nvmlReturn_t failed, invalid = locate(device, at);

    pthread_mutex_lock(&mutex);
    while ((failed = unusable(*at, needs_init)) == NVML_SUCCESS && state_rule("hang", function, *at, &number) &&
           milliseconds() - started < number) {
        pause_call(10);
    }
    if (failed == NVML_SUCCESS && invalid == NVML_SUCCESS && state_rule("error", function, *at, &number)) {
        if (at->gpu >= 0 && number == NVML_ERROR_GPU_IS_LOST)
            lost_since_init[at->gpu] = true;
        return (nvmlReturn_t)number;
    }
    return failed != NVML_SUCCESS ? failed : invalid;
}

void leave(const nvmlReturn_t *failed)
{
    (void)failed;
    pthread_mutex_unlock(&mutex);
}

nvmlReturn_t number(struct place at, const char *key, unsigned long long *result)
{
    const struct line *line = state_next(NULL, at, key);
    char *end;

    if (line == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    *result = strtoull(line->value, &end, 0);
    *result += state_moved(line, end);
    return *end == '\0' || *end == '+' ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

unsigned long long number_or(struct place at, const char *key, unsigned long long otherwise)
{
    unsigned long long result;

    return number(at, key, &result) == NVML_SUCCESS ? result : otherwise;
}

nvmlReturn_t string(struct place at, const char *key, char *result, unsigned int length)
{
    const char *value = state_value(at, key);

    REQUIRE(result);
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    if (strlen(value) >= length)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    strcpy(result, value);
    return NVML_SUCCESS;
}

/* The frame of every call of the stand-in: its lock, its place, whether it fails, and values of the state file. */
#ifndef STANDIN_CALL_H
#define STANDIN_CALL_H

#define NVML_NO_UNVERSIONED_FUNC_DEFS /* the exported names are the versioned ones */
#include <nvml.h>

#include <pthread.h>
#include <stdbool.h>

#include "state.h"

/* VISIBLE(f): hidden if WITHOUT_f is defined as 1, else exported, with the signature that nvml.h declares. */
#define SECOND(first, second, ...) second
#define PICK(...) SECOND(__VA_ARGS__)
#define LEFT_OUT_1 , "hidden"
#define PASTE(flag) LEFT_OUT_##flag
#define LEFT_OUT(flag) PASTE(flag)
#define VISIBLE(function) __attribute__((visibility(PICK(LEFT_OUT(WITHOUT_##function), "default", ))))
#define API(function) VISIBLE(function) nvmlReturn_t function

/* ---- Handles ---- */

struct nvmlDevice_st {
    unsigned grown; /* how often the process list has "grown" in the listing under way */
};

extern struct nvmlDevice_st handles[MAX_GPUS][1 + MAX_MIGS]; /* [gpu][0]: the GPU itself */
extern struct nvmlDevice_st machine;                         /* for the calls that are about no device */

static const struct place MACHINE = {-1, -1};

nvmlDevice_t handle_of(struct place at);

/* ---- The frame ---- */

extern pthread_mutex_t mutex; /* held by every call, but not while it hangs or waits */
extern unsigned initialized;
extern int devices_at_init;
extern bool lost_since_init[MAX_GPUS];

unsigned long milliseconds(void);

/* Blocks for so long without the mutex, which the caller holds. */
void pause_call(unsigned long duration);

bool enumerates_at_init(void);

/* Why no call can be answered just now, rules of the state file aside. */
nvmlReturn_t unusable(struct place at, bool needs_init);

/* Takes the mutex (but not while it hangs), and says whether the call is to fail. */
nvmlReturn_t enter(const char *function, nvmlDevice_t device, struct place *at, bool needs_init);

void leave(const nvmlReturn_t *failed);

#define ENTER(device, needs_init) \
    struct place at; \
    nvmlReturn_t failed __attribute__((cleanup(leave))) = enter(__func__, device, &at, needs_init)

/* The beginning of a call: afterwards `at` is what it is about, and the mutex is held until the return. */
#define CALL(device) \
    ENTER(device, true); \
    if (failed != NVML_SUCCESS) \
        return failed

#define REQUIRE(condition) \
    if (!(condition)) \
        return NVML_ERROR_INVALID_ARGUMENT

/* All event sets are void after the last nvmlShutdown. */
void forget_event_sets(void);

/* ---- Values of the state file ---- */

nvmlReturn_t number(struct place at, const char *key, unsigned long long *result);
unsigned long long number_or(struct place at, const char *key, unsigned long long otherwise);
nvmlReturn_t string(struct place at, const char *key, char *result, unsigned int length);

/* Calls that hand out one value of the file: one line each. */
#define NUMBER_BODY(device, type, key) \
    { \
        unsigned long long found; \
        CALL(device); \
        REQUIRE(result); \
        if ((failed = number(at, key, &found)) == NVML_SUCCESS) \
            *result = (type)found; \
        return failed; \
    }
#define SYSTEM_NUMBER(function, type, key) API(function)(type *result) NUMBER_BODY(&machine, type, key)
#define DEVICE_NUMBER(function, type, key) \
    API(function)(nvmlDevice_t device, type *result) NUMBER_BODY(device, type, key)
#define SYSTEM_STRING(function, key) \
    API(function)(char *result, unsigned int length) { CALL(&machine); return string(at, key, result, length); }
#define DEVICE_STRING(function, key) \
    API(function)(nvmlDevice_t device, char *result, unsigned int length) \
    { CALL(device); return string(at, key, result, length); }

#endif

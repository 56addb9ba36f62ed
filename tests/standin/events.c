/* Event sets: the XIDs that the state file gains after a device was registered. */
#define _GNU_SOURCE
#include "call.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SETS 8 /* few, so that a program that forgets to free them is found out */
#define POLL_MS 10

struct nvmlEventSet_st {
    bool used;
    int waiting;
    bool registered[MAX_GPUS];
    unsigned delivered[MAX_GPUS]; /* of the "xid" lines of the device, in their order */
};

static struct nvmlEventSet_st sets[MAX_SETS];

static bool valid(nvmlEventSet_t set)
{
    return set >= sets && set < sets + MAX_SETS && set->used;
}

static unsigned xids(struct place at)
{
    unsigned count = 0;

    for (const struct line *line = NULL; (line = state_next(line, at, "xid")) != NULL;)
        count++;
    return count;
}

void forget_event_sets(void)
{
    for (int i = 0; i < MAX_SETS; i++) {
        if (sets[i].waiting)
            fprintf(stderr, "NVML stand-in: shut down while somebody waits for events\n");
        sets[i].used = false;
    }
}

DEVICE_NUMBER(nvmlDeviceGetSupportedEventTypes, unsigned long long, "event_types")

API(nvmlEventSetCreate)(nvmlEventSet_t *set)
{
    CALL(&machine);
    REQUIRE(set);
    for (int i = 0; i < MAX_SETS; i++)
        if (!sets[i].used && !sets[i].waiting) {
            sets[i] = (struct nvmlEventSet_st){.used = true};
            *set = &sets[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_INSUFFICIENT_RESOURCES;
}

API(nvmlEventSetFree)(nvmlEventSet_t set)
{
    CALL(&machine);
    REQUIRE(valid(set));
    if (set->waiting)
        fprintf(stderr, "NVML stand-in: an event set is freed while somebody waits for it\n");
    set->used = false;
    return NVML_SUCCESS;
}

API(nvmlDeviceRegisterEvents)(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set)
{
    unsigned long long supported;

    CALL(device);
    REQUIRE(valid(set) && at.gpu >= 0 && at.mig < 0);
    if (number(at, "event_types", &supported) != NVML_SUCCESS || (types & ~supported) != 0)
        return NVML_ERROR_NOT_SUPPORTED;
    set->registered[at.gpu] = true;
    set->delivered[at.gpu] = xids(at);
    return NVML_SUCCESS;
}

static bool next_event(nvmlEventSet_t set, nvmlEventData_t *data)
{
    for (struct place at = {0, -1}; at.gpu < MAX_GPUS; at.gpu++) {
        unsigned position = 0;
        if (!set->registered[at.gpu])
            continue;
        if (set->delivered[at.gpu] > xids(at)) /* the file begins anew */
            set->delivered[at.gpu] = 0;
        for (const struct line *line = NULL; (line = state_next(line, at, "xid")) != NULL;)
            if (position++ == set->delivered[at.gpu]) {
                set->delivered[at.gpu]++;
                *data = (nvmlEventData_t){
                    .device = handles[at.gpu], .eventType = nvmlEventTypeXidCriticalError,
                    .eventData = strtoull(line->value, NULL, 0),
                    .gpuInstanceId = UINT32_MAX, .computeInstanceId = UINT32_MAX,
                };
                return true;
            }
    }
    return false;
}

API(nvmlEventSetWait_v2)(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int timeout)
{
    unsigned long started = milliseconds(), code;
    bool arrived;

    CALL(&machine);
    REQUIRE(valid(set) && data);
    set->waiting++;
    while (!(arrived = next_event(set, data)) && milliseconds() - started < timeout && valid(set)) {
        pause_call(POLL_MS);
        if ((failed = unusable(MACHINE, true)) != NVML_SUCCESS)
            break;
        if (state_rule("error", __func__, MACHINE, &code)) {
            failed = (nvmlReturn_t)code;
            break;
        }
    }
    set->waiting--;
    if (failed != NVML_SUCCESS)
        return failed;
    return arrived ? NVML_SUCCESS : NVML_ERROR_TIMEOUT;
}

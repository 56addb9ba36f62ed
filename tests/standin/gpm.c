/* GPM: what the SMs and engines did between two samples. The stand-in gives what the state file says then. */
#define _GNU_SOURCE
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SAMPLES 512

struct nvmlGpmSample_st {
    bool used, filled;
    struct place at;
};

static struct nvmlGpmSample_st samples[MOST_SAMPLES];

static bool valid(nvmlGpmSample_t sample)
{
    return sample >= samples && sample < samples + MOST_SAMPLES && sample->used;
}

API(nvmlGpmQueryDeviceSupport)(nvmlDevice_t device, nvmlGpmSupport_t *support)
{
    CALL(device);
    REQUIRE(support);
    if (support->version != NVML_GPM_SUPPORT_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    support->isSupportedDevice = (unsigned int)number_or(at, "gpm_supported", state_value(at, "gpm") != NULL);
    return NVML_SUCCESS;
}

/* gpm_samples N: so many there may be at once, so that a program that forgets to free them is found out. */
API(nvmlGpmSampleAlloc)(nvmlGpmSample_t *sample)
{
    CALL(&machine);
    REQUIRE(sample);
    for (unsigned long long i = 0; i < MOST_SAMPLES && i < number_or(at, "gpm_samples", MOST_SAMPLES); i++)
        if (!samples[i].used) {
            samples[i] = (struct nvmlGpmSample_st){.used = true};
            *sample = &samples[i];
            return NVML_SUCCESS;
        }
    return NVML_ERROR_MEMORY;
}

API(nvmlGpmSampleFree)(nvmlGpmSample_t sample)
{
    CALL(&machine);
    REQUIRE(valid(sample));
    sample->used = false;
    return NVML_SUCCESS;
}

API(nvmlGpmSampleGet)(nvmlDevice_t device, nvmlGpmSample_t sample)
{
    CALL(device);
    REQUIRE(valid(sample));
    if (state_value(at, "gpm") == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    sample->filled = true;
    sample->at = at;
    return NVML_SUCCESS;
}

API(nvmlGpmMigSampleGet)(nvmlDevice_t device, unsigned int gpu_instance, nvmlGpmSample_t sample)
{
    CALL(device);
    REQUIRE(valid(sample) && at.mig < 0);
    for (struct place mig = {at.gpu, 0}; mig.mig < MAX_MIGS; mig.mig++)
        if (state_has(mig) && state_value(mig, "gpm") && number_or(mig, "gpu_instance", ~0ull) == gpu_instance) {
            sample->filled = true;
            sample->at = mig;
            return NVML_SUCCESS;
        }
    return NVML_ERROR_NOT_SUPPORTED;
}

static void get(struct place at, nvmlGpmMetric_t *metric)
{
    unsigned int id;
    char text[64], *end;

    metric->value = 4242; /* what somebody reads who does not look whether it is valid */
    metric->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    for (const struct line *line = NULL; (line = state_next(line, at, "gpm")) != NULL;)
        if (sscanf(line->value, "%u %63s", &id, text) == 2 && id == metric->metricId && strcmp(text, "na") != 0) {
            metric->value = strtod(text, &end) + (double)state_moved(line, end);
            metric->nvmlReturn = NVML_SUCCESS;
        }
}

API(nvmlGpmMetricsGet)(nvmlGpmMetricsGet_t *wanted)
{
    CALL(&machine);
    REQUIRE(wanted && wanted->numMetrics > 0 && wanted->numMetrics <= NVML_GPM_METRIC_MAX);
    if (wanted->version != NVML_GPM_METRICS_GET_VERSION)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlGpmSample_t a = wanted->sample1, b = wanted->sample2;
    REQUIRE(a != b && valid(a) && valid(b) && a->filled && b->filled);
    REQUIRE(a->at.gpu == b->at.gpu && a->at.mig == b->at.mig);
    for (unsigned int i = 0; i < wanted->numMetrics; i++)
        get(b->at, &wanted->metrics[i]);
    return NVML_SUCCESS;
}

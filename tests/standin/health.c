/* What a device tells of its board, its fabric, its memory's health by place, and of those who encode. */
#define _GNU_SOURCE
#include "call.h"

#include <stdio.h>
#include <string.h>

DEVICE_STRING(nvmlDeviceGetBoardPartNumber, "board_part_number")
DEVICE_STRING(nvmlDeviceGetInforomImageVersion, "inforom_version")

API(nvmlDeviceValidateInforom)(nvmlDevice_t device)
{
    unsigned long long corrupted;

    CALL(device);
    if ((failed = number(at, "inforom_corrupted", &corrupted)) != NVML_SUCCESS)
        return failed;
    return corrupted ? NVML_ERROR_CORRUPTED_INFOROM : NVML_SUCCESS;
}

API(nvmlDeviceGetGspFirmwareVersion)(nvmlDevice_t device, char *version)
{
    CALL(device);
    return string(at, "gsp_version", version, NVML_GSP_FIRMWARE_VERSION_BUF_SIZE);
}

API(nvmlDeviceGetCudaComputeCapability)(nvmlDevice_t device, int *major, int *minor)
{
    CALL(device);
    REQUIRE(major && minor);
    const char *value = state_value(at, "compute_capability");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    return sscanf(value, "%d.%d", major, minor) == 2 ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

API(nvmlDeviceGetMarginTemperature)(nvmlDevice_t device, nvmlMarginTemperature_t *margin)
{
    CALL(device);
    REQUIRE(margin);
    if (margin->version != nvmlMarginTemperature_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const char *value = state_value(at, "margin_temperature");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    return sscanf(value, "%d", &margin->marginTemperature) == 1 ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

/* ---- Encoding and capturing: SESSIONS FRAMES_PER_SECOND MICROSECONDS ---- */

static nvmlReturn_t sessions(struct place at, const char *key, unsigned int *count, unsigned int *fps,
                             unsigned int *latency)
{
    REQUIRE(count && fps && latency);
    const char *value = state_value(at, key);
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    return sscanf(value, "%u %u %u", count, fps, latency) == 3 ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

API(nvmlDeviceGetEncoderStats)(nvmlDevice_t device, unsigned int *count, unsigned int *fps, unsigned int *latency)
{
    CALL(device);
    return sessions(at, "encoder_stats", count, fps, latency);
}

API(nvmlDeviceGetFBCStats)(nvmlDevice_t device, nvmlFBCStats_t *stats)
{
    CALL(device);
    REQUIRE(stats);
    return sessions(at, "fbc_stats", &stats->sessionsCount, &stats->averageFPS, &stats->averageLatency);
}

/* ---- Memory ---- */

API(nvmlDeviceGetMemoryErrorCounter)(nvmlDevice_t device, nvmlMemoryErrorType_t severity, nvmlEccCounterType_t scope,
                                     nvmlMemoryLocation_t location, unsigned long long *count)
{
    unsigned int a, b, c;

    CALL(device);
    REQUIRE(count);
    for (const struct line *line = NULL; (line = state_next(line, at, "ecc_location")) != NULL;)
        if (sscanf(line->value, "%u %u %u %llu", &a, &b, &c, count) == 4 && a == (unsigned int)severity &&
            b == (unsigned int)scope && c == (unsigned int)location)
            return NVML_SUCCESS;
    return NVML_ERROR_NOT_SUPPORTED;
}

API(nvmlDeviceGetSramEccErrorStatus)(nvmlDevice_t device, nvmlEccSramErrorStatus_t *status)
{
    CALL(device);
    REQUIRE(status);
    if (status->version != nvmlEccSramErrorStatus_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const char *value = state_value(at, "sram_errors");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    return sscanf(value, "%llu %llu %llu %llu %llu %u", &status->aggregateUncBucketL2, &status->aggregateUncBucketSm,
                  &status->aggregateUncBucketPcie, &status->aggregateUncBucketMcu, &status->aggregateUncBucketOther,
                  &status->bThresholdExceeded) == 6 ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

API(nvmlDeviceGetRowRemapperHistogram)(nvmlDevice_t device, nvmlRowRemapperHistogramValues_t *banks)
{
    CALL(device);
    REQUIRE(banks);
    const char *value = state_value(at, "remap_histogram");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    return sscanf(value, "%u %u %u %u %u", &banks->max, &banks->high, &banks->partial, &banks->low, &banks->none) == 5
               ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

API(nvmlDeviceGetRepairStatus)(nvmlDevice_t device, nvmlRepairStatus_t *status)
{
    CALL(device);
    REQUIRE(status);
    if (status->version != nvmlRepairStatus_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const char *value = state_value(at, "repair_status");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    return sscanf(value, "%u %u", &status->bChannelRepairPending, &status->bTpcRepairPending) == 2
               ? NVML_SUCCESS : NVML_ERROR_UNKNOWN;
}

/* nvidia-ml-py has a version before the flag, nvml.h has not: which of the two a driver writes, the file says. */
API(nvmlDeviceGetUnrepairableMemoryFlag_v1)(nvmlDevice_t device, nvmlUnrepairableMemoryStatus_v1_t *status)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(status);
    if ((failed = number(at, "unrepairable_memory", &found)) == NVML_SUCCESS)
        status[number_or(at, "unrepairable_memory_versioned", 0)].bUnrepairableMemory = (unsigned int)found;
    return failed;
}

/* ---- The fabric of NVLinks and switches: STATE STATUS CLIQUE HEALTH_MASK BYTE_OF_UUID ---- */

API(nvmlDeviceGetGpuFabricInfoV)(nvmlDevice_t device, nvmlGpuFabricInfoV_t *info)
{
    unsigned int state, status, byte;

    CALL(device);
    REQUIRE(info);
    if (info->version != nvmlGpuFabricInfo_v2 && info->version != nvmlGpuFabricInfo_v3)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const char *value = state_value(at, "fabric");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    if (sscanf(value, "%u %u %u %i %x", &state, &status, &info->cliqueId, (int *)&info->healthMask, &byte) != 5)
        return NVML_ERROR_UNKNOWN;
    info->state = (nvmlGpuFabricState_t)state;
    info->status = (nvmlReturn_t)status;
    memset(info->clusterUuid, (int)byte, sizeof info->clusterUuid);
    return NVML_SUCCESS;
}

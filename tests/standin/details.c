/* What a device tells of itself beyond what nvml.c has: power, clocks, links, health. */
#define _GNU_SOURCE
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- One value each ---- */

DEVICE_STRING(nvmlDeviceGetVbiosVersion, "vbios_version")
DEVICE_NUMBER(nvmlDeviceGetArchitecture, nvmlDeviceArchitecture_t, "architecture")
DEVICE_NUMBER(nvmlDeviceGetPersistenceMode, nvmlEnableState_t, "persistence_mode")
DEVICE_NUMBER(nvmlDeviceGetComputeMode, nvmlComputeMode_t, "compute_mode")
DEVICE_NUMBER(nvmlDeviceGetPowerUsage, unsigned int, "power")
DEVICE_NUMBER(nvmlDeviceGetEnforcedPowerLimit, unsigned int, "power_limit")
DEVICE_NUMBER(nvmlDeviceGetPowerManagementDefaultLimit, unsigned int, "default_power_limit")
DEVICE_NUMBER(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, "energy")
DEVICE_NUMBER(nvmlDeviceGetPerformanceState, nvmlPstates_t, "performance_state")
DEVICE_NUMBER(nvmlDeviceGetNumFans, unsigned int, "fans")
DEVICE_NUMBER(nvmlDeviceGetFanSpeed, unsigned int, "fan_speed")
DEVICE_NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, unsigned int, "pcie_generation")
DEVICE_NUMBER(nvmlDeviceGetCurrPcieLinkWidth, unsigned int, "pcie_width")
DEVICE_NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, unsigned int, "max_pcie_generation")
DEVICE_NUMBER(nvmlDeviceGetMaxPcieLinkWidth, unsigned int, "max_pcie_width")
DEVICE_NUMBER(nvmlDeviceGetPcieReplayCounter, unsigned int, "pcie_replays")
DEVICE_NUMBER(nvmlDeviceGetRetiredPagesPendingStatus, nvmlEnableState_t, "retirement_pending")

/* The reasons for low clocks have had two names. */
DEVICE_NUMBER(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, "throttle_reasons")
DEVICE_NUMBER(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, "throttle_reasons")
DEVICE_NUMBER(nvmlDeviceGetSupportedClocksEventReasons, unsigned long long, "supported_throttle_reasons")
DEVICE_NUMBER(nvmlDeviceGetSupportedClocksThrottleReasons, unsigned long long, "supported_throttle_reasons")

/* ---- One value of several: the argument is part of the key ---- */

#define CHOICE_BODY(device, type, choice, ...) \
    { \
        static const char *const keys[] = {__VA_ARGS__}; \
        unsigned long long found; \
        CALL(device); \
        REQUIRE(result && (size_t)(choice) < sizeof keys / sizeof *keys); \
        if ((failed = number(at, keys[choice], &found)) == NVML_SUCCESS) \
            *result = (type)found; \
        return failed; \
    }

API(nvmlDeviceGetClockInfo)(nvmlDevice_t device, nvmlClockType_t clock, unsigned int *result)
CHOICE_BODY(device, unsigned int, clock, "clock_graphics", "clock_sm", "clock_memory", "clock_video")

API(nvmlDeviceGetMaxClockInfo)(nvmlDevice_t device, nvmlClockType_t clock, unsigned int *result)
CHOICE_BODY(device, unsigned int, clock, "max_clock_graphics", "max_clock_sm", "max_clock_memory", "max_clock_video")

API(nvmlDeviceGetTemperatureThreshold)(nvmlDevice_t device, nvmlTemperatureThresholds_t threshold,
                                       unsigned int *result)
CHOICE_BODY(device, unsigned int, threshold, "shutdown_temperature", "slowdown_temperature",
            "max_memory_temperature", "max_temperature")

API(nvmlDeviceGetTotalEccErrors)(nvmlDevice_t device, nvmlMemoryErrorType_t severity, nvmlEccCounterType_t scope,
                                 unsigned long long *result)
CHOICE_BODY(device, unsigned long long, 2 * severity + scope, "ecc_corrected_volatile", "ecc_corrected_aggregate",
            "ecc_uncorrected_volatile", "ecc_uncorrected_aggregate")

API(nvmlDeviceGetFanSpeed_v2)(nvmlDevice_t device, unsigned int fan, unsigned int *result)
{
    char key[32];
    unsigned long long found;

    CALL(device);
    REQUIRE(result && fan < number_or(at, "fans", 0));
    snprintf(key, sizeof key, "fan_speed_%u", fan);
    if ((failed = number(at, key, &found)) == NVML_SUCCESS)
        *result = (unsigned int)found;
    return failed;
}

API(nvmlDeviceGetFanSpeedRPM)(nvmlDevice_t device, nvmlFanSpeedInfo_t *speed)
{
    char key[32];
    unsigned long long found;

    CALL(device);
    REQUIRE(speed);
    if (speed->version != nvmlFanSpeedInfo_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    snprintf(key, sizeof key, "fan_rpm_%u", speed->fan);
    if ((failed = number(at, key, &found)) == NVML_SUCCESS)
        speed->speed = (unsigned int)found;
    return failed;
}

/* ---- Several values ---- */

/* Two numbers, of which the second is the first where the file does not say. */
static nvmlReturn_t pair(struct place at, const char *first, const char *second, unsigned int *a, unsigned int *b)
{
    unsigned long long found;
    nvmlReturn_t failed;

    REQUIRE(a && b);
    if ((failed = number(at, first, &found)) == NVML_SUCCESS) {
        *a = (unsigned int)found;
        *b = (unsigned int)number_or(at, second, found);
    }
    return failed;
}

API(nvmlDeviceGetEccMode)(nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending)
{
    CALL(device);
    return pair(at, "ecc_mode", "ecc_mode_pending", current, pending);
}

API(nvmlDeviceGetPowerManagementLimitConstraints)(nvmlDevice_t device, unsigned int *least, unsigned int *most)
{
    CALL(device);
    return pair(at, "min_power_limit", "max_power_limit", least, most);
}

#define UTILIZATION(function, key) \
    API(function)(nvmlDevice_t device, unsigned int *utilization, unsigned int *period) \
    { CALL(device); return pair(at, key, "sampling_period", utilization, period); }

UTILIZATION(nvmlDeviceGetEncoderUtilization, "encoder_utilization")
UTILIZATION(nvmlDeviceGetDecoderUtilization, "decoder_utilization")
UTILIZATION(nvmlDeviceGetJpgUtilization, "jpeg_utilization")
UTILIZATION(nvmlDeviceGetOfaUtilization, "ofa_utilization")

API(nvmlDeviceGetBAR1MemoryInfo)(nvmlDevice_t device, nvmlBAR1Memory_t *memory)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(memory);
    if ((failed = number(at, "bar1_total", &found)) == NVML_SUCCESS) {
        memory->bar1Total = found;
        memory->bar1Used = number_or(at, "bar1_used", 0);
        memory->bar1Free = memory->bar1Total - memory->bar1Used;
    }
    return failed;
}

API(nvmlDeviceGetRemappedRows)(nvmlDevice_t device, unsigned int *corrected, unsigned int *uncorrected,
                               unsigned int *pending, unsigned int *failure)
{
    CALL(device);
    REQUIRE(corrected && uncorrected && pending && failure);
    const char *value = state_value(at, "remapped_rows");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    sscanf(value, "%u %u %u %u", corrected, uncorrected, pending, failure);
    return NVML_SUCCESS;
}

/* The addresses are made up; nobody but a page table knows what to do with them. */
static nvmlReturn_t retired_pages(struct place at, nvmlPageRetirementCause_t cause, unsigned int *count,
                                  unsigned long long *addresses)
{
    unsigned long long found;
    unsigned int offered;
    nvmlReturn_t failed;

    REQUIRE(count && cause < NVML_PAGE_RETIREMENT_CAUSE_COUNT);
    offered = *count;
    failed = number(at, cause == NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR ? "retired_pages_double_bit"
                                                                                : "retired_pages_single_bit", &found);
    if (failed != NVML_SUCCESS)
        return failed;
    *count = (unsigned int)found;
    if (offered < found)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    for (unsigned int page = 0; addresses && page < found; page++)
        addresses[page] = 0x1000ull * page;
    return NVML_SUCCESS;
}

API(nvmlDeviceGetRetiredPages)(nvmlDevice_t device, nvmlPageRetirementCause_t cause, unsigned int *count,
                               unsigned long long *addresses)
{
    CALL(device);
    return retired_pages(at, cause, count, addresses);
}

API(nvmlDeviceGetAttributes_v2)(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(attributes);
    if (at.mig < 0 || (failed = number(at, "gpu_instance_slices", &found)) != NVML_SUCCESS)
        return NVML_ERROR_NOT_SUPPORTED;
    memset(attributes, 0, sizeof *attributes);
    attributes->gpuInstanceSliceCount = (unsigned int)found;
    attributes->computeInstanceSliceCount = (unsigned int)number_or(at, "compute_instance_slices", found);
    attributes->memorySizeMB = number_or(at, "memory_total", 0) >> 20;
    return NVML_SUCCESS;
}

/* Asks the device about an interval of 20 ms, and takes as long. */
API(nvmlDeviceGetPcieThroughput)(nvmlDevice_t device, nvmlPcieUtilCounter_t counter, unsigned int *result)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(result && counter < NVML_PCIE_UTIL_COUNT);
    failed = number(at, counter == NVML_PCIE_UTIL_RX_BYTES ? "pcie_receive" : "pcie_transmit", &found);
    if (failed == NVML_SUCCESS) {
        *result = (unsigned int)found;
        pause_call(number_or(at, "pcie_throughput_takes", 20));
    }
    return failed;
}

/* ---- NVLink ---- */

API(nvmlDeviceGetNvLinkState)(nvmlDevice_t device, unsigned int link, nvmlEnableState_t *active)
{
    unsigned int number, found;

    CALL(device);
    REQUIRE(active);
    if (state_value(at, "nvlink") == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    for (const struct line *line = NULL; (line = state_next(line, at, "nvlink")) != NULL;)
        if (sscanf(line->value, "%u %u", &number, &found) == 2 && number == link) {
            *active = (nvmlEnableState_t)found;
            return NVML_SUCCESS;
        }
    return NVML_ERROR_INVALID_ARGUMENT;
}

API(nvmlDeviceGetNvLinkErrorCounter)(nvmlDevice_t device, unsigned int link, nvmlNvLinkErrorCounter_t counter,
                                     unsigned long long *result)
{
    unsigned int number, kind;

    CALL(device);
    REQUIRE(result);
    for (const struct line *line = NULL; (line = state_next(line, at, "nvlink_error")) != NULL;)
        if (sscanf(line->value, "%u %u %llu", &number, &kind, result) == 3 && number == link &&
            kind == (unsigned int)counter)
            return NVML_SUCCESS;
    return NVML_ERROR_NOT_SUPPORTED;
}

/* ---- Field values ---- */

static void fill(nvmlFieldValue_t *result, const char *text, nvmlValueType_t type, const struct line *line)
{
    char *end;

    memset(&result->value, 0xEE, sizeof result->value); /* what a member of another type would read */
    switch (type) {
    case NVML_VALUE_TYPE_DOUBLE: result->value.dVal = strtod(text, NULL); break;
    case NVML_VALUE_TYPE_UNSIGNED_INT: result->value.uiVal = (unsigned int)strtoull(text, NULL, 0); break;
    case NVML_VALUE_TYPE_UNSIGNED_LONG: result->value.ulVal = strtoul(text, NULL, 0); break;
    case NVML_VALUE_TYPE_SIGNED_LONG_LONG: result->value.sllVal = strtoll(text, NULL, 0); break;
    case NVML_VALUE_TYPE_SIGNED_INT: result->value.siVal = (int)strtol(text, NULL, 0); break;
    case NVML_VALUE_TYPE_UNSIGNED_SHORT: result->value.usVal = (unsigned short)strtoul(text, NULL, 0); break;
    default: result->value.ullVal = strtoull(text, &end, 0); result->value.ullVal += state_moved(line, end); break;
    }
    result->valueType = type;
}

static nvmlReturn_t field(struct place at, nvmlFieldValue_t *result)
{
    unsigned int id, scope, type;
    char text[64];

    for (const struct line *line = NULL; (line = state_next(line, at, "field")) != NULL;) {
        type = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
        if (strtoul(line->value, NULL, 10) == result->fieldId &&
            sscanf(line->value, "%u %u %63s %u", &id, &scope, text, &type) >= 3 && id == result->fieldId &&
            scope == result->scopeId) {
            fill(result, text, (nvmlValueType_t)type, line);
            return NVML_SUCCESS;
        }
    }
    return NVML_ERROR_NOT_SUPPORTED;
}

API(nvmlDeviceGetFieldValues)(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    CALL(device);
    REQUIRE(values && count > 0);
    for (int i = 0; i < count; i++)
        values[i].nvmlReturn = field(at, &values[i]);
    return NVML_SUCCESS;
}

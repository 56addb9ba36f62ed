/*
 * A stand-in for NVML: libnvidia-ml.so.1 for machines without a GPU. Its state is the file that the environment
 * variable NVML_STANDIN names; every call looks whether the file changed (replace it by rename). One statement a
 * line, # begins a comment line, and README.md says what each means:
 *
 *   driver_version TEXT | nvml_version TEXT | cuda_driver_version N
 *   device_count N | process_struct 24|32 | process_list_grows TIMES [BY] | enumerates_at_init 1 | gpm_samples N
 *   device GPU KEY VALUE                    a missing KEY: the call returns NVML_ERROR_NOT_SUPPORTED
 *   device GPU process|graphics_process|mps_process PID BYTES|na [GPU_INSTANCE COMPUTE_INSTANCE]
 *   device GPU process_sample PID MICROSECONDS|now SM [MEMORY ENCODER DECODER]
 *   device GPU field ID SCOPE VALUE [TYPE]  what nvmlDeviceGetFieldValues says
 *   device GPU gpm METRIC VALUE | ecc_location SEVERITY SCOPE LOCATION VALUE
 *   device GPU nvlink LINK 0|1 | nvlink_error LINK COUNTER VALUE | xid CODE
 *   mig GPU MIG ...                         the same for MIG device number MIG of that GPU
 *   [device GPU|mig GPU MIG] error FUNCTION CODE
 *   [device GPU|mig GPU MIG] hang FUNCTION MILLISECONDS
 *
 * FUNCTION is a shell pattern for the exported names. No file: the driver is not loaded. A line that cannot be
 * understood: a message on stderr, and every call returns NVML_ERROR_UNKNOWN.
 *
 * Compiled with -DWITHOUT_<function>, a function is not exported, as by a driver that is too old to have it.
 */
#define _GNU_SOURCE
#include "call.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SYSTEM_STRING(nvmlSystemGetDriverVersion, "driver_version")
SYSTEM_STRING(nvmlSystemGetNVMLVersion, "nvml_version")
SYSTEM_NUMBER(nvmlSystemGetCudaDriverVersion, int, "cuda_driver_version")
SYSTEM_NUMBER(nvmlSystemGetCudaDriverVersion_v2, int, "cuda_driver_version")

DEVICE_STRING(nvmlDeviceGetUUID, "uuid")
DEVICE_STRING(nvmlDeviceGetName, "name")
DEVICE_STRING(nvmlDeviceGetSerial, "serial")
DEVICE_NUMBER(nvmlDeviceGetMinorNumber, unsigned int, "minor_number")
DEVICE_NUMBER(nvmlDeviceGetGpuInstanceId, unsigned int, "gpu_instance")
DEVICE_NUMBER(nvmlDeviceGetComputeInstanceId, unsigned int, "compute_instance")

/* ---- The library ---- */

static void initialize(void)
{
    if (initialized++ > 0)
        return;
    devices_at_init = state_devices();
    memset(lost_since_init, 0, sizeof lost_since_init);
}

API(nvmlInitWithFlags)(unsigned int flags)
{
    ENTER(&machine, false);
    (void)flags;
    if (failed == NVML_SUCCESS)
        initialize();
    return failed;
}

API(nvmlInit_v2)(void)
{
    ENTER(&machine, false);
    if (failed == NVML_SUCCESS)
        initialize();
    return failed;
}

API(nvmlShutdown)(void)
{
    unsigned long code;

    ENTER(&machine, true);
    if (failed == NVML_ERROR_UNINITIALIZED || state_rule("error", __func__, at, &code))
        return failed;
    if (--initialized == 0) /* also if the file is gone meanwhile */
        forget_event_sets();
    return NVML_SUCCESS;
}

VISIBLE(nvmlErrorString) const char *nvmlErrorString(nvmlReturn_t result)
{
    switch (result) {
    case NVML_SUCCESS: return "Success";
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_INVALID_ARGUMENT: return "Invalid Argument";
    case NVML_ERROR_NOT_SUPPORTED: return "Not Supported";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_NOT_FOUND: return "Not Found";
    case NVML_ERROR_INSUFFICIENT_SIZE: return "Insufficient Size";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_TIMEOUT: return "Timeout";
    case NVML_ERROR_FUNCTION_NOT_FOUND: return "Function Not Found";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    case NVML_ERROR_RESET_REQUIRED: return "GPU requires reset";
    case NVML_ERROR_LIB_RM_VERSION_MISMATCH: return "Driver/library version mismatch";
    case NVML_ERROR_ARGUMENT_VERSION_MISMATCH: return "Argument version mismatch";
    default: return "Unknown Error";
    }
}

/* ---- Finding devices ---- */

API(nvmlDeviceGetCount_v2)(unsigned int *count)
{
    CALL(&machine);
    REQUIRE(count);
    *count = (unsigned int)(enumerates_at_init() ? devices_at_init : state_devices());
    *count = (unsigned int)number_or(MACHINE, "device_count", *count);
    return NVML_SUCCESS;
}

API(nvmlDeviceGetHandleByIndex_v2)(unsigned int index, nvmlDevice_t *device)
{
    nvmlDevice_t found = index < MAX_GPUS ? handles[index] : NULL;

    ENTER(found, true);
    if (failed == NVML_ERROR_GPU_IS_LOST && at.gpu >= state_devices())
        return NVML_ERROR_INVALID_ARGUMENT;
    if (failed != NVML_SUCCESS)
        return failed;
    REQUIRE(device);
    *device = found;
    return NVML_SUCCESS;
}

static nvmlDevice_t device_with(const char *key, const char *value)
{
    nvmlDevice_t found;

    pthread_mutex_lock(&mutex);
    state_refresh();
    found = handle_of(state_find(key, value));
    pthread_mutex_unlock(&mutex);
    return found;
}

API(nvmlDeviceGetHandleByUUID)(const char *uuid, nvmlDevice_t *device)
{
    nvmlDevice_t found = uuid ? device_with("uuid", uuid) : &machine;

    CALL(found);
    REQUIRE(uuid && device);
    if (found == &machine)
        return NVML_ERROR_NOT_FOUND;
    *device = found;
    return NVML_SUCCESS;
}

API(nvmlDeviceGetIndex)(nvmlDevice_t device, unsigned int *index)
{
    CALL(device);
    REQUIRE(index);
    *index = (unsigned int)(at.mig < 0 ? at.gpu : at.mig);
    return NVML_SUCCESS;
}

API(nvmlDeviceGetPciInfo_v3)(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    CALL(device);
    REQUIRE(pci);
    const char *value = state_value(at, "pci_bus_id");
    if (value == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    memset(pci, 0, sizeof *pci);
    if (sscanf(value, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device) != 3)
        return NVML_ERROR_UNKNOWN;
    pci->pciDeviceId = (unsigned int)number_or(at, "pci_device_id", 0);
    pci->pciSubSystemId = (unsigned int)number_or(at, "pci_subsystem_id", 0);
    snprintf(pci->busId, sizeof pci->busId, NVML_DEVICE_PCI_BUS_ID_FMT, NVML_DEVICE_PCI_BUS_ID_FMT_ARGS(pci));
    snprintf(pci->busIdLegacy, sizeof pci->busIdLegacy, NVML_DEVICE_PCI_BUS_ID_LEGACY_FMT, pci->domain & 0xffff,
             pci->bus & 0xff, pci->device & 0xff);
    return NVML_SUCCESS;
}

/* ---- MIG ---- */

static bool mig_enabled(struct place at)
{
    return at.mig < 0 && number_or(at, "mig", 0) == 1;
}

API(nvmlDeviceGetMigMode)(nvmlDevice_t device, unsigned int *mode, unsigned int *pending)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(mode && pending);
    if ((failed = number(at, "mig", &found)) == NVML_SUCCESS) {
        *mode = (unsigned int)found;
        *pending = (unsigned int)number_or(at, "mig_pending", found);
    }
    return failed;
}

API(nvmlDeviceGetMaxMigDeviceCount)(nvmlDevice_t device, unsigned int *count)
{
    CALL(device);
    REQUIRE(count);
    *count = (unsigned int)number_or(at, "max_mig_devices", state_value(at, "mig") ? 7 : 0);
    return NVML_SUCCESS;
}

API(nvmlDeviceGetMigDeviceHandleByIndex)(nvmlDevice_t device, unsigned int index, nvmlDevice_t *mig)
{
    unsigned long code;

    CALL(device);
    REQUIRE(mig && at.mig < 0);
    if (state_value(at, "mig") == NULL)
        return NVML_ERROR_NOT_SUPPORTED;
    struct place wanted = {at.gpu, (int)index};
    if (!mig_enabled(at) || index >= MAX_MIGS || !state_has(wanted))
        return NVML_ERROR_NOT_FOUND;
    if (state_rule("error", __func__, wanted, &code))
        return (nvmlReturn_t)code;
    *mig = handle_of(wanted);
    return NVML_SUCCESS;
}

API(nvmlDeviceGetDeviceHandleFromMigDeviceHandle)(nvmlDevice_t mig, nvmlDevice_t *device)
{
    CALL(mig);
    REQUIRE(device && at.mig >= 0);
    *device = handles[at.gpu];
    return NVML_SUCCESS;
}

API(nvmlDeviceIsMigDeviceHandle)(nvmlDevice_t device, unsigned int *result)
{
    CALL(device);
    REQUIRE(result);
    *result = at.mig >= 0;
    return NVML_SUCCESS;
}

/* ---- What a device does ---- */

API(nvmlDeviceGetTemperature)(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned int *result)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(result && sensor == NVML_TEMPERATURE_GPU);
    if ((failed = number(at, "temperature", &found)) == NVML_SUCCESS)
        *result = (unsigned int)found;
    return failed;
}

API(nvmlDeviceGetTemperatureV)(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(temperature);
    if (temperature->version != nvmlTemperature_v1)
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    REQUIRE(temperature->sensorType == NVML_TEMPERATURE_GPU);
    if ((failed = number(at, "temperature", &found)) == NVML_SUCCESS)
        temperature->temperature = (int)found;
    return failed;
}

API(nvmlDeviceGetUtilizationRates)(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    unsigned long long found;

    CALL(device);
    REQUIRE(utilization);
    if (mig_enabled(at))
        return NVML_ERROR_NOT_SUPPORTED;
    if ((failed = number(at, "utilization", &found)) == NVML_SUCCESS) {
        utilization->gpu = (unsigned int)found;
        utilization->memory = (unsigned int)number_or(at, "memory_utilization", 0);
    }
    return failed;
}

static nvmlReturn_t memory(struct place at, nvmlMemory_v2_t *result)
{
    nvmlReturn_t failed = number(at, "memory_total", &result->total);

    if (failed != NVML_SUCCESS || (failed = number(at, "memory_used", &result->used)) != NVML_SUCCESS)
        return failed;
    result->reserved = number_or(at, "memory_reserved", 0);
    result->free = result->total - result->used - result->reserved;
    return NVML_SUCCESS;
}

API(nvmlDeviceGetMemoryInfo)(nvmlDevice_t device, nvmlMemory_t *result)
{
    nvmlMemory_v2_t found;

    CALL(device);
    REQUIRE(result);
    if ((failed = memory(at, &found)) == NVML_SUCCESS)
        *result = (nvmlMemory_t){.total = found.total, .free = found.free, .used = found.used + found.reserved};
    return failed;
}

API(nvmlDeviceGetMemoryInfo_v2)(nvmlDevice_t device, nvmlMemory_v2_t *result)
{
    CALL(device);
    REQUIRE(result);
    return result->version == nvmlMemory_v2 ? memory(at, result) : NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
}

/* ---- Processes ---- */

/* Each of the entries is a beginning of the longest one, which early R535 drivers wrote also for version 3. */
_Static_assert(sizeof(nvmlProcessInfo_v1_t) == 16 && sizeof(nvmlProcessInfo_v2_t) == 24 &&
               sizeof(nvmlProcessInfo_t) == 24 && sizeof(nvmlProcessDetail_v1_t) == 32, "process entries");

/*
 * process_list_grows TIMES [BY]: that many calls in a row that offer room for a list that is not empty learn that
 * the list has grown by BY (1) beyond the room they offered. The next one succeeds, and it begins again. So whoever
 * asks for the size and then once for the list fails, and whoever tries again succeeds.
 */
static bool grows(nvmlDevice_t device, unsigned int offered, unsigned int *needed)
{
    unsigned times = 0, by = 1;
    const char *value = state_value(MACHINE, "process_list_grows");

    if (value == NULL || *needed == 0 || offered == 0)
        return false;
    sscanf(value, "%u %u", &times, &by);
    if (device->grown >= times)
        return false;
    device->grown++;
    *needed = offered + by;
    return true;
}

static nvmlProcessDetail_v1_t entry(const struct line *line)
{
    char bytes[32], *end;
    nvmlProcessDetail_v1_t found = {.gpuInstanceId = UINT32_MAX, .computeInstanceId = UINT32_MAX};

    sscanf(line->value, "%u %31s %u %u", &found.pid, bytes, &found.gpuInstanceId, &found.computeInstanceId);
    if (strcmp(bytes, "na") == 0) {
        found.usedGpuMemory = (unsigned long long)NVML_VALUE_NOT_AVAILABLE;
    } else {
        found.usedGpuMemory = strtoull(bytes, &end, 10);
        found.usedGpuMemory += state_moved(line, end) << 20;
    }
    return found;
}

static nvmlReturn_t processes(struct place at, const char *key, unsigned int *count, void *result, size_t stride)
{
    REQUIRE(count && (*count == 0 || result));
    unsigned int offered = *count, needed = 0;

    for (const struct line *line = NULL; (line = state_next(line, at, key)) != NULL;)
        needed++;
    bool grown = grows(handle_of(at), offered, &needed);
    needed = (unsigned int)number_or(at, "process_count", needed);
    *count = needed;
    if (grown || offered < needed)
        return NVML_ERROR_INSUFFICIENT_SIZE;

    handle_of(at)->grown = 0;
    char *next = result;
    for (const struct line *line = NULL; (line = state_next(line, at, key)) != NULL; next += stride) {
        nvmlProcessDetail_v1_t found = entry(line);
        memcpy(next, &found, stride);
    }
    return NVML_SUCCESS;
}

#define PROCESSES(function, type, key, stride) \
    API(function)(nvmlDevice_t device, unsigned int *count, type *result) \
    { CALL(device); return processes(at, key, count, result, stride); }
#define V3_STRIDE number_or(MACHINE, "process_struct", sizeof(nvmlProcessInfo_t))

PROCESSES(nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t, "process", sizeof *result)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, "process", sizeof *result)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_t, "process", V3_STRIDE)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t, "graphics_process", sizeof *result)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t, "graphics_process", sizeof *result)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_t, "graphics_process", V3_STRIDE)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t, "mps_process", sizeof *result)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, "mps_process", sizeof *result)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_t, "mps_process", V3_STRIDE)

/* ---- What processes do ---- */

static unsigned long long microseconds_since_epoch(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

static nvmlProcessUtilizationSample_t sample(const struct line *line)
{
    char when[32], shares[4][32] = {"0", "0", "0", "0"}, *end;
    unsigned int percents[4];
    nvmlProcessUtilizationSample_t found = {0};

    sscanf(line->value, "%u %31s %31s %31s %31s %31s", &found.pid, when, shares[0], shares[1], shares[2], shares[3]);
    for (int i = 0; i < 4; i++) {
        percents[i] = (unsigned int)strtoul(shares[i], &end, 10);
        percents[i] += (unsigned int)state_moved(line, end);
    }
    found.smUtil = percents[0];
    found.memUtil = percents[1];
    found.encUtil = percents[2];
    found.decUtil = percents[3];
    found.timeStamp = strcmp(when, "now") == 0 ? microseconds_since_epoch() : strtoull(when, NULL, 10);
    return found;
}

API(nvmlDeviceGetProcessUtilization)(nvmlDevice_t device, nvmlProcessUtilizationSample_t *result, unsigned int *count,
                                     unsigned long long last_seen)
{
    CALL(device);
    REQUIRE(count && (*count == 0 || result));
    if (mig_enabled(at) || number_or(at, "process_utilization", 0) != 1)
        return NVML_ERROR_NOT_SUPPORTED;
    unsigned int offered = *count, needed = 0;

    /* An entry that the driver left unwritten, with time 0, is handed out as well: there have been such. */
    for (const struct line *line = NULL; (line = state_next(line, at, "process_sample")) != NULL;) {
        unsigned long long when = sample(line).timeStamp;
        needed += when == 0 || when > last_seen;
    }
    if (needed == 0)
        return NVML_ERROR_NOT_FOUND;
    bool grown = grows(device, offered, &needed);
    needed = (unsigned int)number_or(at, "process_count", needed);
    *count = needed;
    if (grown || offered < needed)
        return NVML_ERROR_INSUFFICIENT_SIZE;

    device->grown = 0;
    for (const struct line *line = NULL; (line = state_next(line, at, "process_sample")) != NULL;) {
        nvmlProcessUtilizationSample_t found = sample(line);
        if (found.timeStamp == 0 || found.timeStamp > last_seen)
            *result++ = found;
    }
    return NVML_SUCCESS;
}

/*
 * A stand-in for nvidia-smi that asks the same libnvidia-ml.so.1 (found through LD_LIBRARY_PATH). It answers
 * --query-gpu=FIELDS and --query-compute-apps=FIELDS, with --format=csv,noheader,nounits only.
 */
#define _GNU_SOURCE
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <nvml.h>

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void *library;

/* The library may lack any function, as an old driver's does. */
#define FUNCTION(name) ((__typeof__(&name))dlsym(library, #name))
#define CALL(name, ...) (FUNCTION(name) ? FUNCTION(name)(__VA_ARGS__) : NVML_ERROR_FUNCTION_NOT_FOUND)

struct row {
    unsigned int number;
    nvmlDevice_t device;
    const nvmlProcessInfo_v2_t *process; /* NULL in a table of GPUs */
};

static int fail(int status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    exit(status);
}

static const char *message(nvmlReturn_t code)
{
    return FUNCTION(nvmlErrorString) ? FUNCTION(nvmlErrorString)(code) : "Unknown Error";
}

static void print_number(nvmlReturn_t failed, unsigned long long value)
{
    if (failed == NVML_SUCCESS)
        printf("%llu", value);
    else if (failed == NVML_ERROR_NOT_SUPPORTED)
        printf("[N/A]");
    else
        printf("[%s]", message(failed));
}

static void print_text(nvmlReturn_t failed, const char *value)
{
    if (failed == NVML_SUCCESS)
        printf("%s", value);
    else
        print_number(failed, 0);
}

/* ---- The fields ---- */

static void field_index(const struct row *row)
{
    unsigned int value = 0;
    nvmlReturn_t failed = CALL(nvmlDeviceGetIndex, row->device, &value);
    print_number(failed, value);
}

static void field_uuid(const struct row *row)
{
    char value[NVML_DEVICE_UUID_V2_BUFFER_SIZE];
    nvmlReturn_t failed = CALL(nvmlDeviceGetUUID, row->device, value, sizeof value);
    print_text(failed, value);
}

static void field_name(const struct row *row)
{
    char value[NVML_DEVICE_NAME_V2_BUFFER_SIZE];
    nvmlReturn_t failed = CALL(nvmlDeviceGetName, row->device, value, sizeof value);
    print_text(failed, value);
}

static void field_driver_version(const struct row *row)
{
    char value[NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE];
    nvmlReturn_t failed = CALL(nvmlSystemGetDriverVersion, value, sizeof value);
    (void)row;
    print_text(failed, value);
}

static void field_temperature(const struct row *row)
{
    unsigned int value = 0;
    nvmlReturn_t failed = CALL(nvmlDeviceGetTemperature, row->device, NVML_TEMPERATURE_GPU, &value);
    print_number(failed, value);
}

static void field_utilization(const struct row *row)
{
    nvmlUtilization_t value = {0};
    nvmlReturn_t failed = CALL(nvmlDeviceGetUtilizationRates, row->device, &value);
    print_number(failed, value.gpu);
}

static void field_memory_utilization(const struct row *row)
{
    nvmlUtilization_t value = {0};
    nvmlReturn_t failed = CALL(nvmlDeviceGetUtilizationRates, row->device, &value);
    print_number(failed, value.memory);
}

static nvmlMemory_v2_t memory(const struct row *row, nvmlReturn_t *failed)
{
    nvmlMemory_v2_t value = {.version = nvmlMemory_v2};
    *failed = CALL(nvmlDeviceGetMemoryInfo_v2, row->device, &value);
    return value;
}

#define MEMORY_FIELD(part) \
    static void field_memory_##part(const struct row *row) \
    { \
        nvmlReturn_t failed; \
        nvmlMemory_v2_t value = memory(row, &failed); \
        print_number(failed, value.part >> 20); \
    }
MEMORY_FIELD(total)
MEMORY_FIELD(used)
MEMORY_FIELD(free)
MEMORY_FIELD(reserved)

static void field_pid(const struct row *row)
{
    print_number(NVML_SUCCESS, row->process->pid);
}

static void field_used_gpu_memory(const struct row *row)
{
    unsigned long long value = row->process->usedGpuMemory;
    print_number(value == (unsigned long long)NVML_VALUE_NOT_AVAILABLE ? NVML_ERROR_NOT_SUPPORTED : NVML_SUCCESS,
                 value >> 20);
}

static const struct field {
    const char *gpu_name, *app_name; /* NULL: not in that table */
    void (*print)(const struct row *);
} fields[] = {
    {"index", NULL, field_index},
    {"uuid", "gpu_uuid", field_uuid},
    {"gpu_uuid", NULL, field_uuid},
    {"name", "gpu_name", field_name},
    {"driver_version", NULL, field_driver_version},
    {"temperature.gpu", NULL, field_temperature},
    {"utilization.gpu", NULL, field_utilization},
    {"utilization.memory", NULL, field_memory_utilization},
    {"memory.total", NULL, field_memory_total},
    {"memory.used", NULL, field_memory_used},
    {"memory.free", NULL, field_memory_free},
    {"memory.reserved", NULL, field_memory_reserved},
    {NULL, "pid", field_pid},
    {NULL, "used_gpu_memory", field_used_gpu_memory},
    {NULL, "used_memory", field_used_gpu_memory},
};

static const struct field *find_field(const char *name, int apps)
{
    for (const struct field *field = fields; field < fields + sizeof fields / sizeof *fields; field++) {
        const char *candidate = apps ? field->app_name : field->gpu_name;
        if (candidate != NULL && strcmp(candidate, name) == 0)
            return field;
    }
    fail(2, "Field \"%s\" is not a valid field to query.\n", name);
    return NULL;
}

/* ---- The tables ---- */

static void print_row(const struct row *row, const struct field *const *columns, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            printf(", ");
        columns[i]->print(row);
    }
    printf("\n");
}

/* By version 2 of the call: this program would know the form of version 3 in its driver, but the stand-in varies it. */
static void print_apps(struct row row, const struct field *const *columns, size_t count)
{
    nvmlProcessInfo_v2_t *processes = NULL;
    unsigned int found = 0;
    nvmlReturn_t failed;

    while ((failed = CALL(nvmlDeviceGetComputeRunningProcesses_v2, row.device, &found, processes)) ==
           NVML_ERROR_INSUFFICIENT_SIZE) {
        found += 8;
        processes = realloc(processes, found * sizeof *processes);
        if (processes == NULL)
            abort();
    }
    if (failed != NVML_SUCCESS && failed != NVML_ERROR_NOT_SUPPORTED)
        fail(failed, "Unable to query the processes of GPU %u: %s\n", row.number, message(failed));
    for (unsigned int i = 0; failed == NVML_SUCCESS && i < found; i++) {
        row.process = &processes[i];
        print_row(&row, columns, count);
    }
    free(processes);
}

static const char *option(const char *argument, const char *name)
{
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 ? argument + length : NULL;
}

/* Take so many milliseconds of CPU time, as the real one does for what it looks up besides what it is asked. */
static void compute(const char *milliseconds)
{
    clock_t end = milliseconds != NULL ? clock() + atol(milliseconds) * (CLOCKS_PER_SEC / 1000) : 0;

    while (clock() < end)
        ;
}

int main(int argc, char **argv)
{
    const char *query = NULL, *format = "", *value;
    const struct field *columns[32];
    size_t count = 0;
    int apps = 0;
    unsigned int devices;
    nvmlReturn_t failed;

    for (int i = 1; i < argc; i++) {
        if ((value = option(argv[i], "--query-gpu=")) != NULL)
            query = value;
        else if ((value = option(argv[i], "--query-compute-apps=")) != NULL)
            query = value, apps = 1;
        else if ((value = option(argv[i], "--format=")) != NULL)
            format = value;
        else
            fail(2, "Invalid combination of input arguments: %s\n", argv[i]);
    }
    if (query == NULL || strcmp(format, "csv,noheader,nounits") != 0)
        fail(2, "This stand-in answers --query-gpu= and --query-compute-apps= with --format=csv,noheader,nounits.\n");
    compute(getenv("NVIDIA_SMI_CPU_MS"));
    char *names = strdup(query);
    for (char *name; count < 32 && (name = strsep(&names, ",")) != NULL;)
        columns[count++] = find_field(name + strspn(name, " "), apps);

    if ((library = dlopen("libnvidia-ml.so.1", RTLD_NOW)) == NULL)
        fail(12, "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\n");
    if ((failed = CALL(nvmlInitWithFlags, 0)) == NVML_ERROR_DRIVER_NOT_LOADED)
        fail(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the "
                "latest NVIDIA driver is installed and running.\n");
    if (failed != NVML_SUCCESS || (failed = CALL(nvmlDeviceGetCount_v2, &devices)) != NVML_SUCCESS)
        fail(failed, "Failed to initialize NVML: %s\n", message(failed));
    if (devices == 0)
        fail(6, "No devices were found\n");
    for (unsigned int i = 0; i < devices; i++) {
        struct row row = {i, NULL, NULL};
        if ((failed = CALL(nvmlDeviceGetHandleByIndex_v2, i, &row.device)) != NVML_SUCCESS)
            fail(failed, "Unable to determine the device handle for GPU%u: %s\n", i, message(failed));
        if (apps)
            print_apps(row, columns, count);
        else
            print_row(&row, columns, count);
    }
    CALL(nvmlShutdown);
    return 0;
}

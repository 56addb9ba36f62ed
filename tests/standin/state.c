#define _GNU_SOURCE
#include "state.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct place MACHINE = {-1, -1};

static enum state current = STATE_MISSING;
static struct stat seen;
static char *text;
static struct line *lines;
static int line_count;

/* The first and the last line about each place, since a machine of many devices has thousands of lines. */
static struct ends {
    int first, last;
} ends[1 + MAX_GPUS][1 + MAX_MIGS];

static void forget(void)
{
    free(text);
    free(lines);
    text = NULL;
    lines = NULL;
    line_count = 0;
    memset(ends, -1, sizeof ends);
    memset(&seen, 0, sizeof seen);
}

static bool same(struct place a, struct place b)
{
    return a.gpu == b.gpu && a.mig == b.mig;
}

/* Structured values are checked on reading, so that a mistake in a test is seen at once. */
static bool valid(const char *key, const char *value)
{
    char word[128], share[4][64], rest[2];
    unsigned a, b, c, d;
    unsigned long long n;

    if (strcmp(key, "error") == 0 || strcmp(key, "hang") == 0)
        return sscanf(value, "%127s %llu %1s", word, &n, rest) == 2;
    if (strcmp(key, "process") == 0 || strcmp(key, "graphics_process") == 0 || strcmp(key, "mps_process") == 0) {
        int found = sscanf(value, "%u %127s %u %u %1s", &a, word, &a, &b, rest);
        return (found == 2 || found == 4) && (strcmp(word, "na") == 0 || sscanf(word, "%llu", &n) == 1);
    }
    if (strcmp(key, "process_sample") == 0) {
        int found = sscanf(value, "%u %127s %63s %63s %63s %63s %1s", &a, word, share[0], share[1], share[2], share[3], rest);
        for (int i = 0; i < found - 2; i++)
            if (sscanf(share[i], "%u", &b) != 1)
                return false;
        return (found == 3 || found == 6) && (strcmp(word, "now") == 0 || sscanf(word, "%llu", &n) == 1);
    }
    if (strcmp(key, "field") == 0) {
        int found = sscanf(value, "%u %u %127s %u %1s", &a, &b, word, &c, rest);
        return found == 3 || found == 4;
    }
    if (strcmp(key, "gpm") == 0)
        return sscanf(value, "%u %127s %1s", &a, word, rest) == 2;
    if (strcmp(key, "ecc_location") == 0)
        return sscanf(value, "%u %u %u %llu %1s", &a, &b, &c, &n, rest) == 4;
    if (strcmp(key, "nvlink") == 0)
        return sscanf(value, "%u %u %1s", &a, &b, rest) == 2;
    if (strcmp(key, "nvlink_error") == 0)
        return sscanf(value, "%u %u %llu %1s", &a, &b, &n, rest) == 3;
    if (strcmp(key, "remapped_rows") == 0)
        return sscanf(value, "%u %u %u %u %1s", &a, &b, &c, &d, rest) == 4;
    if (strcmp(key, "process_struct") == 0)
        return strcmp(value, "24") == 0 || strcmp(value, "32") == 0;
    if (strcmp(key, "process_list_grows") == 0)
        return sscanf(value, "%u %1s", &a, rest) == 1 || sscanf(value, "%u %u %1s", &a, &b, rest) == 2;
    return *value != '\0';
}

static bool parse_line(char *line)
{
    struct place at = MACHINE;
    int start = 0;

    if (*line == '\0' || *line == '#')
        return true;
    if (strncmp(line, "device ", 7) == 0) {
        if (sscanf(line, "device %d %n", &at.gpu, &start) != 1 || at.gpu < 0 || at.gpu >= MAX_GPUS)
            return false;
    } else if (strncmp(line, "mig ", 4) == 0) {
        if (sscanf(line, "mig %d %d %n", &at.gpu, &at.mig, &start) != 2 || at.gpu < 0 || at.gpu >= MAX_GPUS ||
            at.mig < 0 || at.mig >= MAX_MIGS)
            return false;
    }
    char *key = line + start, *value = key + strcspn(key, " ");
    if (*value != '\0')
        *value++ = '\0';
    value += strspn(value, " ");
    if (*key == '\0' || !valid(key, value))
        return false;

    struct line *more = realloc(lines, ((size_t)line_count + 1) * sizeof *lines);
    if (more == NULL)
        return false;
    lines = more;
    lines[line_count] = (struct line){at, key, value, -1, 0};
    struct ends *of_place = &ends[1 + at.gpu][1 + at.mig];
    if (of_place->first < 0)
        of_place->first = line_count;
    else
        lines[of_place->last].next = line_count;
    of_place->last = line_count++;
    return true;
}

static enum state load(const char *path)
{
    enum state result = STATE_MISSING;
    FILE *file = fopen(path, "re");
    size_t size = 0;

    forget();
    if (file == NULL)
        return result;
    /* Of the open file, not of the path, which may by now name the next one. */
    if (fstat(fileno(file), &seen) == 0) {
        result = STATE_LOADED;
        if (getdelim(&text, &size, '\0', file) < 0) { /* empty */
            free(text);
            text = NULL;
        }
        for (char *line, *rest = text; (line = strsep(&rest, "\n")) != NULL;) {
            if (!parse_line(line)) {
                fprintf(stderr, "NVML stand-in: %s: cannot understand the line about \"%s\"\n", path, line);
                result = STATE_MALFORMED;
            }
        }
    }
    fclose(file);
    return result;
}

enum state state_refresh(void)
{
    const char *path = getenv("NVML_STANDIN");
    struct stat now;

    if (path == NULL || stat(path, &now) != 0) {
        forget();
        return current = STATE_MISSING;
    }
    if (now.st_dev != seen.st_dev || now.st_ino != seen.st_ino || now.st_size != seen.st_size ||
        now.st_mtim.tv_sec != seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != seen.st_mtim.tv_nsec)
        current = load(path);
    return current;
}

static int first_of(struct place at)
{
    return line_count ? ends[1 + at.gpu][1 + at.mig].first : -1;
}

const struct line *state_next(const struct line *previous, struct place at, const char *key)
{
    int i = previous ? previous->next : first_of(at);

    for (; i >= 0; i = lines[i].next)
        if (strcmp(lines[i].key, key) == 0)
            return &lines[i];
    return NULL;
}

const char *state_value(struct place at, const char *key)
{
    const struct line *line = state_next(NULL, at, key);
    return line ? line->value : NULL;
}

unsigned long state_moved(const struct line *line, const char *rest)
{
    if (*rest != '+')
        return 0;
    unsigned long values = strtoul(rest + 1, NULL, 10), readings = lines[line - lines].readings++;
    return values ? readings % values : readings;
}

bool state_has(struct place at)
{
    return first_of(at) >= 0;
}

int state_devices(void)
{
    int count = 0;

    for (int i = 0; i < line_count; i++)
        if (lines[i].at.gpu >= count)
            count = lines[i].at.gpu + 1;
    return count;
}

struct place state_find(const char *key, const char *value)
{
    for (int i = 0; i < line_count; i++)
        if (strcmp(lines[i].key, key) == 0 && strcmp(lines[i].value, value) == 0)
            return lines[i].at;
    return MACHINE;
}

bool state_rule(const char *kind, const char *function, struct place at, unsigned long *number)
{
    char pattern[128];
    int here = same(at, MACHINE) ? -1 : first_of(at), everywhere = first_of(MACHINE);

    while (here >= 0 || everywhere >= 0) { /* in the order of the file */
        int *turn = everywhere < 0 || (here >= 0 && here < everywhere) ? &here : &everywhere;
        const struct line *line = &lines[*turn];
        *turn = line->next;
        if (strcmp(line->key, kind) == 0 && sscanf(line->value, "%127s %lu", pattern, number) == 2 &&
            fnmatch(pattern, function, 0) == 0)
            return true;
    }
    return false;
}

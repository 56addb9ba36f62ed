/* The state of the stand-in: the lines of the file that NVML_STANDIN names (grammar: nvml.c). */
#ifndef STANDIN_STATE_H
#define STANDIN_STATE_H

#include <stdbool.h>

#define MAX_GPUS 64
#define MAX_MIGS 16

/* What a line or a call is about: the machine (-1, -1), a GPU (n, -1) or a MIG device (n, m). */
struct place {
    int gpu, mig;
};

struct line {
    struct place at;
    const char *key, *value;
    int next; /* the next line about the same place; -1: there is none */
    unsigned long readings; /* so far, of a value that moves */
};

enum state { STATE_LOADED, STATE_MISSING, STATE_MALFORMED };

/* Reads the file again if it changed. Not thread-safe, and every pointer handed out before is void afterwards. */
enum state state_refresh(void);

/* The next line with this place and key after `previous` (NULL: the first one); NULL when there is none. */
const struct line *state_next(const struct line *previous, struct place at, const char *key);

/* The value of the first such line; NULL when there is none. */
const char *state_value(struct place at, const char *key);

/* What is to be added to a number of this line, after which `rest` stands: see README.md, values that move. */
unsigned long state_moved(const struct line *line, const char *rest);

/* Whether any line is about this place. */
bool state_has(struct place at);

/* The highest device number plus one. */
int state_devices(void);

/* The place whose line `key` has this value; the machine when there is none. */
struct place state_find(const char *key, const char *value);

/* The number in the first `kind` ("error" or "hang") line that fits the call: of this place, or of the machine. */
bool state_rule(const char *kind, const char *function, struct place at, unsigned long *number);

#endif

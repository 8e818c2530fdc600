/* wasmtime: runner-wasmtime MODULE LIBRARY auto|winch|pulley plain|fuel RESERVATION. What it is asked and answers:
 * benchmarks/runtimes/runners.py. LIBRARY is that of Python's package wasmtime, which has no header: what is used of
 * its C interface is declared here, as far as it is used. RESERVATION is in bytes, or -1 for wasmtime's own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct { size_t size; char *data; } bytes_t;
typedef struct { uint64_t store; void *inner; } func_t;
typedef struct { uint64_t store; size_t inner; } instance_t;
typedef struct { _Alignas(8) uint8_t kind; union { func_t func; uint8_t all[24]; } of; } extern_t; /* a kind, a union of 24 bytes */
typedef union { int32_t i32; _Alignas(16) uint8_t all[16]; } raw_t;
typedef struct { void *store, *context; instance_t instance; } live_t;

#define TAKE(result, name, ...) static result (*name)(__VA_ARGS__)
TAKE(void *, wasm_config_new, void);
TAKE(void *, wasm_engine_new_with_config, void *);
TAKE(void, wasmtime_config_strategy_set, void *, uint8_t);
TAKE(void *, wasmtime_config_target_set, void *, const char *);
TAKE(void, wasmtime_config_consume_fuel_set, void *, _Bool);
TAKE(void, wasmtime_config_memory_reservation_set, void *, uint64_t);
TAKE(void *, wasmtime_module_new, void *, const uint8_t *, size_t, void **);
TAKE(void, wasmtime_module_delete, void *);
TAKE(void *, wasmtime_store_new, void *, void *, void (*)(void *));
TAKE(void *, wasmtime_store_context, void *);
TAKE(void, wasmtime_store_delete, void *);
TAKE(void *, wasmtime_context_set_fuel, void *, uint64_t);
TAKE(void *, wasmtime_instance_new, void *, void *, const void *, size_t, instance_t *, void **);
TAKE(_Bool, wasmtime_instance_export_get, void *, const instance_t *, const char *, size_t, extern_t *);
TAKE(void *, wasmtime_func_call_unchecked, void *, const func_t *, raw_t *, size_t, void **);
TAKE(void, wasmtime_error_message, void *, bytes_t *);

static void *engine, *module;
static int metered;

static void load(const char *library) {
    void *opened = dlopen(library, RTLD_NOW);
    if (!opened) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
#define FIND(name) \
    if (!(*(void **)&name = dlsym(opened, #name))) { \
        fprintf(stderr, "%s has no %s\n", library, #name); \
        exit(1); \
    }
    FIND(wasm_config_new) FIND(wasm_engine_new_with_config) FIND(wasmtime_config_strategy_set) FIND(wasmtime_config_target_set)
    FIND(wasmtime_config_consume_fuel_set) FIND(wasmtime_config_memory_reservation_set) FIND(wasmtime_module_new)
    FIND(wasmtime_module_delete) FIND(wasmtime_store_new) FIND(wasmtime_store_context) FIND(wasmtime_store_delete)
    FIND(wasmtime_context_set_fuel) FIND(wasmtime_instance_new) FIND(wasmtime_instance_export_get)
    FIND(wasmtime_func_call_unchecked) FIND(wasmtime_error_message)
}

static void check(void *error, void *trap, const char *doing) {
    if (!error && !trap) return;
    bytes_t words = {4, "trap"};
    if (error) wasmtime_error_message(error, &words);
    fprintf(stderr, "%s: %.*s\n", doing, (int)words.size, words.data);
    exit(1);
}

static int64_t cpu_ns(void) {
    struct timespec at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void sizes(int64_t *addresses, int64_t *resident) {
    FILE *file = fopen("/proc/self/statm", "r");
    long first, second;
    if (!file || fscanf(file, "%ld %ld", &first, &second) != 2) {
        fprintf(stderr, "/proc/self/statm can't be read\n");
        exit(1);
    }
    fclose(file);
    *addresses = first * sysconf(_SC_PAGESIZE), *resident = second * sysconf(_SC_PAGESIZE);
}

static void *compile(const uint8_t *bytes, size_t size) {
    void *made = NULL;
    check(wasmtime_module_new(engine, bytes, size, &made), NULL, "compile");
    return made;
}

static live_t instantiate(void) {
    live_t one;
    void *trap = NULL;
    one.store = wasmtime_store_new(engine, NULL, NULL);
    one.context = wasmtime_store_context(one.store);
    if (metered) check(wasmtime_context_set_fuel(one.context, UINT64_MAX), NULL, "fuel");
    check(wasmtime_instance_new(one.context, module, NULL, 0, &one.instance, &trap), trap, "instantiate");
    return one;
}

static uint32_t call(live_t *one, const char *name, int32_t argument, int64_t calls) {
    extern_t found;
    raw_t cell;
    if (!wasmtime_instance_export_get(one->context, &one->instance, name, strlen(name), &found)) {
        fprintf(stderr, "no export %s\n", name);
        exit(1);
    }
    while (calls--) {
        void *trap = NULL;
        cell.i32 = argument;
        void *error = wasmtime_func_call_unchecked(one->context, &found.of.func, &cell, 1, &trap);
        if (error || trap) check(error, trap, name);
    }
    return (uint32_t)cell.i32;
}

static void memory(const char *name, int64_t count) {
    int64_t addresses, resident, addresses_after, resident_after;
    sizes(&addresses, &resident);
    live_t *kept = calloc((size_t)count, sizeof *kept);
    for (int64_t i = 0; i < count; i++) {
        kept[i] = instantiate();
        call(&kept[i], name, 1, 1);
    }
    sizes(&addresses_after, &resident_after);
    printf("%lld %lld\n", (long long)(addresses_after - addresses), (long long)(resident_after - resident));
    for (int64_t i = 0; i < count; i++) wasmtime_store_delete(kept[i].store);
    free(kept);
}

int main(int count, char **words) {
    if (count != 6) return fprintf(stderr, "expected MODULE LIBRARY auto|winch|pulley plain|fuel RESERVATION\n"), 1;
    load(words[2]);
    FILE *file = fopen(words[1], "rb");
    static uint8_t bytes[1 << 20];
    size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    void *config = wasm_config_new();
    if (!strcmp(words[3], "winch")) wasmtime_config_strategy_set(config, 2);
    if (!strcmp(words[3], "pulley")) check(wasmtime_config_target_set(config, "pulley64"), NULL, "pulley64");
    metered = !strcmp(words[4], "fuel");
    wasmtime_config_consume_fuel_set(config, metered);
    if (atoll(words[5]) >= 0) wasmtime_config_memory_reservation_set(config, (uint64_t)atoll(words[5]));
    engine = wasm_engine_new_with_config(config);
    module = compile(bytes, size);
    live_t live = instantiate();
    char line[200], asked[40], name[80];
    while (fgets(line, sizeof line, stdin)) {
        long long times = 1;
        uint32_t word = 0;
        if (sscanf(line, "%39s %79s %lld", asked, name, &times) == 2) times = atoll(name);
        int64_t began = cpu_ns();
        if (!strcmp(asked, "compile"))
            for (long long i = 0; i < times; i++) wasmtime_module_delete(compile(bytes, size));
        else if (!strcmp(asked, "instantiate"))
            for (long long i = 0; i < times; i++) wasmtime_store_delete(instantiate().store);
        else if (!strcmp(asked, "calls"))
            word = call(&live, "empty", 7, times);
        else if (!strcmp(asked, "kernel"))
            word = call(&live, name, (int32_t)times, 1);
        else if (strcmp(asked, "memory"))
            return fprintf(stderr, "unknown question %s\n", asked), 1;
        if (strcmp(asked, "memory"))
            printf("%lld %u\n", (long long)(cpu_ns() - began), word);
        else
            memory(name, times);
        fflush(stdout);
    }
    return 0;
}

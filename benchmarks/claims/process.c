/* A small host: a process that loads wasmtime, takes a module that was compiled before, makes an instance, calls it
 * once, tells how much memory it has then, and ends. Usage: process LIBRARY COMPILED | process LIBRARY MODULE
 * COMPILED, which compiles. What is used of wasmtime's C interface is declared here. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct { size_t size; char *data; } bytes_t;
typedef struct { uint64_t store; size_t inner; } instance_t;
typedef struct { uint64_t store; void *inner; } func_t;
typedef struct { _Alignas(8) uint8_t kind; union { func_t func; uint8_t all[24]; } of; } extern_t;
typedef union { int32_t i32; _Alignas(16) uint8_t all[16]; } raw_t;

static void *library;

static void *find(const char *name) {
  void *found = dlsym(library, name);
  if (!found) {
    fprintf(stderr, "the library has no %s\n", name);
    exit(1);
  }
  return found;
}

#define TAKE(result, name, ...) result (*name)(__VA_ARGS__) = find(#name)

static void check(const void *error, const char *doing) {
  if (!error) return;
  fprintf(stderr, "%s failed\n", doing);
  exit(1);
}

static int compile(void *engine, const char *from, const char *into) {
  TAKE(void *, wasmtime_module_new, void *, const uint8_t *, size_t, void **);
  TAKE(void *, wasmtime_module_serialize, void *, bytes_t *);
  static uint8_t bytes[1 << 20];
  FILE *file = fopen(from, "rb");
  size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
  void *module = NULL;
  bytes_t compiled;
  check(wasmtime_module_new(engine, bytes, size, &module), "compiling");
  check(wasmtime_module_serialize(module, &compiled), "serialising");
  file = fopen(into, "wb");
  return !file || fwrite(compiled.data, 1, compiled.size, file) != compiled.size || fclose(file);
}

int main(int count, char **words) {
  if (count != 3 && count != 4) return fprintf(stderr, "expected LIBRARY COMPILED, or LIBRARY MODULE COMPILED\n"), 1;
  library = dlopen(words[1], RTLD_LAZY);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
  TAKE(void *, wasm_engine_new, void);
  TAKE(void *, wasmtime_module_deserialize_file, void *, const char *, void **);
  TAKE(void *, wasmtime_store_new, void *, void *, void (*)(void *));
  TAKE(void *, wasmtime_store_context, void *);
  TAKE(void *, wasmtime_instance_new, void *, void *, const void *, size_t, instance_t *, void **);
  TAKE(_Bool, wasmtime_instance_export_get, void *, const instance_t *, const char *, size_t, extern_t *);
  TAKE(void *, wasmtime_func_call_unchecked, void *, const func_t *, raw_t *, size_t, void **);
  void *engine = wasm_engine_new(), *module = NULL, *trap = NULL;
  if (count == 4) return compile(engine, words[2], words[3]);
  instance_t instance;
  extern_t export;
  raw_t cell = {.i32 = 7};
  check(wasmtime_module_deserialize_file(engine, words[2], &module), "loading");
  void *context = wasmtime_store_context(wasmtime_store_new(engine, NULL, NULL));
  check(wasmtime_instance_new(context, module, NULL, 0, &instance, &trap), "instantiating");
  if (trap || !wasmtime_instance_export_get(context, &instance, "empty", 5, &export)) return fprintf(stderr, "no empty\n"), 1;
  check(wasmtime_func_call_unchecked(context, &export.of.func, &cell, 1, &trap), "calling");
  long all, resident;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%ld %ld", &all, &resident) != 2) return fprintf(stderr, "/proc/self/statm can't be read\n"), 1;
  printf("%ld\n", resident * sysconf(_SC_PAGESIZE));
  fflush(stdout);
  _exit(0);
}

/* The host `c-api`: components called through wasmtime's C API with dynamic values, as a thrifty host in C does it. It keeps its
 * readings in structs; for each call it writes them into C values that it has made room for once (names are constants), and
 * reads what comes back into structs.
 *   host COMPONENT METERED RUNS CASE[:SIZE[:STEP]]...
 * Each case is called RUNS times between two marks, then 3 * RUNS times. A line for each: imports, bytes of frames and lists, fuel
 * of a call; and a second one, `spent` and the CPU time of both, in nanoseconds.
 * Belongs here: the host. Never: counting (plugin.c), what is made of the counts (fitting.py). */
#include "api.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

enum { READINGS_MAX = 256, BYTES_MAX = 4096, WARM = 32 };
typedef struct { uint16_t point; double value; uint32_t status; uint64_t measured; } reading_t;

static wasmtime_context_t *context;
static instance_t instance;
static reading_t readings[READINGS_MAX], got[READINGS_MAX];
static uint8_t bytes[BYTES_MAX];
static size_t got_count;
static uint64_t imports, carried;

static void stop(const char *what) { fprintf(stderr, "c-api: %s\n", what); exit(1); }
static void check(wasmtime_error_t *error, const char *where) {
  name_t text;
  if (!error) return;
  wasmtime_error_message(error, &text);
  fprintf(stderr, "c-api: %s: %.*s\n", where, (int)text.size, text.data);
  exit(1);
}

/* ---- values ---------------------------------------------------------------------------------------------------- */
static name_t name_of(const char *s) { return (name_t){strlen(s), (char *)s}; }
static void *room(size_t size) { void *at = calloc(1, size); if (!at) stop("no memory"); return at; }
static val_t text(const char *s) { return (val_t){KIND_STRING, {.string = name_of(s)}}; }
static val_t whole64(uint64_t n) { return (val_t){KIND_U64, {.u64 = n}}; }
static val_t real(double x) { return (val_t){KIND_F64, {.f64 = x}}; }
static val_t list_of(size_t size) { return (val_t){KIND_LIST, {.list = {size, room(32 * (size + 1))}}}; }
static val_t record(size_t size, const char *const names[]) {
  val_t v = {KIND_RECORD, {.record = {size, room(sizeof(entry_t) * size)}}};
  for (size_t i = 0; i < size; i++) v.of.record.data[i].name = name_of(names[i]);
  return v;
}
static val_t pair(const char *a, const char *b) {
  val_t v = {KIND_TUPLE, {.list = {2, room(64)}}};
  v.of.list.data[0] = text(a);
  v.of.list.data[1] = text(b);
  return v;
}

static val_t arguments[3], result;

static func_t func(const char *interface, const char *name) {
  func_t f;
  export_index_t *in = wasmtime_component_instance_get_export_index(&instance, context, NULL, interface, strlen(interface));
  export_index_t *at = wasmtime_component_instance_get_export_index(&instance, context, in, name, strlen(name));
  if (!in || !at || !wasmtime_component_instance_get_func(&instance, context, at, &f)) stop(name);
  return f;
}

/* ---- batches --------------------------------------------------------------------------------------------------- */
static val_t new_origin(void) {
  val_t v = record(2, (const char *const[]){"device", "sequence"});
  v.of.record.data[0].val = text("press-1");
  v.of.record.data[1].val = whole64(0);
  return v;
}

static val_t new_batch(void) {
  val_t v = record(3, (const char *const[]){"readings", "texts", "integers"});
  v.of.record.data[0].val = list_of(READINGS_MAX);
  v.of.record.data[1].val = list_of(0);
  v.of.record.data[2].val = list_of(0);
  val_t *data = v.of.record.data[0].val.of.list.data;
  for (size_t i = 0; i < READINGS_MAX; i++) data[i] = record(4, (const char *const[]){"point", "value", "status", "measured"});
  return v;
}

static void put_batch(val_t *batch, size_t count) {
  list_t *list = &batch->of.record.data[0].val.of.list;
  list->size = count;
  for (size_t i = 0; i < count; i++) {
    entry_t *field = list->data[i].of.record.data;
    field[0].val = (val_t){KIND_U16, {.u16 = readings[i].point}};
    field[1].val = real(readings[i].value);
    field[2].val = (val_t){KIND_U32, {.u32 = readings[i].status}};
    field[3].val = whole64(readings[i].measured);
  }
}

static void get_batch(const val_t *v) {
  if (v->kind != KIND_RESULT || !v->of.result.is_ok) stop("a call returned an error");
  const list_t *list = &v->of.result.val->of.record.data[0].val.of.list;
  got_count = list->size;
  for (size_t i = 0; i < list->size && i < READINGS_MAX; i++) {
    const entry_t *field = list->data[i].of.record.data;
    got[i] = (reading_t){field[0].val.of.u16, field[1].val.of.f64, field[2].val.of.u32, field[3].val.of.u64};
  }
}

/* ---- settings -------------------------------------------------------------------------------------------------- */
static void configure(const char *interface, size_t points, unsigned step, const char *const options[][2], size_t option_count) {
  static const char *const POINT[] = {"id", "name", "address", "unit", "scale", "offset", "low", "high", "sentinels"};
  val_t settings = record(3, (const char *const[]){"device", "points", "options"}), out = {0};
  val_t list = list_of(points), chosen = list_of(option_count);
  for (size_t i = 0; i < points; i++) {
    char *name = room(32), *address = room(48);
    snprintf(name, 32, "p%zu", i);
    snprintf(address, 48, "holding:%zu:u16", i * step);
    val_t p = record(9, POINT);
    val_t fields[] = {{KIND_U16, {.u16 = (uint16_t)i}}, text(name), text(address), text("bar"), real(0.1), real(0), {KIND_OPTION, {.option = NULL}},
                      {KIND_OPTION, {.option = NULL}}, list_of(0)};
    for (size_t k = 0; k < 9; k++) p.of.record.data[k].val = fields[k];
    list.of.list.data[i] = p;
  }
  for (size_t i = 0; i < option_count; i++) chosen.of.list.data[i] = pair(options[i][0], options[i][1]);
  settings.of.record.data[0].val = text("press-1");
  settings.of.record.data[1].val = list;
  settings.of.record.data[2].val = chosen;
  func_t f = func(interface, "configure");
  check(wasmtime_component_func_call(&f, context, &settings, 1, &out, 1), "configure");
  if (!out.of.result.is_ok) stop("configure returned an error");
}

/* ---- imports --------------------------------------------------------------------------------------------------- */
static size_t take_bytes(const val_t *v) {
  for (size_t i = 0; i < v->of.list.size; i++) bytes[i] = v->of.list.data[i].of.u8;
  carried += v->of.list.size;
  return v->of.list.size;
}

static val_t give_bytes(const uint8_t *at, size_t size) {
  val_t v = {.kind = KIND_LIST};
  wasmtime_component_vallist_new_uninit(&v.of.list, size);
  for (size_t i = 0; i < size; i++) v.of.list.data[i] = (val_t){KIND_U8, {.u8 = at[i]}};
  carried += size;
  return v;
}

#define CALLBACK(name) \
  static wasmtime_error_t *name(void *data, wasmtime_context_t *c, const func_type_t *t, val_t *args, size_t nargs, val_t *results, size_t nresults)
#define UNUSED (void)data, (void)c, (void)t, (void)args, (void)nargs, (void)results, (void)nresults, imports++

CALLBACK(on_now) { UNUSED; results[0] = whole64(1700000000000000000u); return NULL; }
CALLBACK(on_log) { UNUSED; return NULL; }
CALLBACK(on_exchange) { UNUSED; results[0] = give_bytes(bytes, take_bytes(&args[0])); return NULL; }

/* A Modbus TCP device that answers any read of registers. */
CALLBACK(on_transact) {
  UNUSED;
  uint8_t frame[260];
  take_bytes(&args[0]);
  unsigned count = bytes[10] << 8 | bytes[11];
  memcpy(frame, bytes, 8);
  frame[4] = 0;
  frame[5] = (uint8_t)(3 + 2 * count);
  frame[8] = (uint8_t)(2 * count);
  for (unsigned i = 0; i < 2 * count; i++) frame[9 + i] = (uint8_t)(i * 7);
  val_t reply = give_bytes(frame, 9 + 2 * count);
  results[0] = (val_t){KIND_RESULT, {.result = {true, wasmtime_component_val_new(&reply)}}};
  return NULL;
}

static void define(linker_t *linker, const char *interface, size_t count, const char *const names[], callback_t const calls[]) {
  linker_instance_t *root = wasmtime_component_linker_root(linker), *at;
  check(wasmtime_component_linker_instance_add_instance(root, interface, strlen(interface), &at), interface);
  for (size_t i = 0; i < count; i++)
    check(wasmtime_component_linker_instance_add_func(at, names[i], strlen(names[i]), calls[i], NULL, NULL), names[i]);
  wasmtime_component_linker_instance_delete(at);
  wasmtime_component_linker_instance_delete(root);
}

/* ---- cases ----------------------------------------------------------------------------------------------------- */
static func_t called;
static size_t size, argument_count, result_count;

static void call(void) { check(wasmtime_component_func_call(&called, context, arguments, argument_count, &result, result_count), "call"); }
/* The library drops what the slot holds before it writes the next result to it: let that be a bool. */
static void forget(void) { wasmtime_component_val_delete(&result); result.kind = KIND_BOOL; }
static void once_transform(void) {
  arguments[0].of.record.data[1].val.of.u64++;
  put_batch(&arguments[1], size);
  call();
  get_batch(&result);
  forget();
}
static void once_decide(void) {
  arguments[0].of.record.data[1].val.of.u64++;
  put_batch(&arguments[1], size);
  call();
  const val_t *decision = result.of.result.val;
  if (!result.of.result.is_ok) stop("decide returned an error");
  got_count = decision->of.record.data[1].val.of.list.size;
  readings[0].status = decision->of.record.data[0].val.of.variant.tag.size == 5;
  forget();
  readings[0].status = 0;
}
static void once_poll(void) { call(); get_batch(&result); forget(); }
static void once_number(void) { arguments[0] = (val_t){KIND_U32, {.u32 = (uint32_t)size}}; call(); }
static void once_nothing(void) { call(); }
static void once_take(void) {
  val_t *at = arguments[0].of.list.data;
  for (size_t i = 0; i < size; i++) at[i] = (val_t){KIND_U8, {.u8 = bytes[i]}};
  carried += size;
  call();
}
static void once_give(void) {
  arguments[0] = (val_t){KIND_U32, {.u32 = (uint32_t)size}};
  call();
  take_bytes(&result);
  forget();
}
static void once_say(void) {
  arguments[0] = (val_t){KIND_U32, {.u32 = (uint32_t)size}};
  call();
  memcpy(bytes, result.of.string.data, result.of.string.size);
  forget();
}

typedef void (*once_t)(void);

static once_t prepare(const char *what, unsigned step) {
  static const char *const DRIVER[][2] = {{"protocol", "modbus-tcp"}, {"unit", "1"}, {"gap", "32"}};
  static char said[BYTES_MAX + 1];
  argument_count = result_count = 1;
  if (!strcmp(what, "transform")) {
    configure("twinloop:gateway/transform@0.2.0", READINGS_MAX, 1, NULL, 0);
    called = func("twinloop:gateway/transform@0.2.0", "transform-readings");
    arguments[0] = new_origin(), arguments[1] = new_batch(), argument_count = 2;
    return once_transform;
  }
  if (!strcmp(what, "decide")) {
    configure("twinloop:gateway/policy@0.2.0", READINGS_MAX, 1, NULL, 0);
    called = func("twinloop:gateway/policy@0.2.0", "decide");
    arguments[0] = new_origin(), arguments[1] = new_batch(), argument_count = 3;
    arguments[2] = record(5, (const char *const[]){"up", "since", "backlog", "round-trip", "store-used"});
    val_t link[] = {{KIND_BOOL, {.boolean = true}}, whole64(5), {KIND_U32, {.u32 = 3}}, whole64(40000000), {KIND_F32, {.f32 = 0.25f}}};
    for (size_t i = 0; i < 5; i++) arguments[2].of.record.data[i].val = link[i];
    return once_decide;
  }
  if (!strcmp(what, "poll")) {
    configure("twinloop:gateway/driver@0.2.0", size, step, DRIVER, 3);
    called = func("twinloop:gateway/driver@0.2.0", "read-sensor");
    argument_count = 0;
    return once_poll;
  }
  called = func("counted:probe/probe", what);
  result_count = 0;
  if (!strcmp(what, "nothing")) { argument_count = 0; return once_nothing; }
  if (!strcmp(what, "take")) { arguments[0] = list_of(BYTES_MAX); arguments[0].of.list.size = size; return once_take; }
  if (!strcmp(what, "hear")) { memset(said, 'A', size); said[size] = 0; arguments[0] = text(said); return once_nothing; }
  if (!strcmp(what, "give")) { result_count = 1; return once_give; }
  if (!strcmp(what, "say")) { result_count = 1; return once_say; }
  return once_number;
}

static unsigned long long spent(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
}

static unsigned long long run(int position, once_t once, unsigned runs) {
  unsigned long long began = spent();
  syscall(MARK, MARK_BEGIN, 0);
  for (unsigned i = 0; i < runs; i++) once();
  syscall(MARK, MARK_END, position);
  return spent() - began;
}

static component_t *load(wasm_engine_t *engine, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) stop(path);
  uint8_t *wasm = room(1 << 20);
  size_t length = fread(wasm, 1, 1 << 20, file);
  component_t *component;
  check(wasmtime_component_new(engine, wasm, length, &component), path);
  fclose(file);
  return component;
}

int main(int argc, char **argv) {
  if (argc < 5) stop("expected COMPONENT METERED RUNS CASE...");
  bool metered = atoi(argv[2]);
  unsigned runs = (unsigned)atoi(argv[3]);
  wasm_config_t *config = wasm_config_new();
  wasmtime_config_consume_fuel_set(config, metered);
  wasmtime_config_parallel_compilation_set(config, false);
  wasm_engine_t *engine = wasm_engine_new_with_config(config);
  component_t *component = load(engine, argv[1]);
  linker_t *linker = wasmtime_component_linker_new(engine);
  wasmtime_component_linker_allow_shadowing(linker, true);
  check(wasmtime_component_linker_define_unknown_imports_as_traps(linker, component), "imports");
  define(linker, "twinloop:gateway/clock@0.2.0", 2, (const char *const[]){"now", "monotonic"}, (callback_t const[]){on_now, on_now});
  define(linker, "twinloop:gateway/log@0.2.0", 1, (const char *const[]){"log"}, (callback_t const[]){on_log});
  define(linker, "twinloop:gateway/fieldbus@0.2.0", 1, (const char *const[]){"transact"}, (callback_t const[]){on_transact});
  define(linker, "counted:probe/asked", 2, (const char *const[]){"now", "exchange"}, (callback_t const[]){on_now, on_exchange});
  for (size_t i = 0; i < READINGS_MAX; i++) readings[i] = (reading_t){(uint16_t)i, 3.25 + (double)i, 0, 1700000000000000000u + i};
  memset(bytes, 'A', sizeof bytes);
  for (int i = 4; i < argc; i++) {
    context = wasmtime_store_context(wasmtime_store_new(engine, NULL, NULL));
    if (metered) check(wasmtime_context_set_fuel(context, (uint64_t)1 << 60), "fuel");
    check(wasmtime_component_linker_instantiate(linker, context, component, &instance), "instantiate");
    char what[32];
    unsigned step = 1, length = 0;
    sscanf(argv[i], "%31[^:]:%u:%u", what, &length, &step);
    size = length;
    once_t once = prepare(what, step);
    uint64_t before = 0, after = 0;
    for (unsigned k = 0; k < WARM; k++) once();
    imports = carried = 0;
    if (metered) check(wasmtime_context_get_fuel(context, &before), "fuel");
    once();
    if (metered) check(wasmtime_context_get_fuel(context, &after), "fuel");
    printf("%llu %llu %llu\n", (unsigned long long)imports, (unsigned long long)carried, (unsigned long long)(before - after));
    unsigned long long few = run(2 * (i - 4), once, runs), many = run(2 * (i - 4) + 1, once, 3 * runs);
    printf("spent %llu %llu\n", few, many);
  }
  return 0;
}

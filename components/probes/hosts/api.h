/* What host.c needs of wasmtime's C API (version 50), declared by hand: the wheel that has the library has no headers.
 * Belongs here: declarations and the marks that plugin.c counts between. Never: what is counted. */
#ifndef COUNTED_API_H
#define COUNTED_API_H
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

typedef struct wasm_config wasm_config_t;
typedef struct wasm_engine wasm_engine_t;
typedef struct wasmtime_error wasmtime_error_t;
typedef struct wasmtime_store wasmtime_store_t;
typedef struct wasmtime_context wasmtime_context_t;
typedef struct wasmtime_component component_t;
typedef struct wasmtime_component_linker linker_t;
typedef struct wasmtime_component_linker_instance linker_instance_t;
typedef struct wasmtime_component_export_index export_index_t;
typedef struct wasmtime_component_func_type func_type_t;
typedef struct { size_t size; char *data; } name_t;
typedef struct { uint64_t store_id; uint32_t index; } instance_t;
typedef struct { struct { uint64_t store_id; uint32_t index; } at; uint32_t number; void *rest; } func_t;

enum { KIND_BOOL = 0, KIND_U8 = 2, KIND_U16 = 4, KIND_U32 = 6, KIND_U64 = 8, KIND_F32 = 9, KIND_F64 = 10, KIND_STRING = 12, KIND_LIST = 13,
       KIND_RECORD = 14, KIND_TUPLE = 15, KIND_VARIANT = 16, KIND_ENUM = 17, KIND_OPTION = 18, KIND_RESULT = 19 };
typedef struct val val_t;
typedef struct entry entry_t;
typedef struct { size_t size; val_t *data; } list_t;
struct val {
  uint8_t kind;
  union {
    bool boolean; uint8_t u8; uint16_t u16; uint32_t u32; uint64_t u64; float f32; double f64;
    name_t string;
    list_t list;
    struct { size_t size; entry_t *data; } record;
    struct { name_t tag; val_t *val; } variant;
    val_t *option;
    struct { bool is_ok; val_t *val; } result;
  } of;
};
struct entry { name_t name; val_t val; };

typedef wasmtime_error_t *(*callback_t)(void *, wasmtime_context_t *, const func_type_t *, val_t *, size_t, val_t *, size_t);
wasm_config_t *wasm_config_new(void);
void wasmtime_config_consume_fuel_set(wasm_config_t *, bool);
void wasmtime_config_parallel_compilation_set(wasm_config_t *, bool);
wasm_engine_t *wasm_engine_new_with_config(wasm_config_t *);
wasmtime_store_t *wasmtime_store_new(wasm_engine_t *, void *, void (*)(void *));
wasmtime_context_t *wasmtime_store_context(wasmtime_store_t *);
wasmtime_error_t *wasmtime_context_set_fuel(wasmtime_context_t *, uint64_t);
wasmtime_error_t *wasmtime_context_get_fuel(wasmtime_context_t *, uint64_t *);
void wasmtime_error_message(const wasmtime_error_t *, name_t *);
wasmtime_error_t *wasmtime_component_new(const wasm_engine_t *, const uint8_t *, size_t, component_t **);
linker_t *wasmtime_component_linker_new(const wasm_engine_t *);
linker_instance_t *wasmtime_component_linker_root(linker_t *);
void wasmtime_component_linker_allow_shadowing(linker_t *, bool);
wasmtime_error_t *wasmtime_component_linker_define_unknown_imports_as_traps(linker_t *, const component_t *);
wasmtime_error_t *wasmtime_component_linker_instance_add_instance(linker_instance_t *, const char *, size_t, linker_instance_t **);
wasmtime_error_t *wasmtime_component_linker_instance_add_func(linker_instance_t *, const char *, size_t, callback_t, void *, void (*)(void *));
void wasmtime_component_linker_instance_delete(linker_instance_t *);
wasmtime_error_t *wasmtime_component_linker_instantiate(const linker_t *, wasmtime_context_t *, const component_t *, instance_t *);
export_index_t *wasmtime_component_instance_get_export_index(const instance_t *, wasmtime_context_t *, const export_index_t *, const char *, size_t);
bool wasmtime_component_instance_get_func(const instance_t *, wasmtime_context_t *, const export_index_t *, func_t *);
wasmtime_error_t *wasmtime_component_func_call(const func_t *, wasmtime_context_t *, const val_t *, size_t, val_t *, size_t);
void wasmtime_component_vallist_new_uninit(list_t *, size_t);
val_t *wasmtime_component_val_new(val_t *);
void wasmtime_component_val_delete(val_t *);

_Static_assert(sizeof(val_t) == 32 && sizeof(entry_t) == 48 && sizeof(func_t) == 32, "wasmtime 50's C values");

/* ---- marks: a system call that Linux doesn't have --------------------------------------------------------------- */
enum { MARK = 7001, MARK_BEGIN = 1, MARK_END = 2 };
#endif

/* WASI 0.2 as the hostile driver calls it: imports by hand (wit/world.wit has their types), in flat canonical ABI.
 * A result below 0 is -1 - WASI's error code, whose words differ from package to package. */
#include "../text.h"

#define IMPORT(interface, name) __attribute__((import_module("wasi:" interface "@0.2.0"), import_name(name)))

enum { NO_FOLDER = -1000 };

IMPORT("cli/exit", "exit") void wasi_exit(int32_t failed);
IMPORT("cli/stderr", "get-stderr") int32_t wasi_stderr(void);
IMPORT("io/streams", "[method]output-stream.blocking-write-and-flush") void wasi_write_raw(int32_t stream, const void *at, size_t len, void *ret);
IMPORT("io/poll", "[method]pollable.block") void wasi_block(int32_t pollable);
IMPORT("clocks/monotonic-clock", "subscribe-duration") int32_t wasi_subscribe(uint64_t when);
IMPORT("filesystem/preopens", "get-directories") void wasi_folders(void *ret);
IMPORT("filesystem/types", "[method]descriptor.open-at") void wasi_open_at(int32_t folder, int32_t follow, const char *path, size_t len, int32_t open, int32_t flags, void *ret);
IMPORT("filesystem/types", "[method]descriptor.write") void wasi_write_file(int32_t file, const void *at, size_t len, uint64_t offset, void *ret);
IMPORT("sockets/tcp-create-socket", "create-tcp-socket") void wasi_create_socket(int32_t family, void *ret);

typedef struct { uint32_t tag; int32_t value; } outcome_t;

static int32_t handle_of(outcome_t o) { return o.tag & 0xFF ? -1 - (o.value & 0xFF) : o.value; }

static void wasi_write(int32_t stream, const char *at, size_t len) {
  uint32_t ret[3];
  wasi_write_raw(stream, at, len, ret);
}

static void wasi_sleep(uint64_t ns) { wasi_block(wasi_subscribe(ns)); }

/* The first folder that there is; NO_FOLDER when nothing is granted. */
static int32_t wasi_folder(void) {
  struct { struct { int32_t handle; const char *at; size_t len; } *ptr; size_t len; } found;
  wasi_folders(&found);
  return found.len ? found.ptr[0].handle : NO_FOLDER;
}

static int32_t wasi_create(int32_t folder, const char *path, size_t len) {
  outcome_t o;
  if (folder < 0) return folder;
  wasi_open_at(folder, 0, path, len, 1 /* create */, 3 /* read, write */, &o);
  return handle_of(o);
}

static int32_t wasi_write_at(int32_t file, const void *at, size_t len, uint64_t offset) {
  struct { uint64_t tag, value; } o;
  wasi_write_file(file, at, len, offset, &o);
  return o.tag & 0xFF ? -1 - (int32_t)(o.value & 0xFF) : 0;
}

static int32_t wasi_socket(void) {
  outcome_t o;
  wasi_create_socket(0 /* ipv4 */, &o);
  return handle_of(o);
}

static const char *file_word(int32_t code) {
  return code >= 0 ? "open" : code == NO_FOLDER ? "no folder" : code == -1 ? "access" : code == -7 ? "quota" : "refused";
}

static const char *socket_word(int32_t code) { return code >= 0 ? "open" : code == -2 ? "access-denied" : "refused"; }

/* hostile-driver: modbus-driver that does in its polls what its option `do` says; without it, it is modbus-driver.
 * `from`: the first poll of an instance that does it, counted from 1 (default 3). Its other options are modbus-driver's.
 *
 *  loop             never returns
 *  grow             asks for memory without end, and writes to what it gets
 *  recurse          calls itself without end
 *  trap             traps
 *  null-call        calls a function that isn't there
 *  wild             writes beyond its memory
 *  huge             returns a batch with a text of 10 MB
 *  huge-list        returns a batch of 10 MB of readings
 *  bad-utf8         returns a text that isn't UTF-8
 *  nan              returns NaN as Good
 *  double           returns a point twice
 *  fail             says of itself that it has failed
 *  flood-log        logs without end
 *  watch            looks at the clock without end
 *  flood-stderr     writes lines to standard error without end
 *  hold-bus         waits for an answer that nobody sends, for ever
 *  sleep, sleep-wasi   sleeps for ever, by the contract's clock or by WASI's
 *  open             opens a file and a socket, and answers with an error that says what came of it
 *  fill             writes to a file without end, until that is refused
 *  hoard            takes standard error again and again, and gives it back never
 *  exit             ends itself */
#define exports_twinloop_gateway_driver_configure configure_of_modbus
#define exports_twinloop_gateway_driver_read_sensor read_sensor_of_modbus
#define exports_twinloop_gateway_driver_get_status get_status_of_modbus
#include "../modbus-driver/driver.c"
#undef exports_twinloop_gateway_driver_configure
#undef exports_twinloop_gateway_driver_read_sensor
#undef exports_twinloop_gateway_driver_get_status
#include "wasi.h"

enum { HUGE_BYTES = 10000000, PAGE = 65536 };

typedef exports_twinloop_gateway_driver_batch_t batch_t;
typedef bool (*deed_t)(batch_t *ret, error_t *err);

static deed_t deed;
static uint64_t from, polls;
static bool has_failed;
static volatile uint32_t sink;

/* ---- what it does to itself -------------------------------------------------------------------------------------- */
static bool loops(batch_t *ret, error_t *err) { for (;;) sink++; }

static bool grows(batch_t *ret, error_t *err) {
  for (;;) {
    size_t page = __builtin_wasm_memory_grow(0, 1);
    if (page != SIZE_MAX) *(volatile uint8_t *)(page * PAGE) = 1;
  }
}

__attribute__((noinline)) static uint32_t deeper(uint32_t n) { return n == UINT32_MAX ? n : deeper(n + 1) + sink; }
static bool recurses(batch_t *ret, error_t *err) { return sink = deeper(1); }
static bool traps(batch_t *ret, error_t *err) { __builtin_trap(); }

static bool calls_nothing(batch_t *ret, error_t *err) {
  deed_t volatile nothing = NULL;
  return nothing(ret, err);
}

static bool writes_wildly(batch_t *ret, error_t *err) {
  *(volatile uint32_t *)(uintptr_t)0xFFFFFFF0u = 1;
  return false;
}

static bool exits(batch_t *ret, error_t *err) { wasi_exit(1); __builtin_unreachable(); }

static bool fails(batch_t *ret, error_t *err) {
  has_failed = true;
  return read_sensor_of_modbus(ret, err);
}

/* ---- what it returns --------------------------------------------------------------------------------------------- */
static bool text_batch(batch_t *ret, uint8_t *at, size_t len) {
  twinloop_gateway_types_text_reading_t *one = malloc(sizeof *one);
  *one = (twinloop_gateway_types_text_reading_t){.point = d.points[0].id, .value = {at, len}, .measured = twinloop_gateway_clock_now()};
  *ret = (batch_t){.texts = {one, 1}};
  return true;
}

static bool returns_a_huge_text(batch_t *ret, error_t *err) {
  uint8_t *at = malloc(HUGE_BYTES);
  memset(at, 'x', HUGE_BYTES);
  return text_batch(ret, at, HUGE_BYTES);
}

static bool returns_a_huge_list(batch_t *ret, error_t *err) {
  size_t count = HUGE_BYTES / sizeof(reading_t);
  *ret = (batch_t){.readings = {calloc(count, sizeof(reading_t)), count}};
  return true;
}

static bool returns_bad_utf8(batch_t *ret, error_t *err) {
  static const uint8_t bad[] = {'p', 0xC3, 0x28, 0xFF};
  uint8_t *at = malloc(sizeof bad);
  memcpy(at, bad, sizeof bad);
  return text_batch(ret, at, sizeof bad);
}

static bool returns_nan(batch_t *ret, error_t *err) {
  if (!read_sensor_of_modbus(ret, err)) return false;
  for (size_t i = 0; i < ret->readings.len; i++) { ret->readings.ptr[i].value = __builtin_nan(""); ret->readings.ptr[i].status = STATUS_GOOD; }
  return true;
}

static bool returns_a_point_twice(batch_t *ret, error_t *err) {
  if (!read_sensor_of_modbus(ret, err)) return false;
  for (size_t i = 1; i < ret->readings.len; i++) ret->readings.ptr[i].point = ret->readings.ptr[0].point;
  return true;
}

/* ---- what it does to others -------------------------------------------------------------------------------------- */
static bool floods_log(batch_t *ret, error_t *err) { for (;;) note(TWINLOOP_GATEWAY_LOG_LEVEL_ERROR, "you will read this again"); }

static bool watches(batch_t *ret, error_t *err) { for (;;) sink += (uint32_t)twinloop_gateway_clock_monotonic(); }

static bool floods_stderr(batch_t *ret, error_t *err) {
  static const char line[] = "hostile-driver: you will read this again\n";
  int32_t stream = wasi_stderr();
  for (;;) wasi_write(stream, line, sizeof line - 1);
}

static bool holds_the_bus(batch_t *ret, error_t *err) {
  uint8_t ask[1] = {0};
  device_driver_list_u8_t request = {ask, sizeof ask}, got;
  twinloop_gateway_fieldbus_framing_t never = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_EXACTLY, .val.exactly = 4096};
  for (;;) twinloop_gateway_fieldbus_transact(&request, &never, UINT64_MAX, &got, &err->val.bus);
}

static bool sleeps(batch_t *ret, error_t *err) { for (;;) twinloop_gateway_clock_sleep(UINT64_MAX); }
static bool sleeps_by_wasi(batch_t *ret, error_t *err) { for (;;) wasi_sleep(UINT64_MAX / 2); }

static bool told(error_t *err, const char *first, const char *first_word, const char *second, const char *second_word) {
  const char *parts[] = {first, first_word, second, second_word};
  char text[100] = "";
  for (size_t i = 0; i < 4; i++) strncat(text, parts[i], sizeof text - 1 - strlen(text));
  err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER;
  text_out(&err->val.other, text);
  return false;
}

static bool opens(batch_t *ret, error_t *err) {
  int32_t file = wasi_create(wasi_folder(), "stolen", 6);
  return told(err, "file: ", file_word(file), ", socket: ", socket_word(wasi_socket()));
}

static bool fills(batch_t *ret, error_t *err) {
  static uint8_t block[4096];
  static int32_t file = -1;
  uint64_t at = 0;
  int32_t outcome = 0;
  if (file < 0) file = wasi_create(wasi_folder(), "full", 4);
  if (file < 0) return told(err, "file: ", file_word(file), "", "");
  while (outcome >= 0) { outcome = wasi_write_at(file, block, sizeof block, at); at += sizeof block; }
  return told(err, "write: ", file_word(outcome), "", "");
}

static bool hoards(batch_t *ret, error_t *err) { for (;;) sink += (uint32_t)wasi_stderr(); }

/* ---- the contract ------------------------------------------------------------------------------------------------ */
static const struct { const char *name; deed_t run; } DEEDS[] = {
  {"loop", loops}, {"grow", grows}, {"recurse", recurses}, {"trap", traps}, {"null-call", calls_nothing}, {"wild", writes_wildly},
  {"huge", returns_a_huge_text}, {"huge-list", returns_a_huge_list}, {"bad-utf8", returns_bad_utf8}, {"nan", returns_nan},
  {"double", returns_a_point_twice}, {"fail", fails}, {"flood-log", floods_log}, {"watch", watches}, {"flood-stderr", floods_stderr},
  {"hold-bus", holds_the_bus}, {"sleep", sleeps}, {"sleep-wasi", sleeps_by_wasi}, {"open", opens}, {"fill", fills},
  {"hoard", hoards}, {"exit", exits}};

static bool own_option(text_t key, text_t value) {
  if (text_is(key, "from")) return text_unsigned(value, UINT64_MAX, &from);
  if (!text_is(key, "do")) return false;
  for (size_t i = 0; i < sizeof DEEDS / sizeof *DEEDS; i++)
    if (text_is(value, DEEDS[i].name)) deed = DEEDS[i].run;
  return deed != NULL;
}

/* Its own options are taken out of the list; a wrong one stays, and modbus-driver refuses it. */
bool exports_twinloop_gateway_driver_configure(exports_twinloop_gateway_driver_settings_t *s, exports_twinloop_gateway_driver_config_error_t *err) {
  size_t kept = 0;
  from = 3;
  for (size_t i = 0; i < s->options.len; i++) {
    device_driver_tuple2_string_string_t one = s->options.ptr[i];
    if (own_option(TEXT(one.f0), TEXT(one.f1))) device_driver_tuple2_string_string_free(&one);
    else s->options.ptr[kept++] = one;
  }
  s->options.len = kept;
  return configure_of_modbus(s, err);
}

bool exports_twinloop_gateway_driver_read_sensor(batch_t *ret, error_t *err) {
  return deed && ++polls >= from ? deed(ret, err) : read_sensor_of_modbus(ret, err);
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  get_status_of_modbus(ret);
  if (!has_failed) return;
  ret->health = TWINLOOP_GATEWAY_TYPES_HEALTH_FAILED;
  text_out(&ret->detail, "out of order");
}

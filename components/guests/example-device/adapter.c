/* Makes a driver of a component that exports an interface of example:device: `configure(interval)` and `read-sensor`.
 *
 * Each poll is one `read-sensor`, whose value becomes that of one point; the others have no reading. What the interface
 * can't say (a write, a status) is answered here. It is built four times: READ_RESULT and CONFIGURE_RESULT say whether
 * these functions return a `result<_, string>`. It reaches nothing itself: no fieldbus, no clock. */
#include "bindings/device_driver.h"
#include "text.h"
#include <math.h>

#define IMPORT(name) __attribute__((import_module("example:device/sensor@0.1.0"), import_name(name)))

/* OPC UA status codes */
#define STATUS_UNCERTAIN 0x40000000u
#define STATUS_SENSOR 0x808C0000u

/* As the canonical ABI lays a reading out in memory. */
typedef struct { float value; uint64_t timestamp; device_driver_string_t unit; } device_reading_t;

#ifdef READ_RESULT
typedef struct { uint8_t is_err; union { device_reading_t ok; device_driver_string_t err; } val; } device_answer_t;
#else
typedef struct { struct { device_reading_t ok; } val; } device_answer_t;
#endif
IMPORT("read-sensor") void device_read_sensor(device_answer_t *answer);

#ifdef CONFIGURE_RESULT
typedef struct { uint8_t is_err; device_driver_string_t err; } device_outcome_t;
IMPORT("configure") void device_configure(uint32_t interval, device_outcome_t *outcome);
#else
IMPORT("configure") void device_configure(uint32_t interval);
#endif

static const struct { const char *name; uint64_t ns; } UNITS[] = {{"s", 1000000000u}, {"ms", 1000000u}, {"us", 1000u}, {"ns", 1u}};

static bool configured, failing;
static uint64_t polls, errors;
static uint16_t point;
static double scale, offset;
static uint64_t timestamp_ns;                       /* 0: told by its size */
static device_driver_string_t unit, detail;

/* Keeps a text for later calls. */
static void keep(device_driver_string_t *kept, text_t text) {
  device_driver_string_free(kept);
  device_driver_string_dup_n(kept, text.at, text.len);
}

/* ---- configure ---- */
static bool refuse(exports_twinloop_gateway_driver_config_error_t *err, uint8_t tag, device_driver_string_t *text) {
  err->tag = tag;
  err->val.other = *text;
  text->len = 0;
  return false;
}

static bool timestamp_unit(text_t value) {
  timestamp_ns = 0;
  if (text_is(value, "auto")) return true;
  for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; i++)
    if (text_is(value, UNITS[i].name)) timestamp_ns = UNITS[i].ns;
  return timestamp_ns > 0;
}

static bool told_by_gateway(text_t name) { return text_is(name, "protocol") || text_is(name, "unit") || text_is(name, "endpoint"); }

static bool set_up(exports_twinloop_gateway_driver_settings_t *s, exports_twinloop_gateway_driver_config_error_t *err, uint32_t *interval) {
  uint64_t interval_ns = 1000000000u;
  text_t wanted = {"", 0};
  timestamp_ns = 0;
  for (size_t i = 0; i < s->options.len; i++) {
    text_t name = TEXT(s->options.ptr[i].f0), value = text_trim(TEXT(s->options.ptr[i].f1));
    bool good = true;
    if (text_is(name, "interval")) good = text_duration(value, &interval_ns) && interval_ns >= 1000000u;
    else if (text_is(name, "timestamp")) good = timestamp_unit(value);
    else if (text_is(name, "point")) wanted = value;
    else if (!told_by_gateway(name)) return refuse(err, TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION, &s->options.ptr[i].f0);
    if (!good) return refuse(err, TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION, &s->options.ptr[i].f0);
  }
  *interval = (uint32_t)(interval_ns / 1000000u);
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    if (wanted.len && !text_same(TEXT(c->name), wanted)) continue;
    point = c->id;
    scale = c->scale;
    offset = c->offset;
    keep(&unit, TEXT(c->unit));
    return true;
  }
  err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION;
  device_driver_string_dup(&err->val.other, "point");
  return false;
}

bool exports_twinloop_gateway_driver_configure(exports_twinloop_gateway_driver_settings_t *settings, exports_twinloop_gateway_driver_config_error_t *err) {
  uint32_t interval = 0;
  configured = set_up(settings, err, &interval);
  exports_twinloop_gateway_driver_settings_free(settings);
  if (!configured) return false;
#ifdef CONFIGURE_RESULT
  device_outcome_t outcome;
  device_configure(interval, &outcome);
  if (outcome.is_err) {
    configured = false;
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_OTHER;
    err->val.other = outcome.err;
    return false;
  }
#else
  device_configure(interval);
#endif
  polls = errors = 0;
  failing = false;
  keep(&detail, (text_t){"", 0});
  return true;
}

/* ---- read-sensor ---- */
/* Since 1970, in ns. Of a time without a unit the size tells it: in s it is below 10^11 until the year 5138, in ms above. */
static bool measured(uint64_t timestamp, uint64_t *out_ns) {
  uint64_t unit_ns = timestamp_ns;
  if (!unit_ns) unit_ns = timestamp < 100000000000u ? 1000000000u : timestamp < 100000000000000u ? 1000000u : timestamp < 100000000000000000u ? 1000u : 1u;
  *out_ns = timestamp * unit_ns;
  return timestamp <= UINT64_MAX / unit_ns;
}

static bool failed(exports_twinloop_gateway_driver_driver_error_t *err, uint8_t tag, device_driver_string_t text) {
  err->tag = tag;
  err->val.other = text;
  errors++;
  failing = true;
  keep(&detail, TEXT(text));
  return false;
}

bool exports_twinloop_gateway_driver_read_sensor(exports_twinloop_gateway_driver_batch_t *ret, exports_twinloop_gateway_driver_driver_error_t *err) {
  device_answer_t answer;
  device_driver_string_t text;
  uint64_t measured_ns;
  if (!configured) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED;
    return false;
  }
  polls++;
  device_read_sensor(&answer);
#ifdef READ_RESULT
  if (answer.is_err) return failed(err, TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER, answer.val.err);
#endif
  device_reading_t *got = &answer.val.ok;
  if (!measured(got->timestamp, &measured_ns)) {
    device_driver_string_free(&got->unit);
    device_driver_string_dup(&text, "a timestamp beyond the year 2554");
    return failed(err, TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_MALFORMED, text);
  }
  bool other_unit = unit.len && got->unit.len && !text_same(TEXT(unit), TEXT(got->unit));
  if (other_unit) keep(&detail, TEXT(got->unit));
  else keep(&detail, (text_t){"", 0});
  device_driver_string_free(&got->unit);
  bool number = isfinite(got->value);
  twinloop_gateway_types_reading_t *reading = malloc(sizeof *reading);
  if (!reading) __builtin_trap();
  reading->point = point;
  reading->value = number ? (double)got->value * scale + offset : 0;
  reading->status = !number ? STATUS_SENSOR : other_unit ? STATUS_UNCERTAIN : 0;
  reading->measured = measured_ns;
  ret->readings.ptr = reading;
  ret->readings.len = 1;
  ret->texts.len = ret->integers.len = 0;
  failing = false;
  return true;
}

/* ---- what the interface can't say ---- */
bool exports_twinloop_gateway_driver_write_register(uint16_t at, exports_twinloop_gateway_driver_written_t *value, exports_twinloop_gateway_driver_driver_error_t *err) {
  exports_twinloop_gateway_driver_written_free(value);
  err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER;
  device_driver_string_dup(&err->val.other, "read-only");
  return false;
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  ret->health = failing ? TWINLOOP_GATEWAY_TYPES_HEALTH_DEGRADED : TWINLOOP_GATEWAY_TYPES_HEALTH_OK;
  ret->polls = polls;
  ret->errors = errors;
  device_driver_string_dup_n(&ret->detail, (const char *)detail.ptr, detail.len);
}

/* @NAME@: a driver. It reads and writes holding registers of one Modbus device, over TCP or a serial line.
 *
 * `configure` is called first; then `read_sensor` at each poll. There is one instance for each device. What the gateway
 * hands over is ours: it is freed, or handed back.
 *
 * Sources: MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b; MODBUS over Serial Line V1.02. */
#include "bindings/device_driver.h"
#include "text.h"
#include <math.h>

enum { POINTS_MAX = 1000, LATE_MAX = 4, LATE_AGE_MAX = 63, ADU_MAX = 260, READ = 3, WRITE_ONE = 6, WRITE_MANY = 16 };

/* OPC UA status codes */
#define STATUS_COMMUNICATION 0x80050000u
#define STATUS_TIMEOUT 0x800A0000u
#define STATUS_NOT_CONNECTED 0x808A0000u
#define STATUS_DEVICE 0x808B0000u
#define STATUS_SENSOR 0x808C0000u

typedef exports_twinloop_gateway_driver_driver_error_t error_t;
typedef enum { U16, I16, U32, I32, F32, TYPES } type_t;
typedef struct { uint16_t id, address; type_t type; double scale, offset; } point_t;
typedef struct { uint8_t bytes[ADU_MAX]; size_t len; } frame_t;

static const struct { const char *name; uint16_t registers; double low, high; } TYPE[TYPES] = {
  {"u16", 1, 0, UINT16_MAX}, {"i16", 1, INT16_MIN, INT16_MAX}, {"u32", 2, 0, UINT32_MAX}, {"i32", 2, INT32_MIN, INT32_MAX}, {"f32", 2, 0, 0}};

/* what is kept between two calls */
static bool configured, rtu, failing;
static uint8_t unit;
static uint16_t transaction;
static uint64_t timeout, polls, errors;
static point_t points[POINTS_MAX];
static size_t point_count;

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static void put16(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}

/* ---- settings ---- */
static bool digits_only(text_t t) {
  for (size_t i = 0; i < t.len; i++)
    if (t.at[i] < '0' || t.at[i] > '9') return false;
  return t.len > 0;
}

static bool set_option(text_t name, text_t value, bool *known) {
  uint64_t n = 0;
  *known = true;
  value = text_trim(value);
  if (text_is(name, "protocol")) {
    rtu = text_is(value, "modbus-rtu");
    return rtu || text_is(value, "modbus-tcp");
  }
  if (text_is(name, "unit")) {
    if (!text_unsigned(value, UINT8_MAX, &n)) return false;
    unit = (uint8_t)n;
    return true;
  }
  if (text_is(name, "timeout")) return text_duration(value, &timeout) && timeout > 0;
  return *known = false;
}

/* "holding:40:f32:be": where a value is and how it is coded. Nothing is trimmed. */
static bool set_address(text_t rest, point_t *p) {
  size_t colons = 0;
  uint64_t address;
  for (size_t i = 0; i < rest.len; i++) colons += rest.at[i] == ':';
  if (colons < 1 || colons > 3 || !text_is(text_cut(&rest, ':'), "holding")) return false;
  text_t at = text_cut(&rest, ':'), type = colons > 1 ? text_cut(&rest, ':') : (text_t){"u16", 3};
  if (colons > 2 && !text_is(rest, "be")) return false;
  for (p->type = U16; p->type < TYPES && !text_is(type, TYPE[p->type].name); p->type++) {}
  if (p->type == TYPES || at.len > 5 || !digits_only(at)) return false;
  if (!text_unsigned(at, 65536u - TYPE[p->type].registers, &address)) return false;
  p->address = (uint16_t)address;
  return true;
}

/* Hands a text of the settings back as the error's payload. */
static bool refuse(exports_twinloop_gateway_driver_config_error_t *err, uint8_t tag, device_driver_string_t *text) {
  err->tag = tag;
  err->val.other = *text;
  text->len = 0;
  return false;
}

static bool set_up(exports_twinloop_gateway_driver_settings_t *s, exports_twinloop_gateway_driver_config_error_t *err) {
  if (s->points.len > POINTS_MAX) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_TOO_MANY_POINTS;
    err->val.too_many_points = POINTS_MAX;
    return false;
  }
  rtu = false;
  unit = 1;
  timeout = 1000000000u;
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!set_option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &known))
      return refuse(err, known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION, &s->options.ptr[i].f0);
  }
  point_count = s->points.len;
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    points[i] = (point_t){.id = c->id, .scale = c->scale, .offset = c->offset};
    if (!set_address(TEXT(c->address), &points[i]) || c->scale == 0) return refuse(err, TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_ADDRESS, &c->address);
  }
  return true;
}

/* ---- values ---- */
static double decoded(type_t type, const uint8_t *p) {
  uint32_t bits = TYPE[type].registers == 1 ? get16(p) : (uint32_t)get16(p) << 16 | get16(p + 2);
  float f;
  memcpy(&f, &bits, sizeof f);
  return type == I16 ? (int16_t)bits : type == I32 ? (int32_t)bits : type == F32 ? (double)f : (double)bits;
}

/* The registers of a raw value; false when the type can't hold it. */
static bool encoded(type_t type, double raw, uint8_t *p) {
  uint32_t bits;
  float f = (float)raw;
  if (type == F32) {
    if (!isfinite(f)) return false;
    memcpy(&bits, &f, sizeof bits);
  } else {
    raw = rint(raw);                                /* halves to even */
    if (!(raw >= TYPE[type].low && raw <= TYPE[type].high)) return false;
    bits = (uint32_t)(int64_t)raw;
  }
  if (TYPE[type].registers == 2) { put16(p, (uint16_t)(bits >> 16)); p += 2; }
  put16(p, (uint16_t)bits);
  return true;
}

/* ---- one exchange ---- */
static bool malformed(error_t *err, const char *what) {
  err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_MALFORMED;
  device_driver_string_dup(&err->val.malformed, what);
  return false;
}

static uint16_t crc16(const uint8_t *p, size_t n) {
  uint16_t crc = 0xFFFF;
  while (n--) {
    crc ^= *p++;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (uint16_t)(crc >> 1 ^ 0xA001) : (uint16_t)(crc >> 1);
  }
  return crc;
}

static frame_t framed(const uint8_t *pdu, size_t n) {
  frame_t f = {.len = n + (rtu ? 3 : 7)};
  if (rtu) {
    f.bytes[0] = unit;
    memcpy(f.bytes + 1, pdu, n);
    uint16_t crc = crc16(f.bytes, n + 1);
    f.bytes[n + 1] = (uint8_t)crc;                  /* the CRC travels low byte first */
    f.bytes[n + 2] = (uint8_t)(crc >> 8);
    return f;
  }
  put16(f.bytes, transaction);
  put16(f.bytes + 2, 0);
  put16(f.bytes + 4, (uint16_t)(n + 1));
  f.bytes[6] = unit;
  memcpy(f.bytes + 7, pdu, n);
  return f;
}

/* Takes the PDU out of a reply; `late`: it answers an earlier request. */
static bool unwrapped(device_driver_list_u8_t adu, frame_t *pdu, bool *late, error_t *err) {
  const uint8_t *p = adu.ptr;
  size_t head = rtu ? 1 : 7, tail = rtu ? 2 : 0;
  *late = false;
  if (adu.len < head + 2 + tail || adu.len > (rtu ? 256u : 260u)) return malformed(err, "length");
  if (rtu) {
    uint16_t crc = crc16(p, adu.len - 2);
    if (p[adu.len - 2] != (uint8_t)crc || p[adu.len - 1] != (uint8_t)(crc >> 8)) return malformed(err, "crc");
  } else {
    if (get16(p + 2) != 0) return malformed(err, "protocol");
    if (get16(p + 4) + 6u != adu.len) return malformed(err, "length");
    uint16_t age = (uint16_t)(transaction - get16(p));
    *late = age >= 1 && age <= LATE_AGE_MAX;
    if (*late) return true;
    if (age) return malformed(err, "transaction");
  }
  if (p[head - 1] != unit) return malformed(err, "unit");
  pdu->len = adu.len - head - tail;
  memcpy(pdu->bytes, p + head, pdu->len);
  return true;
}

static bool talk(const uint8_t *pdu, size_t n, frame_t *reply, error_t *err) {
  device_driver_list_u8_t adu;
  twinloop_gateway_fieldbus_framing_t framing = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_SILENCE};
  if (!rtu) {
    framing.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_LENGTH_FIELD;
    framing.val.length_field = (twinloop_gateway_fieldbus_length_field_t){.offset = 4, .size = 2, .big_endian = true, .adjust = 0};
  }
  transaction++;
  frame_t request = framed(pdu, n);
  device_driver_list_u8_t sent = {request.bytes, request.len};
  bool came = twinloop_gateway_fieldbus_transact(&sent, &framing, timeout, &adu, &err->val.bus), late = true;
  for (int put_aside = 0; came; put_aside++) {
    bool ok = unwrapped(adu, reply, &late, err);
    device_driver_list_u8_free(&adu);
    if (!ok) return false;
    if (!late) break;
    if (put_aside == LATE_MAX) return malformed(err, "transaction");
    came = twinloop_gateway_fieldbus_receive(&framing, timeout, &adu, &err->val.bus);
  }
  if (!came) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_BUS;
    return false;
  }
  if (reply->len == 2 && reply->bytes[0] == (pdu[0] | 0x80)) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_REJECTED;
    err->val.rejected = reply->bytes[1];
    return false;
  }
  return reply->bytes[0] == pdu[0] || malformed(err, "function");
}

static bool is_bus(const error_t *err) { return err->tag == TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_BUS; }
static bool is_timeout(const error_t *err) { return is_bus(err) && err->val.bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT; }

/* As `talk`; what still comes after a failure can't be trusted: the connection is dropped. */
static bool exchange(const uint8_t *pdu, size_t n, frame_t *reply, error_t *err) {
  bool ok = talk(pdu, n, reply, err);
  if (ok && pdu[0] == READ && (reply->len != 2u + 2u * pdu[4] || reply->bytes[1] != 2u * pdu[4])) ok = malformed(err, "byte count");
  if (ok && pdu[0] != READ && (reply->len != 5 || memcmp(reply->bytes, pdu, 5) != 0)) ok = malformed(err, "echo");
  if (!ok && (err->tag == TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_MALFORMED || (is_timeout(err) && !rtu))) twinloop_gateway_fieldbus_reset();
  return ok;
}

static bool read_point(const point_t *p, double *value, error_t *err) {
  uint8_t pdu[5] = {READ};
  frame_t reply;
  put16(pdu + 1, p->address);
  put16(pdu + 3, TYPE[p->type].registers);
  if (!exchange(pdu, sizeof pdu, &reply, err)) return false;
  *value = decoded(p->type, reply.bytes + 2) * p->scale + p->offset;
  return true;
}

static uint32_t status_of(const error_t *err) {
  if (err->tag == TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_REJECTED) return STATUS_DEVICE;
  return is_timeout(err) ? STATUS_TIMEOUT : is_bus(err) ? STATUS_NOT_CONNECTED : STATUS_COMMUNICATION;
}

/* ---- what the gateway calls ---- */
bool exports_twinloop_gateway_driver_configure(exports_twinloop_gateway_driver_settings_t *settings,
                                               exports_twinloop_gateway_driver_config_error_t *err) {
  failing = false;
  configured = set_up(settings, err);
  exports_twinloop_gateway_driver_settings_free(settings);
  return configured;
}

bool exports_twinloop_gateway_driver_read_sensor(exports_twinloop_gateway_driver_batch_t *ret, error_t *err) {
  if (!configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  size_t good = 0;
  uint32_t silent = 0;                              /* a silent device is asked once a poll, not once a point */
  polls++;
  failing = false;
  *ret = (exports_twinloop_gateway_driver_batch_t){0};
  if (point_count) ret->readings.ptr = calloc(point_count, sizeof *ret->readings.ptr);
  for (size_t i = 0; i < point_count; i++) {
    twinloop_gateway_types_reading_t *r = &ret->readings.ptr[ret->readings.len++];
    error_t failed;
    *r = (twinloop_gateway_types_reading_t){.point = points[i].id, .status = silent};
    if (!silent && read_point(&points[i], &r->value, &failed)) {
      good++;
      if (!isfinite(r->value)) { r->value = 0; r->status = STATUS_SENSOR; }
    } else if (!silent) {
      r->status = status_of(&failed);
      if (is_bus(&failed)) silent = r->status;
      if (failing) exports_twinloop_gateway_driver_driver_error_free(&failed); else *err = failed;
      failing = true;
    }
    r->measured = twinloop_gateway_clock_now();
  }
  errors += failing;
  if (!failing) return true;
  if (!good) {
    exports_twinloop_gateway_driver_batch_free(ret);
    return false;
  }
  exports_twinloop_gateway_driver_driver_error_free(err);
  return true;
}

bool exports_twinloop_gateway_driver_write_register(exports_twinloop_gateway_driver_point_t point, double value, error_t *err) {
  if (!configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  size_t i = 0;
  while (i < point_count && points[i].id != point) i++;
  if (i == point_count) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NO_SUCH_POINT;
    err->val.no_such_point = point;
    return false;
  }
  const point_t *p = &points[i];
  bool one = TYPE[p->type].registers == 1;
  uint8_t pdu[10] = {one ? WRITE_ONE : WRITE_MANY, [4] = 2, [5] = 4};
  frame_t reply;
  put16(pdu + 1, p->address);
  if (!encoded(p->type, (value - p->offset) / p->scale, pdu + (one ? 3 : 6))) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER;
    device_driver_string_dup(&err->val.other, "value does not fit the register's type");
    return false;
  }
  bool ok = exchange(pdu, one ? 5 : 10, &reply, err);
  errors += !ok;
  return ok;
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  ret->health = !configured ? TWINLOOP_GATEWAY_TYPES_HEALTH_FAILED : failing ? TWINLOOP_GATEWAY_TYPES_HEALTH_DEGRADED : TWINLOOP_GATEWAY_TYPES_HEALTH_OK;
  ret->polls = polls;
  ret->errors = errors;
  device_driver_string_dup(&ret->detail, !configured ? "not configured" : failing ? "last poll failed" : "");
}

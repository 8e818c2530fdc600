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
#define STATUS_NO_DATA 0x809B0000u

typedef exports_twinloop_gateway_driver_driver_error_t error_t;
typedef exports_twinloop_gateway_driver_written_t written_t;
typedef twinloop_gateway_types_integer_t integer_t;
typedef enum { U16, I16, U32, I32, U64, I64, F32, TYPES } type_t;
/* `whole`: its readings are integers, exact. */
typedef struct { uint16_t id, address; type_t type; bool whole; double scale, offset; device_driver_list_u64_t sentinels; } point_t;
typedef struct { uint8_t bytes[ADU_MAX]; size_t len; } frame_t;

static const struct { const char *name; uint16_t registers; bool is_signed; } TYPE[TYPES] = {
  {"u16", 1, false}, {"i16", 1, true}, {"u32", 2, false}, {"i32", 2, true}, {"u64", 4, false}, {"i64", 4, true}, {"f32", 2, true}};

/* what is kept between two calls */
static bool configured, rtu, failing;
static uint8_t unit;
static uint16_t transaction;
static uint64_t timeout, polls, errors;
static point_t points[POINTS_MAX];
static size_t point_count, whole_count;

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

static unsigned bits_of(type_t type) { return 16u * TYPE[type].registers; }

/* Does no sentinel need more bits than the point's registers have? */
static bool sentinels_fit(const point_t *p) {
  for (size_t i = 0; i < p->sentinels.len; i++)
    if (p->sentinels.ptr[i] > UINT64_MAX >> (64 - bits_of(p->type))) return false;
  return true;
}

static void forget_points(void) {
  while (point_count) device_driver_list_u64_free(&points[--point_count].sentinels);
  whole_count = 0;
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
  forget_points();
  rtu = false;
  unit = 1;
  timeout = 1000000000u;
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!set_option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &known))
      return refuse(err, known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION, &s->options.ptr[i].f0);
  }
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    point_t *p = &points[point_count++];
    *p = (point_t){.id = c->id, .scale = c->scale, .offset = c->offset, .sentinels = c->sentinels};
    c->sentinels.len = 0;                           /* ours now: not freed with the settings */
    if (!set_address(TEXT(c->address), p) || c->scale == 0 || !sentinels_fit(p)) return refuse(err, TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_ADDRESS, &c->address);
    p->whole = (p->type == U64 || p->type == I64) && p->scale == 1 && p->offset == 0;
    whole_count += p->whole;
  }
  return true;
}

/* ---- values ---- */
static double decoded(type_t type, uint64_t bits) {
  unsigned unused = 64 - bits_of(type);
  uint32_t low = (uint32_t)bits;
  float f;
  memcpy(&f, &low, sizeof f);
  return type == F32 ? (double)f : TYPE[type].is_signed ? (double)((int64_t)(bits << unused) >> unused) : (double)bits;
}

/* The bits of a raw value; false when the type can't hold it. */
static bool encoded(type_t type, double raw, uint64_t *bits) {
  if (type == F32) {
    float f = (float)raw;
    uint32_t low;
    memcpy(&low, &f, sizeof low);
    *bits = low;
    return isfinite(f);
  }
  double top = ldexp(1, (int)bits_of(type));
  raw = rint(raw);                                  /* halves to even */
  if (TYPE[type].is_signed ? !(raw >= -top / 2 && raw < top / 2) : !(raw >= 0 && raw < top)) return false;
  *bits = TYPE[type].is_signed ? (uint64_t)(int64_t)raw : (uint64_t)raw;
  return true;
}

static bool is_negative(integer_t n) { return n.tag == TWINLOOP_GATEWAY_TYPES_INTEGER_SIGNED && n.val.signed_ < 0; }

/* The bits of an integer, exact; false when the type can't hold it. */
static bool encoded_integer(type_t type, integer_t n, uint64_t *bits) {
  uint64_t all = UINT64_MAX >> (64 - bits_of(type)), top = TYPE[type].is_signed ? all / 2 : all;
  *bits = n.val.unsigned_;                          /* both cases lie in the same eight bytes */
  return is_negative(n) ? TYPE[type].is_signed && n.val.signed_ >= -(int64_t)top - 1 : *bits <= top;
}

/* The bits of what is written to a point; false when its type can't hold that. */
static bool raw_of(const point_t *p, const written_t *value, uint64_t *bits) {
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT) return false;
  double real = value->val.real;
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_INTEGER) {
    integer_t n = value->val.integer;
    if (p->type != F32 && p->scale == 1 && p->offset == 0) return encoded_integer(p->type, n, bits);
    real = is_negative(n) ? (double)n.val.signed_ : (double)n.val.unsigned_;
  }
  return encoded(p->type, (real - p->offset) / p->scale, bits);
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

static bool read_point(const point_t *p, uint64_t *bits, error_t *err) {
  uint8_t pdu[5] = {READ};
  frame_t reply;
  put16(pdu + 1, p->address);
  put16(pdu + 3, TYPE[p->type].registers);
  if (!exchange(pdu, sizeof pdu, &reply, err)) return false;
  *bits = 0;
  for (size_t i = 0; i < TYPE[p->type].registers; i++) *bits = *bits << 16 | get16(reply.bytes + 2 + 2 * i);
  return true;
}

static bool is_sentinel(const point_t *p, uint64_t bits) {
  for (size_t i = 0; i < p->sentinels.len; i++) if (bits == p->sentinels.ptr[i]) return true;
  return false;
}

/* Adds what was read of a point to the batch: its bits, or why there are none. */
static void add(exports_twinloop_gateway_driver_batch_t *to, const point_t *p, uint64_t bits, uint32_t status) {
  double value = status ? 0 : decoded(p->type, bits) * p->scale + p->offset;
  if (p->whole) {
    twinloop_gateway_types_integer_reading_t *r = &to->integers.ptr[to->integers.len++];
    *r = (twinloop_gateway_types_integer_reading_t){.point = p->id, .status = status, .measured = twinloop_gateway_clock_now()};
    r->value.tag = p->type == I64 ? TWINLOOP_GATEWAY_TYPES_INTEGER_SIGNED : TWINLOOP_GATEWAY_TYPES_INTEGER_UNSIGNED;
    r->value.val.unsigned_ = status ? 0 : bits;     /* both cases lie in the same eight bytes */
    return;
  }
  if (!isfinite(value)) { value = 0; status = STATUS_SENSOR; }
  to->readings.ptr[to->readings.len++] = (twinloop_gateway_types_reading_t){p->id, value, status, twinloop_gateway_clock_now()};
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
  if (whole_count) ret->integers.ptr = calloc(whole_count, sizeof *ret->integers.ptr);
  if (point_count > whole_count) ret->readings.ptr = calloc(point_count - whole_count, sizeof *ret->readings.ptr);
  for (size_t i = 0; i < point_count; i++) {
    uint32_t status = silent;
    uint64_t bits = 0;
    error_t failed;
    if (!silent && read_point(&points[i], &bits, &failed)) {
      good++;
      if (is_sentinel(&points[i], bits)) status = STATUS_NO_DATA;
    } else if (!silent) {
      status = status_of(&failed);
      if (is_bus(&failed)) silent = status;
      if (failing) exports_twinloop_gateway_driver_driver_error_free(&failed); else *err = failed;
      failing = true;
    }
    add(ret, &points[i], bits, status);
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

static bool write_point(uint16_t id, const written_t *value, error_t *err) {
  if (!configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  size_t i = 0;
  while (i < point_count && points[i].id != id) i++;
  if (i == point_count) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NO_SUCH_POINT;
    err->val.no_such_point = id;
    return false;
  }
  const point_t *p = &points[i];
  uint16_t count = TYPE[p->type].registers;
  size_t head = count == 1 ? 3 : 6;
  uint8_t pdu[14] = {count == 1 ? WRITE_ONE : WRITE_MANY, [4] = (uint8_t)count, [5] = (uint8_t)(2 * count)};
  uint64_t bits;
  frame_t reply;
  put16(pdu + 1, p->address);
  if (!raw_of(p, value, &bits)) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER;
    device_driver_string_dup(&err->val.other, "value does not fit the register's type");
    return false;
  }
  for (size_t k = count; k-- > 0; bits >>= 16) put16(pdu + head + 2 * k, (uint16_t)bits);
  bool ok = exchange(pdu, head + 2 * count, &reply, err);
  errors += !ok;
  return ok;
}

bool exports_twinloop_gateway_driver_write_register(exports_twinloop_gateway_driver_point_t point, written_t *value, error_t *err) {
  bool ok = write_point(point, value, err);
  exports_twinloop_gateway_driver_written_free(value);
  return ok;
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  ret->health = !configured ? TWINLOOP_GATEWAY_TYPES_HEALTH_FAILED : failing ? TWINLOOP_GATEWAY_TYPES_HEALTH_DEGRADED : TWINLOOP_GATEWAY_TYPES_HEALTH_OK;
  ret->polls = polls;
  ret->errors = errors;
  device_driver_string_dup(&ret->detail, !configured ? "not configured" : failing ? "last poll failed" : "");
}

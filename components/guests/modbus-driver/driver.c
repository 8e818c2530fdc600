/* modbus-driver: one Modbus device behind the contract's `driver`, TCP, RTU or ASCII, as straight-line code that waits.
 * Options: protocol (modbus-tcp | modbus-rtu | modbus-ascii | modbus-rtu-over-tcp), unit (0-255), timeout ("200 ms"), retries (0-10), gap (registers that a
 * block read may bridge, 0-32), block (largest read in registers, 1-125).
 * A block whose read fails marks its own points Bad; only when no block could be read is the poll an error. */
#include "../bindings/device_driver.h"
#include "points.h"

enum { POINTS_MAX = 1000, STALE_MAX = 4, BITS_MAX = 2000 };

/* OPC UA Part 6 annex A.2, StatusCodes */
enum { STATUS_GOOD = 0, BAD_TIMEOUT = 0x800A0000u, BAD_NOT_CONNECTED = 0x808A0000u, BAD_DEVICE = 0x808B0000u,
       BAD_SENSOR = 0x808C0000u, BAD_COMMUNICATION = 0x80050000u, BAD_NO_DATA = 0x809B0000u, BAD_DECODING = 0x80070000u };

typedef struct { uint16_t first, count, start, end; uint8_t table; bool powers; } block_t;   /* points[start..end) live in it; powers: of ten, too */
typedef struct { uint32_t status; uint16_t address; int16_t value; uint8_t table; } power_t;  /* what scales points, as of this poll */

typedef exports_twinloop_gateway_driver_driver_error_t error_t;
typedef twinloop_gateway_types_reading_t reading_t;
typedef twinloop_gateway_types_integer_reading_t integer_reading_t;
typedef twinloop_gateway_types_text_reading_t text_reading_t;

static struct {
  point_t *points;
  block_t *blocks;
  power_t *powers;
  size_t point_count, read_count, block_count, power_count;   /* points[0..read_count) are read, the others written only */
  size_t whole_count, text_count;                     /* of those that are read: whole numbers, texts */
  uint64_t timeout_ns, polls, errors;
  uint32_t retries, gap, block_max;
  uint16_t transaction;
  uint8_t unit;
  form_t form;
  bool rtu, configured, failing;                      /* rtu: on a serial line, which discards what is unread */
} d;

static void text_out(device_driver_string_t *out, const char *s) { device_driver_string_dup(out, s); }

static void text_joined(device_driver_string_t *out, text_t first, const char *second) {
  size_t more = strlen(second);
  out->ptr = malloc(out->len = first.len + more);
  memcpy(out->ptr, first.at, first.len);
  memcpy(out->ptr + first.len, second, more);
}

static void note(uint8_t level, const char *s) {
  device_driver_string_t line;
  device_driver_string_set(&line, s);
  twinloop_gateway_log_log(level, &line);
}

static bool protocol(text_t value) {
  static const char *const names[] = {"modbus-tcp", "modbus-rtu", "modbus-ascii", "modbus-rtu-over-tcp"};   /* by form */
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!text_is(value, names[i])) continue;
    d.form = (form_t)i;
    d.rtu = d.form == FORM_RTU || d.form == FORM_ASCII;
    return true;
  }
  return false;
}

/* ---- configure ------------------------------------------------------------------------------------------------ */
static bool option(text_t key, text_t value, bool *known) {
  uint64_t n = 0;
  *known = true;
  if (text_is(key, "protocol")) return protocol(value);
  if (text_is(key, "timeout")) return text_duration(value, &d.timeout_ns) && d.timeout_ns > 0;
  if (text_is(key, "unit")) { bool ok = text_unsigned(value, 255, &n); d.unit = (uint8_t)n; return ok; }
  if (text_is(key, "retries")) { bool ok = text_unsigned(value, 10, &n); d.retries = (uint32_t)n; return ok; }
  if (text_is(key, "gap")) { bool ok = text_unsigned(value, 32, &n); d.gap = (uint32_t)n; return ok; }
  if (text_is(key, "block")) { bool ok = text_unsigned(value, 125, &n) && n; d.block_max = (uint32_t)n; return ok; }
  return *known = false;
}

static int by_address(const void *a, const void *b) {
  const point_t *x = a, *y = b;
  if (x->write_only != y->write_only) return x->write_only ? 1 : -1;
  if (x->table != y->table) return x->table < y->table ? -1 : 1;
  if (x->address != y->address) return x->address < y->address ? -1 : 1;
  return x->id < y->id ? -1 : x->id > y->id;
}

static void group(void) {
  d.block_count = 0;
  for (size_t i = 0; i < d.read_count; i++) {
    const point_t *p = &d.points[i];
    block_t *b = d.block_count ? &d.blocks[d.block_count - 1] : NULL;
    uint32_t end = (uint32_t)p->address + p->width, limit = p->table <= TABLE_DISCRETE ? BITS_MAX : d.block_max;
    if (b && b->table == p->table && p->address <= (uint32_t)b->first + b->count + d.gap && end - b->first <= limit) {
      if (end > (uint32_t)b->first + b->count) b->count = (uint16_t)(end - b->first);
      b->end = (uint16_t)(i + 1);
    } else {
      d.blocks[d.block_count++] = (block_t){p->address, p->width, (uint16_t)i, (uint16_t)(i + 1), p->table, false};
    }
  }
}

static power_t *power_of(const point_t *p) {
  for (size_t i = 0; i < d.power_count; i++)
    if (d.powers[i].table == p->table && d.powers[i].address == p->power) return &d.powers[i];
  return NULL;
}

static bool lies_in(const power_t *w, const block_t *b) {
  return w->table == b->table && w->address >= b->first && w->address < (uint32_t)b->first + b->count;
}

/* Each power once, and the blocks that have some; a power that no point of its own brings into a block is none. */
static bool find_powers(void) {
  for (size_t i = 0; i < d.point_count; i++) {
    const point_t *p = &d.points[i];
    if (!p->scaled_live || power_of(p)) continue;
    power_t *w = &d.powers[d.power_count++];
    *w = (power_t){BAD_NO_DATA, p->power, 0, p->table};
    bool found = false;
    for (size_t k = 0; k < d.block_count; k++) if (lies_in(w, &d.blocks[k])) d.blocks[k].powers = found = true;
    if (!found) return false;
  }
  return true;
}

/* NULL, or what is wrong with a point's sentinels. */
static const char *set_point(const twinloop_gateway_types_point_config_t *c, point_t *p) {
  p->id = c->id;
  p->scale = c->scale;
  p->offset = c->offset;
  p->whole = p->kind != KIND_BIT && p->kind != KIND_FLOAT && p->kind != KIND_TEXT && p->width == 4 && !p->field && !p->scaled_live
          && c->scale == 1 && c->offset == 0;
  if (!p->write_only) {
    d.read_count++;
    d.whole_count += p->whole;
    d.text_count += p->kind == KIND_TEXT;
  }
  return point_sentinels(p, c->sentinels.ptr, c->sentinels.len);
}

bool exports_twinloop_gateway_driver_configure(exports_twinloop_gateway_driver_settings_t *s,
                                               exports_twinloop_gateway_driver_config_error_t *err) {
  bool ok = false;
  d.configured = false;
  d.timeout_ns = 1000000000u;
  d.retries = 0;
  d.gap = 8;
  d.block_max = 125;
  d.unit = 1;
  d.form = FORM_MBAP;
  d.rtu = false;
  free(d.points);
  free(d.blocks);
  free(d.powers);
  d.points = NULL;
  d.blocks = NULL;
  d.powers = NULL;
  d.point_count = d.read_count = d.whole_count = d.text_count = d.block_count = d.power_count = 0;
  if (s->points.len > POINTS_MAX) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_TOO_MANY_POINTS;
    err->val.too_many_points = POINTS_MAX;
    goto out;
  }
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &known)) {
      err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
      err->val.other = s->options.ptr[i].f0;
      s->options.ptr[i].f0.len = 0;                 /* the error owns it now */
      goto out;
    }
  }
  d.points = malloc((s->points.len + 1) * sizeof *d.points);
  d.blocks = malloc((s->points.len + 1) * sizeof *d.blocks);
  d.powers = malloc((s->points.len + 1) * sizeof *d.powers);
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    point_t *p = &d.points[i];
    if (!point_parse(TEXT(c->address), p) || !(c->scale != 0)) {
      err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_ADDRESS;
      err->val.bad_address = c->address;
      c->address.len = 0;
      goto out;
    }
    const char *wrong = set_point(c, p);
    if (wrong) {
      err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_OTHER;
      text_joined(&err->val.other, TEXT(c->address), wrong);
      goto out;
    }
  }
  d.point_count = s->points.len;
  qsort(d.points, d.point_count, sizeof *d.points, by_address);
  group();
  if (!find_powers()) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_OTHER;
    text_out(&err->val.other, "a point is scaled by a power of ten that no point reads");
    goto out;
  }
  ok = d.configured = true;
out:
  exports_twinloop_gateway_driver_settings_free(s);
  return ok;
}

/* ---- one exchange --------------------------------------------------------------------------------------------- */
typedef enum { EXCHANGE_OK, EXCHANGE_BUS, EXCHANGE_REJECTED, EXCHANGE_MALFORMED } exchange_t;
typedef struct { twinloop_gateway_types_bus_error_t bus; uint32_t code; const char *why; } trouble_t;

static twinloop_gateway_fieldbus_framing_t framing(void) {
  static uint8_t end[] = {'\r', '\n'};
  twinloop_gateway_fieldbus_framing_t f = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_SILENCE};
  if (d.form == FORM_MBAP) {
    f.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_LENGTH_FIELD;
    f.val.length_field = (twinloop_gateway_fieldbus_length_field_t){4, 2, true, 0};
  } else if (d.form == FORM_ASCII) {
    f.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_UNTIL;
    f.val.until = (device_driver_list_u8_t){end, sizeof end};
  } else if (d.form == FORM_RTU_TCP) {
    f.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_EXACTLY;
    f.val.exactly = HEAD_SIZE;
  }
  return f;
}

/* The rest of an RTU frame in a stream, after its head: as long as that says, within what is left of the timeout. */
static bool rest(device_driver_list_u8_t *got, uint64_t begun, twinloop_gateway_types_bus_error_t *bus) {
  size_t more = frame_rest(got->ptr);
  uint64_t spent = twinloop_gateway_clock_monotonic() - begun;
  device_driver_list_u8_t tail;
  if (!more) return true;
  twinloop_gateway_fieldbus_framing_t f = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_EXACTLY, .val.exactly = (uint32_t)more};
  bool ok = twinloop_gateway_fieldbus_receive(&f, spent < d.timeout_ns ? d.timeout_ns - spent : 1, &tail, bus);
  if (ok) {
    got->ptr = realloc(got->ptr, HEAD_SIZE + tail.len);
    memcpy(got->ptr + HEAD_SIZE, tail.ptr, tail.len);
    got->len = HEAD_SIZE + tail.len;
    device_driver_list_u8_free(&tail);
  } else {
    device_driver_list_u8_free(got);
  }
  return ok;
}

/* Sends a request and waits for the frame that answers it. RTU over TCP has no transaction id: an answer that comes too
 * late would be taken for the next one, so that connection is given up. */
static bool asked(device_driver_list_u8_t *request, const twinloop_gateway_fieldbus_framing_t *f, device_driver_list_u8_t *got,
                  twinloop_gateway_types_bus_error_t *bus) {
  uint64_t begun = d.form == FORM_RTU_TCP ? twinloop_gateway_clock_monotonic() : 0;
  bool ok = twinloop_gateway_fieldbus_transact(request, (twinloop_gateway_fieldbus_framing_t *)f, d.timeout_ns, got, bus);
  if (d.form != FORM_RTU_TCP) return ok;
  if (ok && got->len == HEAD_SIZE) ok = rest(got, begun, bus);
  if (!ok) twinloop_gateway_fieldbus_reset();
  return ok;
}

/* Answer's PDU into `reply` (PDU_MAX bytes). A late answer to an earlier request is put aside, STALE_MAX times. */
static exchange_t exchange_once(const uint8_t *pdu, size_t n, uint8_t *reply, size_t *reply_len, trouble_t *t) {
  uint8_t adu[ADU_MAX];
  uint16_t transaction = ++d.transaction;
  device_driver_list_u8_t request = {adu, frame_request(adu, d.form, transaction, d.unit, pdu, n)}, got;
  twinloop_gateway_fieldbus_framing_t f = framing();
  bool ok = asked(&request, &f, &got, &t->bus);
  for (int stale = 0; ok; stale++) {
    const uint8_t *at = NULL;
    frame_verdict_t v = frame_reply(got.ptr, got.len, d.form, transaction, d.unit, &at, reply_len, &t->why);
    if (v == FRAME_OK) memcpy(reply, at, *reply_len);
    device_driver_list_u8_free(&got);
    if (v == FRAME_STALE && stale < STALE_MAX) {
      ok = twinloop_gateway_fieldbus_receive(&f, d.timeout_ns, &got, &t->bus);
      continue;
    }
    if (v != FRAME_OK) {
      twinloop_gateway_fieldbus_reset();            /* the stream's boundaries can't be trusted any more */
      return EXCHANGE_MALFORMED;
    }
    if (*reply_len == 2 && reply[0] == (pdu[0] | 0x80)) { t->code = reply[1]; return EXCHANGE_REJECTED; }
    if (reply[0] != pdu[0]) { t->why = "function"; return EXCHANGE_MALFORMED; }
    return EXCHANGE_OK;
  }
  return EXCHANGE_BUS;
}

static exchange_t exchange(const uint8_t *pdu, size_t n, uint8_t *reply, size_t *reply_len, trouble_t *t) {
  exchange_t r = EXCHANGE_BUS;
  for (uint32_t attempt = 0; attempt <= d.retries; attempt++) {
    if (attempt && r == EXCHANGE_BUS && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_OTHER)
      twinloop_gateway_types_bus_error_free(&t->bus);
    r = exchange_once(pdu, n, reply, reply_len, t);
    if (r == EXCHANGE_OK || r == EXCHANGE_REJECTED) break;
  }
  /* Half an answer may lie in the stream: with what comes next it would make one wrong frame after the other, for ever. */
  if (r == EXCHANGE_BUS && !d.rtu && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT) twinloop_gateway_fieldbus_reset();
  return r;
}

/* ---- read ----------------------------------------------------------------------------------------------------- */
static exchange_t read_block(const block_t *b, uint8_t *reply, trouble_t *t) {
  uint8_t pdu[5] = {b->table};
  size_t got = 0, want = b->table <= TABLE_DISCRETE ? (b->count + 7u) / 8u : 2u * b->count;
  put16(pdu + 1, b->first);
  put16(pdu + 3, b->count);
  exchange_t r = exchange(pdu, sizeof pdu, reply, &got, t);
  if (r == EXCHANGE_OK && (got != want + 2 || reply[1] != want)) { t->why = "byte count"; r = EXCHANGE_MALFORMED; }
  return r;
}

static uint32_t status_of(exchange_t r, const trouble_t *t) {
  if (r == EXCHANGE_OK) return STATUS_GOOD;
  if (r == EXCHANGE_REJECTED) return BAD_DEVICE;
  if (r == EXCHANGE_MALFORMED) return BAD_COMMUNICATION;
  return t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT ? BAD_TIMEOUT : BAD_NOT_CONNECTED;
}

static void fail(error_t *err, exchange_t r, trouble_t *t) {
  if (r == EXCHANGE_BUS) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_BUS; err->val.bus = t->bus; }
  else if (r == EXCHANGE_REJECTED) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_REJECTED; err->val.rejected = t->code; }
  else { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_MALFORMED; text_out(&err->val.malformed, t->why); }
}

/* What a block says of powers of ten: an i16 each. */
static void fill_powers(const block_t *b, const uint8_t *data, uint32_t status) {
  for (size_t i = 0; i < d.power_count; i++) {
    power_t *w = &d.powers[i];
    if (!lies_in(w, b)) continue;
    w->status = status;
    if (status == STATUS_GOOD) w->value = (int16_t)get16(data + 2 * (w->address - b->first));
    if (status == STATUS_GOOD && (w->value < -POWER_MAX || w->value > POWER_MAX)) w->status = BAD_NO_DATA;
  }
}

static text_reading_t text_of(const point_t *p, const uint8_t *raw, uint32_t status, uint64_t now) {
  uint8_t text[2 * TEXT_REGISTERS_MAX];
  size_t n = 0;
  text_reading_t r = {.point = p->id, .status = status, .measured = now};
  if (status == STATUS_GOOD) n = point_text(p, raw, text);
  if (!text_is_utf8((text_t){(const char *)text, n})) { n = 0; r.status = BAD_DECODING; }
  if (n) { r.value.ptr = malloc(n); memcpy(r.value.ptr, text, n); }
  r.value.len = n;
  return r;
}

/* The readings of a block's points go to the end of the list that each belongs to. */
static void fill(exports_twinloop_gateway_driver_batch_t *out, const block_t *b, const uint8_t *data, uint32_t block_status, uint64_t now) {
  reading_t *reading = out->readings.ptr + out->readings.len;
  integer_reading_t *integer = out->integers.ptr + out->integers.len;
  text_reading_t *text = out->texts.ptr + out->texts.len;
  bool good = block_status == STATUS_GOOD;
  for (size_t i = b->start; i < b->end; i++) {
    const point_t *p = &d.points[i];
    size_t at = (size_t)(p->address - b->first);
    if (p->kind == KIND_TEXT) { *text++ = text_of(p, data + 2 * at, block_status, now); continue; }
    uint64_t bits = good && p->kind != KIND_BIT ? point_bits(p, data + 2 * at) : 0;
    uint32_t status = good && point_is_none(p, bits, data + 2 * at) ? (uint32_t)BAD_NO_DATA : block_status;   /* the device says that it has no value */
    double value = 0;
    if (p->whole) {
      integer_t whole = integer_unsigned(0);
      if (status == STATUS_GOOD && !point_integer(p, bits, &whole)) status = BAD_SENSOR;
      *integer++ = (integer_reading_t){p->id, whole, status, now};
      continue;
    }
    const power_t *w = p->scaled_live ? power_of(p) : NULL;
    if (w && status == STATUS_GOOD) status = w->status;
    if (status == STATUS_GOOD) value = p->kind == KIND_BIT ? (data[at / 8] >> at % 8 & 1) * p->scale + p->offset : point_value(p, bits, w ? w->value : 0);
    if (value - value != 0) { value = 0; status = BAD_SENSOR; }   /* NaN or infinite */
    *reading++ = (reading_t){p->id, value, status, now};
  }
  out->readings.len = (size_t)(reading - out->readings.ptr);
  out->integers.len = (size_t)(integer - out->integers.ptr);
  out->texts.len = (size_t)(text - out->texts.ptr);
}

/* Room for the readings of all points; a list that no point goes to has none: the bindings free no empty list. */
static exports_twinloop_gateway_driver_batch_t batch_begin(void) {
  exports_twinloop_gateway_driver_batch_t b = {0};
  size_t others = d.read_count - d.whole_count - d.text_count;
  if (others) b.readings.ptr = malloc(others * sizeof *b.readings.ptr);
  if (d.text_count) b.texts.ptr = malloc(d.text_count * sizeof *b.texts.ptr);
  if (d.whole_count) b.integers.ptr = malloc(d.whole_count * sizeof *b.integers.ptr);
  return b;
}

bool exports_twinloop_gateway_driver_read_sensor(exports_twinloop_gateway_driver_batch_t *ret, error_t *err) {
  uint8_t reply[PDU_MAX + 1];
  exchange_t first = EXCHANGE_OK, r = EXCHANGE_OK;
  trouble_t first_trouble = {0}, t = {0};
  size_t good = 0;
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  d.polls++;
  exports_twinloop_gateway_driver_batch_t batch = batch_begin();
  size_t rounds = d.power_count ? 2 : 1;
  for (size_t i = 0; i < rounds * d.block_count; i++) {
    const block_t *b = &d.blocks[i % d.block_count];
    if (rounds == 2 && b->powers != (i < d.block_count)) continue;   /* powers of ten first: other blocks' points need them */
    if (r != EXCHANGE_BUS) r = read_block(b, reply, &t);      /* a silent device is asked once a poll, not once a block */
    if (b->powers) fill_powers(b, reply + 2, status_of(r, &t));
    if (r == EXCHANGE_OK) good++;
    else if (first == EXCHANGE_OK) { first = r; first_trouble = t; }
    fill(&batch, b, reply + 2, status_of(r, &t), twinloop_gateway_clock_now());
  }
  if (first != EXCHANGE_OK) d.errors++;
  if ((first != EXCHANGE_OK) != d.failing) {
    d.failing = first != EXCHANGE_OK;
    note(d.failing ? TWINLOOP_GATEWAY_LOG_LEVEL_WARN : TWINLOOP_GATEWAY_LOG_LEVEL_INFO, d.failing ? "reads fail" : "reads are good again");
  }
  bool failed = d.block_count && !good;
  if (r == EXCHANGE_BUS && t.bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_OTHER && !(failed && first == EXCHANGE_BUS))
    twinloop_gateway_types_bus_error_free(&t.bus);            /* nobody will be told */
  if (failed) {
    exports_twinloop_gateway_driver_batch_free(&batch);
    fail(err, first, &first_trouble);
    return false;
  }
  *ret = batch;
  return true;
}

/* ---- write ---------------------------------------------------------------------------------------------------- */
typedef exports_twinloop_gateway_driver_written_t written_t;

/* `raw`: in what the registers hold now, out what they shall hold. */
static bool raw_of(const point_t *p, const written_t *value, int power, uint8_t *raw) {
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT) return point_raw_text(p, value->val.text.ptr, value->val.text.len, raw);
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_INTEGER) return point_raw_integer(p, value->val.integer, power, raw);
  return point_raw(p, value->val.real, power, raw);
}

static bool coil_of(const point_t *p, const written_t *value, bool *on) {
  double real = value->val.real;
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_INTEGER && !integer_exact(value->val.integer, &real)) return false;
  *on = (real - p->offset) / p->scale != 0;
  return true;
}

static size_t write_pdu(uint8_t *pdu, const point_t *p, const written_t *value, int power, uint8_t *raw, const char **why) {
  bool on;
  put16(pdu + 1, p->address);
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT && p->kind != KIND_TEXT) return *why = "this point holds no text", 0;
  if (p->table == TABLE_COIL) {
    if (!coil_of(p, value, &on)) return *why = "value does not fit the coil", 0;
    pdu[0] = 5;
    put16(pdu + 3, on ? 0xFF00 : 0);
    return 5;
  }
  if (p->table != TABLE_HOLDING) return *why = "read-only table", 0;
  if (!raw_of(p, value, power, raw)) return *why = "value does not fit the register's type", 0;
  if (p->width == 1) {
    pdu[0] = 6;
    memcpy(pdu + 3, raw, 2);
    return 5;
  }
  pdu[0] = 16;
  put16(pdu + 3, p->width);
  pdu[5] = (uint8_t)(2 * p->width);
  memcpy(pdu + 6, raw, 2u * p->width);
  return 6u + 2u * p->width;
}

/* What a write has to know before: the other bits of its registers, the power of ten that scales it. */
static exchange_t look(const point_t *p, uint8_t *raw, int *power, trouble_t *t) {
  uint8_t reply[PDU_MAX + 1];
  exchange_t r = EXCHANGE_OK;
  if (p->table != TABLE_HOLDING) return r;
  if (p->field) {
    r = read_block(&(block_t){.first = p->address, .count = p->width, .table = p->table}, reply, t);
    if (r == EXCHANGE_OK) memcpy(raw, reply + 2, 2u * p->width);
  }
  if (p->scaled_live && r == EXCHANGE_OK) {
    r = read_block(&(block_t){.first = p->power, .count = 1, .table = p->table}, reply, t);
    if (r == EXCHANGE_OK) *power = (int16_t)get16(reply + 2);
  }
  return r;
}

static bool write_point(uint16_t id, const written_t *value, error_t *err) {
  uint8_t pdu[6 + 2 * TEXT_REGISTERS_MAX], reply[PDU_MAX + 1], raw[2 * TEXT_REGISTERS_MAX] = {0};
  int power = 0;
  trouble_t t = {0};
  size_t n = 0, got = 0;
  const char *why = NULL;
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  const point_t *p = NULL;
  for (size_t i = 0; i < d.point_count; i++) if (d.points[i].id == id) p = &d.points[i];
  if (!p) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NO_SUCH_POINT;
    err->val.no_such_point = id;
    return false;
  }
  exchange_t before = look(p, raw, &power, &t);
  if (before != EXCHANGE_OK) { d.errors++; fail(err, before, &t); return false; }
  n = write_pdu(pdu, p, value, power, raw, &why);
  if (!n) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER; text_out(&err->val.other, why); return false; }
  exchange_t r = exchange(pdu, n, reply, &got, &t);
  if (r == EXCHANGE_OK && (got != 5 || memcmp(reply, pdu, 5))) { t.why = "echo"; r = EXCHANGE_MALFORMED; }
  if (r != EXCHANGE_OK) { d.errors++; fail(err, r, &t); return false; }
  return true;
}

bool exports_twinloop_gateway_driver_write_register(exports_twinloop_gateway_driver_point_t id, written_t *value, error_t *err) {
  bool ok = write_point(id, value, err);
  exports_twinloop_gateway_driver_written_free(value);
  return ok;
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  ret->health = !d.configured ? TWINLOOP_GATEWAY_TYPES_HEALTH_FAILED
              : d.failing ? TWINLOOP_GATEWAY_TYPES_HEALTH_DEGRADED : TWINLOOP_GATEWAY_TYPES_HEALTH_OK;
  ret->polls = d.polls;
  ret->errors = d.errors;
  text_out(&ret->detail, d.failing ? "last poll failed" : "");
}

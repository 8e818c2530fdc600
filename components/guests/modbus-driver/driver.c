/* modbus-driver: one Modbus device behind the contract's `driver`, TCP, RTU or ASCII, as straight-line code that waits.
 * Options: options.json, whose words are the documentation. A block whose read fails marks its own points Bad; only when no
 * block could be read is the poll an error.
 * Belongs here: the contract's four functions. Never: frames (frame.h), exchanges (exchange.h), what is read together
 * (blocks.h). */
#include "blocks.h"

/* OPC UA Part 6 annex A.2, StatusCodes */
enum { STATUS_GOOD = 0, BAD_TIMEOUT = 0x800A0000u, BAD_NOT_CONNECTED = 0x808A0000u, BAD_DEVICE = 0x808B0000u,
       BAD_SENSOR = 0x808C0000u, BAD_COMMUNICATION = 0x80050000u, BAD_NO_DATA = 0x809B0000u, BAD_DECODING = 0x80070000u };

typedef exports_twinloop_gateway_driver_driver_error_t error_t;
typedef twinloop_gateway_types_reading_t reading_t;
typedef twinloop_gateway_types_integer_reading_t integer_reading_t;
typedef twinloop_gateway_types_text_reading_t text_reading_t;

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

/* ---- configure ------------------------------------------------------------------------------------------------ */
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
  settings_default();
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
  settings_complete();
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
  if (!find_powers()) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_OTHER;
    text_out(&err->val.other, "a point is scaled by a power of ten that no point reads");
    goto out;
  }
  group();
  ok = d.configured = true;
out:
  exports_twinloop_gateway_driver_settings_free(s);
  return ok;
}

/* ---- read ----------------------------------------------------------------------------------------------------- */
static exchange_t read_block(const block_t *b, uint8_t *reply, trouble_t *t) {
  uint8_t pdu[5] = {b->table};
  size_t got = 0, want = b->table <= TABLE_DISCRETE ? (b->count + 7u) / 8u : 2u * b->count;
  put16(pdu + 1, b->first);
  put16(pdu + 3, b->count);
  exchange_t r = exchange(pdu, sizeof pdu, reply, &got, t);
  if (r == EXCHANGE_OK && (got != want + 2 || reply[1] != want)) r = strange(t, "byte count");
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

/* How far a poll has come. */
typedef struct {
  exchange_t last, first;                             /* the last exchange, and the first that failed */
  trouble_t trouble, first_trouble;
  size_t good;
  bool all_asked;
  uint16_t next_turn;
} poll_t;

/* Asks for a block, if it is its turn; false when it was refused and has become two, of which the first stands in its
 * place. */
static bool poll_block(poll_t *poll, size_t at, uint8_t *reply) {
  block_t *b = &d.blocks[at];
  if (poll->last == EXCHANGE_BUS) return true;        /* a silent device is asked once a poll, not once a block */
  if (b->refusals && !b->seen && !block_may(b, &poll->next_turn)) {
    poll->last = EXCHANGE_REJECTED;
    poll->trouble.code = b->code;
    poll->all_asked = false;
    return true;
  }
  poll->last = read_block(b, reply, &poll->trouble);
  uint32_t code = poll->trouble.code;
  if (poll->last == EXCHANGE_OK) { b->seen = d.any_seen = true; b->refusals = 0; }
  else if (poll->last == EXCHANGE_REJECTED && (code == ILLEGAL_ADDRESS || code == ILLEGAL_VALUE)) return !block_refused(at, (uint8_t)code);
  return true;
}

/* The blocks in which powers of ten lie, or the others. */
static void poll_blocks(poll_t *poll, bool powers, exports_twinloop_gateway_driver_batch_t *batch) {
  uint8_t reply[PDU_MAX + 1];
  for (size_t i = 0; i < d.block_count;) {
    if (d.blocks[i].powers == powers) {
      if (!poll_block(poll, i, reply)) continue;
      const block_t *b = &d.blocks[i];
      uint32_t status = status_of(poll->last, &poll->trouble);
      if (poll->last == EXCHANGE_OK) poll->good++;
      else if (poll->first == EXCHANGE_OK) { poll->first = poll->last; poll->first_trouble = poll->trouble; }
      if (powers) fill_powers(b, reply + 2, status);
      fill(batch, b, reply + 2, status, twinloop_gateway_clock_now());
    }
    i++;
  }
}

bool exports_twinloop_gateway_driver_read_sensor(exports_twinloop_gateway_driver_batch_t *ret, error_t *err) {
  poll_t poll = {.all_asked = true};
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  d.polls++;
  exports_twinloop_gateway_driver_batch_t batch = batch_begin();
  blocks_begin();
  if (d.power_count) poll_blocks(&poll, true, &batch);   /* first: points of the other blocks are scaled by them */
  poll_blocks(&poll, false, &batch);
  blocks_end(poll.good > 0, poll.all_asked && poll.last != EXCHANGE_BUS, poll.next_turn);
  bool failing = poll.first != EXCHANGE_OK;
  if (failing) d.errors++;
  if (failing != d.failing) {
    d.failing = failing;
    note(d.failing ? TWINLOOP_GATEWAY_LOG_LEVEL_WARN : TWINLOOP_GATEWAY_LOG_LEVEL_INFO, d.failing ? "reads fail" : "reads are good again");
  }
  bool failed = d.block_count && !poll.good;
  if (poll.last == EXCHANGE_BUS && !(failed && poll.first == EXCHANGE_BUS)) forget_text(&poll.trouble);   /* nobody will be told */
  if (failed) {
    exports_twinloop_gateway_driver_batch_free(&batch);
    fail(err, poll.first, &poll.first_trouble);
    return false;
  }
  *ret = batch;
  return true;
}

/* ---- write ---------------------------------------------------------------------------------------------------- */
enum { WRITE_MAX = 123 };                            /* registers of one request of function 16 (section 6.12) */
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

/* What a point's registers hold, and its power of ten, before it is written. */
typedef struct { uint8_t raw[2 * TEXT_REGISTERS_MAX]; int power; } before_t;

static size_t write_pdu(uint8_t *pdu, const point_t *p, const written_t *value, before_t *before, const char **why) {
  uint8_t *raw = before->raw;
  bool on;
  put16(pdu + 1, p->address);
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT && p->kind != KIND_TEXT) return *why = "this point holds no text", 0;
  if (p->width > WRITE_MAX) return *why = "it has more registers than one request writes", 0;
  if (p->table == TABLE_COIL) {
    if (!coil_of(p, value, &on)) return *why = "value does not fit the coil", 0;
    if (d.multiple) {
      pdu[0] = 15;
      put16(pdu + 3, 1);
      pdu[5] = 1;
      pdu[6] = on;
      return 7;
    }
    pdu[0] = 5;
    put16(pdu + 3, on ? 0xFF00 : 0);
    return 5;
  }
  if (p->table != TABLE_HOLDING) return *why = "read-only table", 0;
  if (!raw_of(p, value, before->power, raw)) return *why = "value does not fit the register's type", 0;
  if (p->width == 1 && !d.multiple) {
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

/* Writes, and learns: a device that knows no function 5 or 6 (exception 01) is asked with 15 or 16, from then on. */
static exchange_t write_value(const point_t *p, const written_t *value, before_t *before, uint8_t *pdu, size_t n, trouble_t *t) {
  uint8_t reply[PDU_MAX + 1];
  const char *why = NULL;
  size_t got = 0;
  exchange_t r = exchange(pdu, n, reply, &got, t);
  if (r == EXCHANGE_REJECTED && t->code == ILLEGAL_FUNCTION && d.write == WRITE_AUTO && pdu[0] < 15) {
    d.multiple = true;
    r = exchange(pdu, write_pdu(pdu, p, value, before, &why), reply, &got, t);
    d.multiple = !(r == EXCHANGE_REJECTED && t->code == ILLEGAL_FUNCTION);
  }
  if (r == EXCHANGE_OK && (got != 5 || memcmp(reply, pdu, 5))) r = strange(t, "echo");
  return r;
}

/* Exception 05 to a write: it was accepted and takes its time. It isn't sent twice; what it should have written is read
 * after a while, and as often as `retries` says while the device is busy. */
static exchange_t write_acknowledged(const point_t *p, const uint8_t *pdu, trouble_t *t) {
  uint8_t ask[5] = {p->table, pdu[1], pdu[2]}, reply[PDU_MAX + 1];
  size_t got = 0, size = 2u * p->width;
  put16(ask + 3, p->width);
  sleep_for(d.busy_wait_ns);
  exchange_t r = exchange(ask, sizeof ask, reply, &got, t);
  if (r != EXCHANGE_OK) return r;
  bool there = p->table == TABLE_COIL ? got == 3 && (reply[2] & 1) == (pdu[0] == 15 ? pdu[6] : pdu[3] == 0xFF)
                                      : got == 2 + size && memcmp(reply + 2, pdu + (pdu[0] == 16 ? 6 : 3), size) == 0;
  if (there) return EXCHANGE_OK;
  t->code = ACKNOWLEDGE;
  return EXCHANGE_REJECTED;
}

/* What a write has to know before: the other bits of its registers, the power of ten that scales it. */
static exchange_t look(const point_t *p, before_t *before, trouble_t *t) {
  uint8_t reply[PDU_MAX + 1];
  exchange_t r = EXCHANGE_OK;
  if (p->table != TABLE_HOLDING) return r;
  if (p->field) {
    r = read_block(&(block_t){.first = p->address, .count = p->width, .table = p->table}, reply, t);
    if (r == EXCHANGE_OK) memcpy(before->raw, reply + 2, 2u * p->width);
  }
  if (p->scaled_live && r == EXCHANGE_OK) {
    r = read_block(&(block_t){.first = p->power, .count = 1, .table = p->table}, reply, t);
    if (r == EXCHANGE_OK) before->power = (int16_t)get16(reply + 2);
  }
  return r;
}

static bool write_point(uint16_t id, const written_t *value, error_t *err) {
  uint8_t pdu[PDU_MAX + 1];
  before_t before = {0};
  trouble_t t = {0};
  size_t n = 0;
  const char *why = NULL;
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  const point_t *p = NULL;
  for (size_t i = 0; i < d.point_count; i++) if (d.points[i].id == id) p = &d.points[i];
  if (!p) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NO_SUCH_POINT;
    err->val.no_such_point = id;
    return false;
  }
  exchange_t seen = look(p, &before, &t);
  if (seen != EXCHANGE_OK) { d.errors++; fail(err, seen, &t); return false; }
  n = write_pdu(pdu, p, value, &before, &why);
  if (!n) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER; text_out(&err->val.other, why); return false; }
  exchange_t r = write_value(p, value, &before, pdu, n, &t);
  if (r == EXCHANGE_REJECTED && t.code == ACKNOWLEDGE) r = write_acknowledged(p, pdu, &t);
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

/* Values of nodes: what a server tells becomes readings, what is written becomes a Variant of the node's type.
 * Belongs here: numbers, texts, whole numbers, their quality, what trouble is called. Never: services (service.h), or when to ask (driver.c). */
#ifndef TWINLOOP_VALUES_H
#define TWINLOOP_VALUES_H
#include "../integers.h"
#include "service.h"

enum { UNCERTAIN_LAST_USABLE = 0x40900000u };

typedef exports_twinloop_gateway_driver_driver_error_t error_t;
typedef twinloop_gateway_types_reading_t reading_t;
typedef twinloop_gateway_types_text_reading_t text_t_reading;
typedef twinloop_gateway_types_integer_reading_t integer_reading_t;
typedef exports_twinloop_gateway_driver_written_t written_t;
typedef struct { double scale, offset; uint32_t node, node_len; uint16_t id; uint8_t type, uri; } point_t;   /* uri: 1 + its place, or 0 */

/* ---- read ------------------------------------------------------------------------------------------------------ */
typedef struct {
  size_t first, count, points;                      /* which are asked for, and how many there are at most */
  uint64_t max_age_ns;                              /* 0: any age will do */
  reading_t *readings;
  text_t_reading *texts;
  integer_reading_t *integers;                      /* few have any: its memory is taken with the first one */
  size_t reading_count, text_count, integer_count;
} read_t;

static read_t read_begin(size_t points, uint64_t max_age_ns) {
  return (read_t){.points = points, .max_age_ns = max_age_ns, .readings = take(NULL, (points + 1) * sizeof(reading_t)), .texts = take(NULL, (points + 1) * sizeof(text_t_reading))};
}

/* Frees what no batch has: all of it, or the lists that stayed empty (the bindings free none of those). */
static void read_end(read_t *into, bool all) {
  if (all) for (size_t i = 0; i < into->text_count; i++) free(into->texts[i].value.ptr);
  if (all || !into->reading_count) { free(into->readings); into->readings = NULL; }
  if (all || !into->text_count) { free(into->texts); into->texts = NULL; }
  if (all) { free(into->integers); into->integers = NULL; }
}

static void take_text(read_t *into, const point_t *p, bytes_t text, uint32_t status, uint64_t measured) {
  text_t_reading *out = &into->texts[into->text_count++];
  *out = (text_t_reading){.point = p->id, .status = status, .measured = measured};
  out->value.len = text.len;
  out->value.ptr = text.len ? take(NULL, text.len) : NULL;   /* an empty one is freed by nobody */
  if (text.len) memcpy(out->value.ptr, text.at, text.len);
}

static void take_value(read_t *into, point_t *p, const data_value_t *v, uint64_t now) {
  uint32_t status = v->status;
  uint64_t measured = v->source_ns ? v->source_ns : v->server_ns ? v->server_ns : now;
  double value = 0;
  if (v->value.kind == VALUE_NUMBER || v->value.kind == VALUE_TEXT) p->type = v->value.type;
  if (!(status >> 31)) {
    value = v->value.number * p->scale + p->offset;
    if (v->value.kind == VALUE_NONE) status = BAD_NO_DATA;
    else if (v->value.kind == VALUE_OTHER) status = BAD_TYPE;
    else if (value - value != 0) status = BAD_SENSOR;       /* NaN or infinite */
    else if (!(status >> 30) && into->max_age_ns && v->source_ns && v->source_ns < now && now - v->source_ns > into->max_age_ns) status = UNCERTAIN_LAST_USABLE;
  }
  if (status >> 31) value = 0;
  else if (v->value.kind == VALUE_TEXT) { take_text(into, p, v->value.text, status, measured); return; }
  else if ((v->value.type == TYPE_INT64 || v->value.type == TYPE_UINT64) && p->scale == 1 && p->offset == 0) {
    integer_t n = v->value.type == TYPE_INT64 ? integer_signed((int64_t)v->value.bits) : integer_unsigned(v->value.bits);
    if (!into->integers) into->integers = take(NULL, into->points * sizeof *into->integers);
    into->integers[into->integer_count++] = (integer_reading_t){p->id, n, status, measured};
    return;
  }
  into->readings[into->reading_count++] = (reading_t){.point = p->id, .value = value, .status = status, .measured = measured};
}

static bool hand_over(read_t *into, exports_twinloop_gateway_driver_batch_t *ret) {
  read_end(into, false);
  ret->readings.ptr = into->readings;
  ret->readings.len = into->reading_count;
  ret->texts.ptr = into->texts;
  ret->texts.len = into->text_count;
  ret->integers.ptr = into->integers;
  ret->integers.len = into->integer_count;
  return true;
}

/* ---- write ----------------------------------------------------------------------------------------------------- */
/* What is written, as a Variant of the node's type; false when that can't hold it. */
static bool write_value(writer_t *w, const point_t *p, const written_t *value) {
  double real = value->val.real;
  uint64_t bits;
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT) {
    if (p->type != TYPE_STRING) return false;
    write_u8(w, TYPE_STRING);
    write_string(w, value->val.text.ptr, value->val.text.len);
    return true;
  }
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_INTEGER) {
    if (type_is_whole(p->type) && p->scale == 1 && p->offset == 0) {
      if (!integer_bits(value->val.integer, type_is_signed(p->type), 8u * TYPE_SIZE[p->type], &bits)) return false;
      write_u8(w, p->type);
      write_little(w, bits, TYPE_SIZE[p->type]);
      return true;
    }
    if (!integer_exact(value->val.integer, &real)) return false;
  }
  return write_number(w, p->type, (real - p->offset) / p->scale);
}

/* ---- trouble --------------------------------------------------------------------------------------------------- */
/* A trouble that nobody will be told of. */
static void forget(outcome_t o, trouble_t *t) {
  if (o == BUS && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_OTHER) twinloop_gateway_types_bus_error_free(&t->bus);
  t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT;
}

static void fail(error_t *err, outcome_t o, trouble_t *t) {
  if (o == BUS) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_BUS; err->val.bus = t->bus; }
  else if (o == REJECTED) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_REJECTED; err->val.rejected = t->code; }
  else { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_MALFORMED; device_driver_string_dup(&err->val.malformed, t->why); }
}

static uint32_t status_of(outcome_t o, const trouble_t *t) {
  if (o == REJECTED) return t->code;
  if (o == MALFORMED) return BAD_COMMUNICATION;
  return t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT ? BAD_TIMEOUT : BAD_NOT_CONNECTED;
}
#endif

/* OPC UA Binary: built-in types read and written within bounds.
 * Source: OPC 10000-6 v1.05 section 5.2 (the encoding of each type is beside it), OPC 10000-6 annex A.2 (StatusCodes).
 * Belongs here: bytes of types. Never: services (service.h) or chunks (channel.h). A reader that has run over its end, or met a length that can't
 * be, is `bad` and gives zeros from then on: callers look once, at the end. */
#ifndef TWINLOOP_BINARY_H
#define TWINLOOP_BINARY_H
#include "../text.h"

enum { NESTING_MAX = 8, LIST_MAX = 65536 };       /* variants within variants; elements of one array */

typedef struct { const uint8_t *at; size_t left; bool bad; } reader_t;
typedef struct { uint8_t *at; size_t used, size; bool full; } writer_t;
typedef struct { const uint8_t *at; size_t len; } bytes_t;   /* of a reader's memory; a null string is empty */

/* malloc or realloc that doesn't come back without memory: at address 0 a guest has memory, too. */
static void *take(void *old, size_t n) {
  void *p = realloc(old, n);
  if (!p) __builtin_trap();
  return p;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */
static const uint8_t *read_bytes(reader_t *r, size_t n) {
  static const uint8_t nothing[16];
  if (r->bad || n > r->left) { r->bad = true; r->left = 0; return n <= sizeof nothing ? nothing : NULL; }
  const uint8_t *at = r->at;
  r->at += n;
  r->left -= n;
  return at;
}

static uint64_t read_little(reader_t *r, size_t n) {
  const uint8_t *p = read_bytes(r, n);
  uint64_t value = 0;
  for (size_t i = n; i--;) value = value << 8 | p[i];
  return value;
}

static uint8_t read_u8(reader_t *r) { return (uint8_t)read_little(r, 1); }
static uint32_t read_u32(reader_t *r) { return (uint32_t)read_little(r, 4); }
static double read_f64(reader_t *r) { uint64_t bits = read_little(r, 8); double v; memcpy(&v, &bits, 8); return v; }

/* String, ByteString (5.2.2.4, 5.2.2.7): a length of -1 is null, other negative ones are not allowed. */
static bytes_t read_string(reader_t *r) {
  int32_t n = (int32_t)read_u32(r);
  if (n == -1 || r->bad) return (bytes_t){NULL, 0};
  if (n < 0 || (size_t)n > r->left) { r->bad = true; r->left = 0; return (bytes_t){NULL, 0}; }
  return (bytes_t){read_bytes(r, (size_t)n), (size_t)n};
}

/* The length of an array (5.2.5): -1 is null; each element takes at least a byte. */
static uint32_t read_count(reader_t *r) {
  int32_t n = (int32_t)read_u32(r);
  if (n == -1 || r->bad) return 0;
  if (n < 0 || n > LIST_MAX || (size_t)n > r->left) { r->bad = true; r->left = 0; return 0; }
  return (uint32_t)n;
}

/* NodeId (5.2.2.9): the number of a numeric one in namespace 0, else 0; `whole` (if asked for): its bytes. */
static uint32_t read_node_id(reader_t *r, bytes_t *whole) {
  const uint8_t *start = r->at;
  uint32_t number = 0, name_space = 0;
  uint8_t form = read_u8(r);
  switch (form & 0x3F) {
    case 0: number = read_u8(r); break;
    case 1: name_space = read_u8(r); number = (uint32_t)read_little(r, 2); break;
    case 2: name_space = (uint32_t)read_little(r, 2); number = read_u32(r); break;
    case 3: case 5: name_space = 1; read_little(r, 2); read_string(r); break;
    case 4: name_space = 1; read_bytes(r, 18); break;
    default: r->bad = true;
  }
  if (form & 0x80) read_string(r);                  /* ExpandedNodeId (5.2.2.10): namespace URI, server index */
  if (form & 0x40) read_u32(r);
  if (whole) *whole = (bytes_t){start, r->bad ? 0 : (size_t)(r->at - start)};
  return name_space || r->bad ? 0 : number;
}

static void skip_localized_text(reader_t *r) {      /* 5.2.2.14 */
  uint8_t mask = read_u8(r);
  if (mask & 1) read_string(r);
  if (mask & 2) read_string(r);
}

static void skip_extension_object(reader_t *r) {    /* 5.2.2.15 */
  read_node_id(r, NULL);
  uint8_t body = read_u8(r);
  if (body == 1 || body == 2) read_string(r);
  else if (body) r->bad = true;
}

static void skip_diagnostics(reader_t *r) {         /* DiagnosticInfo, 5.2.2.12 */
  for (int depth = 0; depth < NESTING_MAX; depth++) {
    uint8_t mask = read_u8(r);
    for (uint8_t bit = 1; bit <= 8; bit <<= 1) if (mask & bit) read_u32(r);
    if (mask & 0x10) read_string(r);
    if (mask & 0x20) read_u32(r);
    if (!(mask & 0x40)) { if (mask & 0x80) r->bad = true; return; }
  }
  r->bad = true;
}

/* Type ids of built-in types (OPC 10000-6 table 1). */
enum { TYPE_BOOLEAN = 1, TYPE_SBYTE, TYPE_BYTE, TYPE_INT16, TYPE_UINT16, TYPE_INT32, TYPE_UINT32, TYPE_INT64, TYPE_UINT64, TYPE_FLOAT, TYPE_DOUBLE,
       TYPE_STRING, TYPE_DATE_TIME, TYPE_GUID, TYPE_BYTE_STRING, TYPE_XML, TYPE_NODE_ID, TYPE_EXPANDED_NODE_ID, TYPE_STATUS_CODE,
       TYPE_QUALIFIED_NAME, TYPE_LOCALIZED_TEXT, TYPE_EXTENSION_OBJECT, TYPE_DATA_VALUE, TYPE_VARIANT, TYPE_DIAGNOSTIC_INFO };
static const uint8_t TYPE_SIZE[] = {0, 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8};   /* of TYPE_BOOLEAN to TYPE_DOUBLE */

typedef enum { VALUE_NONE, VALUE_NUMBER, VALUE_TEXT, VALUE_OTHER } value_kind_t;
typedef struct { value_kind_t kind; uint8_t type; double number; uint64_t bits; bytes_t text; } value_t;   /* bits: of a number, as they came */
typedef struct { value_t value; uint32_t status; uint64_t source_ns, server_ns; } data_value_t;

static void read_variant(reader_t *r, value_t *out, int depth);

/* DateTime (5.2.2.5): 100 ns since 1601; as ns since 1970, 0 for what lies before or is beyond 64 bits. */
static uint64_t read_time(reader_t *r) {
  const int64_t EPOCH = 116444736000000000;
  int64_t ticks = (int64_t)read_little(r, 8);
  if (ticks <= EPOCH || (uint64_t)(ticks - EPOCH) > UINT64_MAX / 100) return 0;
  return (uint64_t)(ticks - EPOCH) * 100;
}

/* DataValue (5.2.2.17). */
static void read_data_value(reader_t *r, data_value_t *out, int depth) {
  uint8_t mask = read_u8(r);
  *out = (data_value_t){0};
  if (mask & 0xC0) r->bad = true;
  if (mask & 1) read_variant(r, &out->value, depth + 1);
  if (mask & 2) out->status = read_u32(r);
  if (mask & 4) out->source_ns = read_time(r);
  if (mask & 0x10) read_little(r, 2);
  if (mask & 8) out->server_ns = read_time(r);
  if (mask & 0x20) read_little(r, 2);
}

static double number_of(uint8_t type, uint64_t bits) {
  float f;
  double d;
  uint32_t low = (uint32_t)bits;
  switch (type) {
    case TYPE_BOOLEAN: return bits != 0;
    case TYPE_SBYTE: return (int8_t)bits;
    case TYPE_INT16: return (int16_t)bits;
    case TYPE_INT32: return (int32_t)bits;
    case TYPE_INT64: return (double)(int64_t)bits;
    case TYPE_FLOAT: memcpy(&f, &low, 4); return f;
    case TYPE_DOUBLE: memcpy(&d, &bits, 8); return d;
    default: return (double)bits;
  }
}

static void read_scalar(reader_t *r, uint8_t type, value_t *out, int depth) {
  data_value_t inner;
  value_t value;
  if (type <= TYPE_DOUBLE) {
    out->bits = read_little(r, TYPE_SIZE[type]);
    out->number = number_of(type, out->bits);
    out->kind = VALUE_NUMBER;
    return;
  }
  out->kind = VALUE_OTHER;
  switch (type) {
    case TYPE_STRING:
      out->text = read_string(r);
      if (text_is_utf8((text_t){(const char *)out->text.at, out->text.len})) out->kind = VALUE_TEXT;
      break;
    case TYPE_BYTE_STRING: case TYPE_XML: read_string(r); break;
    case TYPE_DATE_TIME: read_bytes(r, 8); break;
    case TYPE_GUID: read_bytes(r, 16); break;
    case TYPE_NODE_ID: case TYPE_EXPANDED_NODE_ID: read_node_id(r, NULL); break;
    case TYPE_STATUS_CODE: read_u32(r); break;
    case TYPE_QUALIFIED_NAME: read_little(r, 2); read_string(r); break;
    case TYPE_LOCALIZED_TEXT: skip_localized_text(r); break;
    case TYPE_EXTENSION_OBJECT: skip_extension_object(r); break;
    case TYPE_DATA_VALUE: read_data_value(r, &inner, depth); break;
    case TYPE_VARIANT: read_variant(r, &value, depth + 1); break;
    case TYPE_DIAGNOSTIC_INFO: skip_diagnostics(r); break;
    default: r->bad = true;
  }
}

/* Variant (5.2.2.16): a number, a text, or something else, which is read over. */
static void read_variant(reader_t *r, value_t *out, int depth) {
  uint8_t encoding = read_u8(r), type = encoding & 0x3F;
  *out = (value_t){.kind = VALUE_NONE, .type = type};
  if (depth > NESTING_MAX) r->bad = true;
  if (!type) { if (encoding) r->bad = true; return; }
  if (type > 25 && type <= 31) type = TYPE_BYTE_STRING;   /* reserved: a decoder reads a ByteString */
  if (!(encoding & 0x80)) {
    if (encoding & 0x40) r->bad = true;
    read_scalar(r, type, out, depth);
    return;
  }
  for (uint32_t n = read_count(r); n && !r->bad; n--) { value_t element; read_scalar(r, type, &element, depth); }
  if (encoding & 0x40) for (uint32_t n = read_count(r); n && !r->bad; n--) read_u32(r);
  *out = (value_t){.kind = VALUE_OTHER, .type = type};
}

/* ---- writing --------------------------------------------------------------------------------------------------- */
static void write_bytes(writer_t *w, const void *data, size_t n) {
  if (w->full || n > w->size - w->used) { w->full = true; return; }
  memcpy(w->at + w->used, data, n);
  w->used += n;
}

static void write_little(writer_t *w, uint64_t value, size_t n) {
  uint8_t raw[8];
  for (size_t i = 0; i < n; i++) raw[i] = (uint8_t)(value >> 8 * i);
  write_bytes(w, raw, n);
}

static void write_u8(writer_t *w, uint8_t v) { write_little(w, v, 1); }
static void write_u32(writer_t *w, uint32_t v) { write_little(w, v, 4); }
static void write_f64(writer_t *w, double v) { uint64_t bits; memcpy(&bits, &v, 8); write_little(w, bits, 8); }
static void write_null(writer_t *w) { write_u32(w, UINT32_MAX); }      /* a null String, ByteString or array */
static void write_string(writer_t *w, const void *data, size_t n) { write_u32(w, (uint32_t)n); write_bytes(w, data, n); }
static void write_text(writer_t *w, const char *s) { write_string(w, s, strlen(s)); }
static void write_type(writer_t *w, uint16_t number) { write_u8(w, 1); write_u8(w, 0); write_little(w, number, 2); }   /* a NodeId of ns 0 */

static void write_time(writer_t *w, uint64_t unix_ns) { write_little(w, unix_ns / 100 + 116444736000000000, 8); }

static bool type_is_signed(uint8_t type) { return type == TYPE_SBYTE || type == TYPE_INT16 || type == TYPE_INT32 || type == TYPE_INT64; }
static bool type_is_whole(uint8_t type) { return type >= TYPE_SBYTE && type <= TYPE_UINT64; }

/* A number as a Variant of a numeric type; false when the type can't hold it. */
static bool write_number(writer_t *w, uint8_t type, double value) {
  uint64_t bits = 0;
  float f = (float)value;
  double rounded = __builtin_nearbyint(value);
  if (value - value != 0) return false;             /* NaN and infinities are no set values */
  write_u8(w, type);
  if (type == TYPE_BOOLEAN) bits = value != 0;
  else if (type == TYPE_FLOAT) {
    uint32_t low;
    if (__builtin_isinf(f) && !__builtin_isinf(value)) return false;
    memcpy(&low, &f, 4);
    bits = low;
  } else if (type == TYPE_DOUBLE) memcpy(&bits, &value, 8);
  else if (type > TYPE_DOUBLE || !type) return false;
  else {
    bool is_signed = type_is_signed(type);
    double span = TYPE_SIZE[type] == 8 ? 0x1p64 : (double)(1ull << 8 * TYPE_SIZE[type]);
    double low = is_signed ? -span / 2 : 0, top = is_signed ? span / 2 : span;
    if (!(rounded >= low && rounded < top)) return false;
    bits = is_signed ? (uint64_t)(int64_t)rounded : (uint64_t)rounded;
  }
  write_little(w, bits, TYPE_SIZE[type]);
  return true;
}
#endif

/* The point table of a Modbus device: addresses parsed from text, raw registers to engineering values and back.
 * Address syntax: TABLE:ADDRESS[:TYPE[:ORDER]]
 *   TABLE    holding | input | coil | discrete          ADDRESS  0..65535, the protocol's own (from 0)
 *   TYPE     u16 i16 u32 i32 u64 i64 f32 f64 bitN (N 0..15); default u16; none for coil and discrete
 *   ORDER    be (ABCD, default) | sw (CDAB, words swapped) | bs (BADC, bytes swapped) | le (DCBA)
 * A point of 64 bits without scale and offset is a whole number, exact; every other one is a double. Sentinels: what the registers hold when
 * there is no value, as the bits of the value after ORDER.
 * Never here: frames, or when to poll. */
#ifndef TWINLOOP_POINTS_H
#define TWINLOOP_POINTS_H
#include <math.h>
#include "../integers.h"
#include "../text.h"
#include "frame.h"

typedef enum { TABLE_COIL = 1, TABLE_DISCRETE = 2, TABLE_HOLDING = 3, TABLE_INPUT = 4 } table_t;   /* = read function code */
typedef enum { KIND_BIT, KIND_UNSIGNED, KIND_SIGNED, KIND_FLOAT, KIND_REGISTER_BIT } kind_t;
typedef enum { ORDER_BE, ORDER_SW, ORDER_BS, ORDER_LE } order_t;

enum { SENTINELS_MAX = 4 };

typedef struct {
  double scale, offset;
  uint64_t sentinels[SENTINELS_MAX];
  uint16_t id, address;
  uint8_t table, kind, order, width;                /* width: registers, or 1 for a coil */
  uint8_t bit, sentinel_count;
  bool whole;                                       /* its readings are whole numbers */
} point_t;

static inline uint64_t point_top(const point_t *p) { return UINT64_MAX >> (64 - 16 * p->width); }

/* NULL, or what is wrong with them. */
static inline const char *point_sentinels(point_t *p, const uint64_t *sentinels, size_t n) {
  if (n && p->kind == KIND_BIT) return ": one bit has no sentinels";
  if (n > SENTINELS_MAX) return ": more than 4 sentinels";
  for (size_t i = 0; i < n; i++) {
    if (sentinels[i] > point_top(p)) return ": a sentinel does not fit its registers";
    p->sentinels[i] = sentinels[i];
  }
  p->sentinel_count = (uint8_t)n;
  return NULL;
}

static inline bool point_type(text_t t, point_t *p) {
  static const struct { const char *name; uint8_t kind, width; } TYPES[] = {
    {"u16", KIND_UNSIGNED, 1}, {"i16", KIND_SIGNED, 1}, {"u32", KIND_UNSIGNED, 2}, {"i32", KIND_SIGNED, 2},
    {"u64", KIND_UNSIGNED, 4}, {"i64", KIND_SIGNED, 4}, {"f32", KIND_FLOAT, 2}, {"f64", KIND_FLOAT, 4}};
  for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
    if (text_is(t, TYPES[i].name)) { p->kind = TYPES[i].kind; p->width = TYPES[i].width; return true; }
  uint64_t bit;
  if (t.len < 4 || memcmp(t.at, "bit", 3) || !text_unsigned((text_t){t.at + 3, t.len - 3}, 15, &bit)) return false;
  p->kind = KIND_REGISTER_BIT;
  p->width = 1;
  p->bit = (uint8_t)bit;
  return true;
}

static inline bool point_parse(text_t address, point_t *p) {
  text_t table = text_cut(&address, ':'), number = text_cut(&address, ':');
  uint64_t n;
  p->table = text_is(table, "holding") ? TABLE_HOLDING : text_is(table, "input") ? TABLE_INPUT
           : text_is(table, "coil") ? TABLE_COIL : text_is(table, "discrete") ? TABLE_DISCRETE : 0;
  if (!p->table || !text_unsigned(number, 65535, &n)) return false;
  p->address = (uint16_t)n;
  p->kind = p->table <= TABLE_DISCRETE ? KIND_BIT : KIND_UNSIGNED;
  p->width = 1;
  p->order = ORDER_BE;
  for (int part = 0; address.len; part++) {
    text_t one = text_cut(&address, ':');
    if (part == 0) {
      if (p->kind == KIND_BIT || !point_type(one, p)) return false;
    } else if (part == 1) {
      p->order = text_is(one, "be") ? ORDER_BE : text_is(one, "sw") ? ORDER_SW
               : text_is(one, "bs") ? ORDER_BS : text_is(one, "le") ? ORDER_LE : 255;
      if (p->order == 255) return false;
    } else return false;
  }
  return (uint32_t)p->address + p->width <= 65536;
}

static inline uint64_t point_bits(const point_t *p, const uint8_t *raw) {
  uint64_t bits = 0;
  bool words_swapped = p->order == ORDER_SW || p->order == ORDER_LE, bytes_swapped = p->order >= ORDER_BS;
  for (int i = 0; i < p->width; i++) {
    const uint8_t *w = raw + 2 * (words_swapped ? p->width - 1 - i : i);
    bits = bits << 16 | (bytes_swapped ? (uint16_t)(w[1] << 8 | w[0]) : get16(w));
  }
  return bits;
}

/* Does the device say with these bits that it has no value? */
static inline bool point_is_none(const point_t *p, uint64_t bits) {
  for (int i = 0; i < p->sentinel_count; i++) if (bits == p->sentinels[i]) return true;
  return false;
}

static inline integer_t point_integer(const point_t *p, uint64_t bits) {
  return p->kind == KIND_SIGNED ? integer_signed((int64_t)bits) : integer_unsigned(bits);
}

static inline double point_value(const point_t *p, uint64_t bits) {
  double value = 0;
  if (p->kind == KIND_FLOAT && p->width == 2) { float f; uint32_t b = (uint32_t)bits; memcpy(&f, &b, 4); value = f; }
  else if (p->kind == KIND_FLOAT) memcpy(&value, &bits, 8);
  else if (p->kind == KIND_REGISTER_BIT) value = (double)(bits >> p->bit & 1);
  else if (p->kind == KIND_UNSIGNED) value = (double)bits;
  else value = (double)((int64_t)(bits << (64 - 16 * p->width)) >> (64 - 16 * p->width));
  return value * p->scale + p->offset;
}

static inline void point_put(const point_t *p, uint64_t bits, uint8_t *raw) {
  bool words_swapped = p->order == ORDER_SW || p->order == ORDER_LE, bytes_swapped = p->order >= ORDER_BS;
  for (int i = 0; i < p->width; i++) {
    uint8_t *w = raw + 2 * (words_swapped ? i : p->width - 1 - i);
    uint16_t v = (uint16_t)(bits >> 16 * i);
    put16(w, bytes_swapped ? (uint16_t)(v << 8 | v >> 8) : v);
  }
}

/* Engineering value to registers; false when the type can't hold it. */
static inline bool point_raw(const point_t *p, double value, uint8_t *raw) {
  double wanted = (value - p->offset) / p->scale;
  uint64_t bits = 0;
  if (p->kind == KIND_FLOAT && p->width == 2) {
    float f = (float)wanted;
    if (__builtin_isinf(f) && !__builtin_isinf(wanted)) return false;
    uint32_t b; memcpy(&b, &f, 4); bits = b;
  }
  else if (p->kind == KIND_FLOAT) memcpy(&bits, &wanted, 8);
  else {
    double rounded = nearbyint(wanted), top = p->width == 4 ? 0x1p64 : (double)(1ull << 16 * p->width);
    if (p->kind == KIND_UNSIGNED) { if (!(rounded >= 0 && rounded < top)) return false; bits = (uint64_t)rounded; }
    else if (p->kind == KIND_SIGNED) { if (!(rounded >= -top / 2 && rounded < top / 2)) return false; bits = (uint64_t)(int64_t)rounded; }
    else return false;                              /* one bit of a register needs a mask write: not offered */
  }
  point_put(p, bits, raw);
  return true;
}

/* A whole number to registers, exact where they hold whole numbers; false when they can't hold it. */
static inline bool point_raw_integer(const point_t *p, integer_t n, uint8_t *raw) {
  uint64_t bits;
  double value;
  if ((p->kind != KIND_UNSIGNED && p->kind != KIND_SIGNED) || p->scale != 1 || p->offset != 0)
    return integer_exact(n, &value) && point_raw(p, value, raw);
  if (!integer_bits(n, p->kind == KIND_SIGNED, 16u * p->width, &bits)) return false;
  point_put(p, bits, raw);
  return true;
}
#endif

/* The point table of a Modbus device: addresses parsed from text, raw registers to engineering values and back.
 * Address syntax: TABLE:ADDRESS[:TYPE[:ORDER]][:nan=SENTINEL]...
 *   TABLE    holding | input | coil | discrete          ADDRESS  0..65535, the protocol's own (from 0)
 *   TYPE     u16 i16 u32 i32 u64 i64 f32 f64 bitN (N 0..15); default u16; none for coil and discrete
 *   ORDER    be (ABCD, default) | sw (CDAB, words swapped) | bs (BADC, bytes swapped) | le (DCBA)
 *   SENTINEL what the registers hold when there is no value, up to SENTINELS_MAX of them: 0x and the registers' bits in hex, or the
 *            integer in decimal, with its sign
 * Never here: frames, or when to poll. */
#ifndef TWINLOOP_POINTS_H
#define TWINLOOP_POINTS_H
#include <math.h>
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
} point_t;

/* "nan=0xFFFF", "nan=65535", "nan=-1": the bits of the point's registers; false for what doesn't fit them. */
static inline bool point_sentinel(text_t t, point_t *p) {
  uint64_t top = p->width == 4 ? UINT64_MAX : (1ull << 16 * p->width) - 1, bits = 0;
  if (p->kind == KIND_BIT || p->sentinel_count == SENTINELS_MAX || t.len < 5 || memcmp(t.at, "nan=", 4)) return false;
  t = (text_t){t.at + 4, t.len - 4};
  if (t.len > 2 && t.at[0] == '0' && (t.at[1] | 32) == 'x') {
    for (size_t i = 2; i < t.len; i++) {
      char c = t.at[i] | 32;
      int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
      if (digit < 0 || bits > top >> 4) return false;
      bits = bits << 4 | (uint64_t)digit;
    }
  } else if (t.len > 1 && t.at[0] == '-') {
    if (p->kind != KIND_SIGNED || !text_unsigned((text_t){t.at + 1, t.len - 1}, top / 2 + 1, &bits)) return false;
    bits = (0 - bits) & top;
  } else if (p->kind == KIND_FLOAT || !text_unsigned(t, p->kind == KIND_SIGNED ? top / 2 : top, &bits)) return false;
  p->sentinels[p->sentinel_count++] = bits;
  return true;
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
  p->sentinel_count = 0;
  for (int part = 0; address.len; part++) {
    text_t one = text_cut(&address, ':');
    if (one.len > 4 && !memcmp(one.at, "nan=", 4)) {
      if (!point_sentinel(one, p)) return false;
      part = 2;                                     /* what comes after a sentinel is one, too */
    } else if (part == 0) {
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

static inline double point_value(const point_t *p, const uint8_t *raw, bool *none) {
  uint64_t bits = point_bits(p, raw);
  double value = 0;
  for (int i = 0; i < p->sentinel_count; i++) if (bits == p->sentinels[i]) *none = true;
  if (p->kind == KIND_FLOAT && p->width == 2) { float f; uint32_t b = (uint32_t)bits; memcpy(&f, &b, 4); value = f; }
  else if (p->kind == KIND_FLOAT) memcpy(&value, &bits, 8);
  else if (p->kind == KIND_REGISTER_BIT) value = (double)(bits >> p->bit & 1);
  else if (p->kind == KIND_UNSIGNED) value = (double)bits;
  else value = (double)((int64_t)(bits << (64 - 16 * p->width)) >> (64 - 16 * p->width));
  return value * p->scale + p->offset;
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
  bool words_swapped = p->order == ORDER_SW || p->order == ORDER_LE, bytes_swapped = p->order >= ORDER_BS;
  for (int i = 0; i < p->width; i++) {
    uint8_t *w = raw + 2 * (words_swapped ? i : p->width - 1 - i);
    uint16_t v = (uint16_t)(bits >> 16 * i);
    put16(w, bytes_swapped ? (uint16_t)(v << 8 | v >> 8) : v);
  }
  return true;
}
#endif

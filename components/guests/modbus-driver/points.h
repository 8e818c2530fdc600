/* The point table of a Modbus device: addresses parsed from text, raw registers to engineering values and back.
 * Address syntax: TABLE:ADDRESS[:TYPE[:ORDER]][:bits=FIRST+COUNT][:power=ADDRESS][:write-only]
 *   TABLE    holding | input | coil | discrete          ADDRESS  0..65535, the protocol's own (from 0)
 *   TYPE     u8 i8 u16 i16 u24 i24 u32 i32 u48 i48 u64 i64 f16 f32 f64, bcd16 bcd32 bcd48 bcd64 (four bits a digit),
 *            mod10k32 mod10k48 mod10k64 (four digits a register, each signed), textN (N registers, UTF-8),
 *            bitN (bit N of one register, 0..15); default u16; none for coil and discrete
 *   ORDER    be (ABCD, default) | sw (CDAB, words swapped) | bs (BADC, bytes swapped) | le (DCBA); of 64 bits also
 *            sw32 (CDABGHEF) | ds (EFGHABCD) | le32 (DCBAHGFE) | dsbs (FEHGBADC)
 *   bits     the point is these bits of its registers, counted from the lowest
 *   power    an i16 register of the same table: the value is scaled by ten to that power, too
 * A point of 64 bits without scale, offset, bits and power is a whole number, exact; every other one is a double or a text.
 * Sentinels: what the registers hold when there is no value, as the bits of the value after ORDER; of `bits=` those bits
 * alone, of bitN the whole register.
 * Never here: frames, or when to poll. */
#ifndef TWINLOOP_POINTS_H
#define TWINLOOP_POINTS_H
#include <math.h>
#include "../integers.h"
#include "../text.h"
#include "frame.h"

typedef enum { TABLE_COIL = 1, TABLE_DISCRETE = 2, TABLE_HOLDING = 3, TABLE_INPUT = 4 } table_t;   /* = read function code */
typedef enum { KIND_BIT, KIND_UNSIGNED, KIND_SIGNED, KIND_FLOAT, KIND_BCD, KIND_MODULO, KIND_TEXT } kind_t;
/* bit 0: bytes of a word swapped, bit 1: words of 32 bits swapped, bit 2: halves of 64 bits swapped */
typedef enum { ORDER_BE = 0, ORDER_BS = 1, ORDER_SW32 = 2, ORDER_LE32 = 3, ORDER_DS = 4, ORDER_DSBS = 5, ORDER_SW = 6, ORDER_LE = 7 } order_t;

enum { SENTINELS_MAX = 4, TEXT_REGISTERS_MAX = 125, POWER_MAX = 22 };

typedef struct {
  double scale, offset;
  uint64_t sentinels[SENTINELS_MAX];
  uint16_t id, address, power;                      /* power: address of that register */
  uint8_t table, kind, order, width;                /* width: registers, or 1 for a coil */
  uint8_t first, bits, sentinel_count;              /* bits: how many of its registers' bits are its own */
  bool field, scaled_live, write_only;              /* field: it shares its registers with others */
  bool whole_sentinels;                             /* its sentinels are those of the whole register (bitN) */
  bool whole;                                       /* its readings are whole numbers */
} point_t;

/* NULL, or what is wrong with them. */
static inline const char *point_sentinels(point_t *p, const uint64_t *sentinels, size_t n) {
  if (n && p->kind == KIND_BIT) return ": one bit has no sentinels";
  if (n && p->kind == KIND_TEXT) return ": a text has no sentinels";
  if (n > SENTINELS_MAX) return ": more than 4 sentinels";
  for (size_t i = 0; i < n; i++) {
    if (sentinels[i] > UINT64_MAX >> (64 - (p->whole_sentinels ? 16 : p->bits))) return ": a sentinel does not fit its registers";
    p->sentinels[i] = sentinels[i];
  }
  p->sentinel_count = (uint8_t)n;
  return NULL;
}

static inline bool point_type(text_t t, point_t *p) {
  static const struct { const char *name; uint8_t kind, width, bits; } TYPES[] = {
    {"u16", KIND_UNSIGNED, 1, 16}, {"i16", KIND_SIGNED, 1, 16}, {"u32", KIND_UNSIGNED, 2, 32}, {"i32", KIND_SIGNED, 2, 32},
    {"u64", KIND_UNSIGNED, 4, 64}, {"i64", KIND_SIGNED, 4, 64}, {"f32", KIND_FLOAT, 2, 32}, {"f64", KIND_FLOAT, 4, 64},
    {"u8", KIND_UNSIGNED, 1, 8}, {"i8", KIND_SIGNED, 1, 8}, {"u24", KIND_UNSIGNED, 2, 24}, {"i24", KIND_SIGNED, 2, 24},
    {"u48", KIND_UNSIGNED, 3, 48}, {"i48", KIND_SIGNED, 3, 48}, {"f16", KIND_FLOAT, 1, 16},
    {"bcd16", KIND_BCD, 1, 16}, {"bcd32", KIND_BCD, 2, 32}, {"bcd48", KIND_BCD, 3, 48}, {"bcd64", KIND_BCD, 4, 64},
    {"mod10k32", KIND_MODULO, 2, 32}, {"mod10k48", KIND_MODULO, 3, 48}, {"mod10k64", KIND_MODULO, 4, 64}};
  uint64_t n;
  p->first = 0;
  for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
    if (text_is(t, TYPES[i].name)) {
      p->kind = TYPES[i].kind; p->width = TYPES[i].width; p->bits = TYPES[i].bits;
      p->field = p->bits < 16 * p->width;
      return true;
    }
  if (t.len > 4 && !memcmp(t.at, "text", 4)) {
    if (!text_unsigned((text_t){t.at + 4, t.len - 4}, TEXT_REGISTERS_MAX, &n) || !n) return false;
    p->kind = KIND_TEXT;
    p->width = (uint8_t)n;
    return true;
  }
  if (t.len < 4 || memcmp(t.at, "bit", 3) || !text_unsigned((text_t){t.at + 3, t.len - 3}, 15, &n)) return false;
  *p = (point_t){.table = p->table, .address = p->address, .order = p->order, .kind = KIND_UNSIGNED, .width = 1,
                 .first = (uint8_t)n, .bits = 1, .field = true, .whole_sentinels = true};
  return true;
}

static inline bool point_order(text_t t, point_t *p) {
  static const char *const ORDERS[] = {"be", "bs", "sw32", "le32", "ds", "dsbs", "sw", "le"};
  for (uint8_t i = 0; i < sizeof ORDERS / sizeof *ORDERS; i++)
    if (text_is(t, ORDERS[i])) {
      p->order = i;
      if (p->kind == KIND_TEXT) return i <= ORDER_BS;
      return p->width == 4 || i <= ORDER_BS || i >= ORDER_SW;
    }
  return false;
}

static inline bool point_field(text_t t, point_t *p) {
  text_t first = text_cut(&t, '+');
  uint64_t at, count;
  if ((p->kind != KIND_UNSIGNED && p->kind != KIND_SIGNED) || p->field) return false;
  if (!text_unsigned(first, 63, &at) || !text_unsigned(t, 64, &count) || !count || at + count > 16u * p->width) return false;
  p->first = (uint8_t)at;
  p->bits = (uint8_t)count;
  p->field = count < 16u * p->width;
  return true;
}

/* "name=": what follows, or nothing. */
static inline bool point_named(text_t t, const char *name, text_t *value) {
  size_t n = strlen(name);
  if (t.len < n || memcmp(t.at, name, n)) return false;
  *value = (text_t){t.at + n, t.len - n};
  return true;
}

static inline bool point_parse(text_t address, point_t *p) {
  text_t table = text_cut(&address, ':'), number = text_cut(&address, ':'), value;
  uint64_t n;
  *p = (point_t){.kind = KIND_UNSIGNED, .width = 1, .bits = 16};
  p->table = text_is(table, "holding") ? TABLE_HOLDING : text_is(table, "input") ? TABLE_INPUT
           : text_is(table, "coil") ? TABLE_COIL : text_is(table, "discrete") ? TABLE_DISCRETE : 0;
  if (!p->table || !text_unsigned(number, 65535, &n)) return false;
  p->address = (uint16_t)n;
  if (p->table <= TABLE_DISCRETE) { p->kind = KIND_BIT; p->bits = 1; }
  for (int part = 0; address.len; part++) {
    text_t one = text_cut(&address, ':');
    if (text_is(one, "write-only")) p->write_only = true;
    else if (p->kind == KIND_BIT) return false;
    else if (part == 0) { if (!point_type(one, p)) return false; }
    else if (point_named(one, "bits=", &value)) { if (!point_field(value, p)) return false; }
    else if (point_named(one, "power=", &value)) {
      if (p->kind == KIND_TEXT || !text_unsigned(value, 65535, &n)) return false;
      p->power = (uint16_t)n;
      p->scaled_live = true;
    }
    else if (part != 1 || !point_order(one, p)) return false;
  }
  return (uint32_t)p->address + p->width <= 65536;
}

/* Where word `i` of a value (0: the most significant) lies among its registers. */
static inline int point_word(const point_t *p, int i) {
  if (p->width == 4) return (p->order & ORDER_SW32 ? i ^ 1 : i) ^ (p->order & ORDER_DS ? 2 : 0);
  return p->order & ORDER_SW32 ? p->width - 1 - i : i;
}

static inline uint16_t point_swapped(const point_t *p, uint16_t v) { return p->order & ORDER_BS ? (uint16_t)(v << 8 | v >> 8) : v; }

static inline uint64_t point_all(const point_t *p, const uint8_t *raw) {
  uint64_t bits = 0;
  if (p->order == ORDER_BE && p->width == 1) return get16(raw);            /* most points of most devices */
  if (p->order == ORDER_BE && p->width == 2) return (uint32_t)get16(raw) << 16 | get16(raw + 2);
  for (int i = 0; i < p->width; i++) bits = bits << 16 | point_swapped(p, get16(raw + 2 * point_word(p, i)));
  return bits;
}

static inline uint64_t point_mask(const point_t *p) { return UINT64_MAX >> (64 - p->bits); }

/* The bits of its registers that are its own. */
static inline uint64_t point_bits(const point_t *p, const uint8_t *raw) {
  uint64_t all = point_all(p, raw);
  return p->field ? all >> p->first & point_mask(p) : all;
}

/* Does the device say with these registers that it has no value? `bits`: the point's own. */
static inline bool point_is_none(const point_t *p, uint64_t bits, const uint8_t *raw) {
  if (p->whole_sentinels) bits = point_all(p, raw);
  for (int i = 0; i < p->sentinel_count; i++) if (bits == p->sentinels[i]) return true;
  return false;
}

/* The number that decimal digits are; false when some are none. */
static inline bool point_digits(const point_t *p, uint64_t bits, int64_t *out) {
  int64_t n = 0;
  if (p->kind == KIND_BCD)
    for (int at = p->bits - 4; at >= 0; at -= 4) {
      unsigned digit = bits >> at & 15;
      if (digit > 9) return false;
      n = n * 10 + digit;
    }
  else
    for (int at = p->bits - 16; at >= 0; at -= 16) {
      int16_t word = (int16_t)(bits >> at);
      if (word <= -10000 || word >= 10000) return false;
      n = n * 10000 + word;
    }
  *out = n;
  return true;
}

/* Of a whole point; false when its registers hold no number. */
static inline bool point_integer(const point_t *p, uint64_t bits, integer_t *out) {
  int64_t n;
  if (p->kind == KIND_UNSIGNED) { *out = integer_unsigned(bits); return true; }
  if (p->kind == KIND_SIGNED) { *out = integer_signed((int64_t)bits); return true; }
  if (!point_digits(p, bits, &n)) return false;
  *out = integer_signed(n);
  return true;
}

static inline double half_value(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  double value = exponent == 31 ? (fraction ? NAN : INFINITY) : exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
  return h >> 15 ? -value : value;
}

static inline double point_number(const point_t *p, uint64_t bits) {
  double value = 0;
  int64_t n;
  switch (p->kind) {
    case KIND_UNSIGNED: return (double)bits;
    case KIND_SIGNED: return (double)((int64_t)(bits << (64 - p->bits)) >> (64 - p->bits));
    case KIND_FLOAT:
      if (p->width == 2) { float f; uint32_t b = (uint32_t)bits; memcpy(&f, &b, 4); return f; }
      if (p->width == 1) return half_value((uint16_t)bits);
      memcpy(&value, &bits, 8);
      return value;
    default: return point_digits(p, bits, &n) ? (double)n : NAN;
  }
}

/* value * 10^power, rounded once; NaN for what is no power of ten here. */
static inline double scaled_by(double value, int power) {
  static const double POWERS[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
                                  1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (power < -POWER_MAX || power > POWER_MAX) return NAN;
  return power >= 0 ? value * POWERS[power] : value / POWERS[-power];
}

static inline double point_value(const point_t *p, uint64_t bits, int power) {
  double value = point_number(p, bits) * p->scale;
  return (p->scaled_live ? scaled_by(value, power) : value) + p->offset;
}

/* Writes `bits` into its registers; of a field the others' bits stay as they are in `raw`. */
static inline void point_put(const point_t *p, uint64_t bits, uint8_t *raw) {
  if (p->field) {
    uint64_t mask = point_mask(p) << p->first;
    bits = (point_all(p, raw) & ~mask) | (bits << p->first & mask);
  }
  for (int i = p->width - 1; i >= 0; i--, bits >>= 16) put16(raw + 2 * point_word(p, i), point_swapped(p, (uint16_t)bits));
}

/* The nearest binary16, ties to even; false for a number that is too large. */
static inline bool half_bits(double value, uint64_t *out) {
  uint64_t sign = signbit(value) ? 0x8000 : 0;
  double size = fabs(value);
  if (isnan(value)) { *out = 0x7E00; return true; }
  if (isinf(value)) { *out = sign | 0x7C00; return true; }
  int exponent = 0;
  frexp(size, &exponent);                           /* size = m * 2^exponent, 0.5 <= m < 1 */
  if (exponent < -13) exponent = -13;               /* subnormal */
  double digits = nearbyint(ldexp(size, 11 - exponent));      /* 1024..2048, below 1024 for a subnormal */
  uint64_t biased = digits >= 1024 ? (uint64_t)(exponent + 14) : 0;
  uint64_t bits = biased ? (biased << 10) + (uint64_t)digits - 1024 : (uint64_t)digits;
  *out = sign | bits;
  return bits < 0x7C00;
}

/* Whole number to decimal digits; false when they are too few. */
static inline bool point_to_digits(const point_t *p, int64_t n, uint64_t *bits) {
  bool negative = n < 0;
  uint64_t rest = negative ? -(uint64_t)n : (uint64_t)n;
  *bits = 0;
  if (negative && p->kind == KIND_BCD) return false;
  if (p->kind == KIND_BCD) for (int at = 0; at < p->bits; at += 4, rest /= 10) *bits |= (rest % 10) << at;
  else
    for (int at = 0; at < p->bits; at += 16, rest /= 10000) {
      uint16_t word = (uint16_t)(rest % 10000);
      *bits |= (uint64_t)(negative ? (uint16_t)-word : word) << at;
    }
  return !rest;
}

static inline bool point_whole_bits(const point_t *p, double whole, uint64_t *bits) {
  double top = ldexp(1, p->bits);
  if (p->kind == KIND_UNSIGNED) { if (!(whole >= 0 && whole < top)) return false; *bits = (uint64_t)whole; return true; }
  if (p->kind == KIND_SIGNED) { if (!(whole >= -top / 2 && whole < top / 2)) return false; *bits = (uint64_t)(int64_t)whole; return true; }
  return whole > -0x1p63 && whole < 0x1p63 && point_to_digits(p, (int64_t)whole, bits);
}

/* Engineering value to registers; false when the type can't hold it. Of a field `raw` has what is there. */
static inline bool point_raw(const point_t *p, double value, int power, uint8_t *raw) {
  double wanted = (value - p->offset) / p->scale;
  uint64_t bits = 0;
  if (p->kind == KIND_TEXT) return false;
  if (p->scaled_live) wanted = scaled_by(wanted, -power);
  if (p->kind == KIND_FLOAT && p->width == 1) { if (!half_bits(wanted, &bits)) return false; }
  else if (p->kind == KIND_FLOAT && p->width == 2) {
    float f = (float)wanted;
    if (__builtin_isinf(f) && !__builtin_isinf(wanted)) return false;
    uint32_t b; memcpy(&b, &f, 4); bits = b;
  }
  else if (p->kind == KIND_FLOAT) memcpy(&bits, &wanted, 8);
  else if (!point_whole_bits(p, nearbyint(wanted), &bits)) return false;
  point_put(p, bits, raw);
  return true;
}

/* A whole number to registers, exact where they hold whole numbers; false when they can't hold it. */
static inline bool point_raw_integer(const point_t *p, integer_t n, int power, uint8_t *raw) {
  uint64_t bits;
  double value;
  bool binary = p->kind == KIND_UNSIGNED || p->kind == KIND_SIGNED, digits = p->kind == KIND_BCD || p->kind == KIND_MODULO;
  if (!(binary || digits) || p->scaled_live || p->scale != 1 || p->offset != 0)
    return integer_exact(n, &value) && point_raw(p, value, power, raw);
  if (binary) { if (!integer_bits(n, p->kind == KIND_SIGNED, p->bits, &bits)) return false; }
  else if ((!integer_is_negative(n) && n.val.unsigned_ > INT64_MAX) || !point_to_digits(p, n.val.signed_, &bits)) return false;
  point_put(p, bits, raw);
  return true;
}

/* ---- texts ---------------------------------------------------------------------------------------------------- */
/* A text's bytes from its registers (2 * width of them) up to the first zero, without blanks at its end. */
static inline size_t point_text(const point_t *p, const uint8_t *raw, uint8_t *out) {
  size_t n = 0, size = 2u * p->width;
  for (; n < size; n++) { out[n] = raw[p->order & ORDER_BS ? n ^ 1 : n]; if (!out[n]) break; }
  while (n && out[n - 1] == ' ') n--;
  return n;
}

/* A text into registers, filled up with zeros; false when it is too long. */
static inline bool point_raw_text(const point_t *p, const uint8_t *text, size_t n, uint8_t *raw) {
  if (p->kind != KIND_TEXT || n > 2u * p->width) return false;
  memset(raw, 0, 2u * p->width);
  for (size_t i = 0; i < n; i++) raw[p->order & ORDER_BS ? i ^ 1 : i] = text[i];
  return true;
}
#endif

/* Whole numbers of the contract (-2^63 to 2^64 - 1) beside doubles: compared and turned into one another without rounding.
 * Belongs here: arithmetic that a cast would get wrong beyond 2^53. Never: what a value means. Include it after the bindings. */
#ifndef TWINLOOP_INTEGERS_H
#define TWINLOOP_INTEGERS_H
#include <stdbool.h>
#include <stdint.h>

typedef twinloop_gateway_types_integer_t integer_t;

static inline integer_t integer_signed(int64_t n) {
  return (integer_t){.tag = TWINLOOP_GATEWAY_TYPES_INTEGER_SIGNED, .val.signed_ = n};
}

static inline integer_t integer_unsigned(uint64_t n) {
  return (integer_t){.tag = TWINLOOP_GATEWAY_TYPES_INTEGER_UNSIGNED, .val.unsigned_ = n};
}

static inline bool integer_is_negative(integer_t n) { return n.tag == TWINLOOP_GATEWAY_TYPES_INTEGER_SIGNED && n.val.signed_ < 0; }

/* The nearest double. */
static inline double integer_near(integer_t n) { return integer_is_negative(n) ? (double)n.val.signed_ : (double)n.val.unsigned_; }

/* Its bits in two's complement, where `width` of them hold it: false when they don't. */
static inline bool integer_bits(integer_t n, bool is_signed, unsigned width, uint64_t *bits) {
  uint64_t all = UINT64_MAX >> (64 - width), top = is_signed ? all / 2 : all;
  *bits = n.val.unsigned_ & all;                    /* both cases lie in the same eight bytes */
  if (integer_is_negative(n)) return is_signed && n.val.signed_ >= -(int64_t)top - 1;
  return n.val.unsigned_ <= top;
}

/* n < bound. A whole number is below a fraction when it is below the next whole one; nothing is below NaN. */
static inline bool integer_below(integer_t n, double bound) {
  double whole = __builtin_ceil(bound);
  if (!integer_is_negative(n)) return whole > 0 && (whole >= 0x1p64 || n.val.unsigned_ < (uint64_t)whole);
  return whole >= 0 || (whole >= -0x1p63 && n.val.signed_ < (int64_t)whole);
}

/* n > bound. */
static inline bool integer_above(integer_t n, double bound) {
  double whole = __builtin_floor(bound);
  if (!integer_is_negative(n)) return whole < 0 || (whole < 0x1p64 && n.val.unsigned_ > (uint64_t)whole);
  return whole < 0 && (whole < -0x1p63 || n.val.signed_ > (int64_t)whole);
}

/* The double that is this very number; false when there is none. */
static inline bool integer_exact(integer_t n, double *out) {
  *out = integer_near(n);
  return !integer_below(n, *out) && !integer_above(n, *out);
}

/* The whole number that a double without a fraction is; the first or last one for what lies beyond them. */
static inline integer_t integer_of(double whole) {
  if (whole < 0) return integer_signed(whole < -0x1p63 ? INT64_MIN : (int64_t)whole);
  return integer_unsigned(whole >= 0x1p64 ? UINT64_MAX : (uint64_t)whole);
}
#endif

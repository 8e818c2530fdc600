/* Numbers and texts as JSON has them (RFC 8259), without stdio; numbers beyond 2^53 with all their digits.
 * Belongs here: digits and escapes. Never: what a member means, or JSON read in place (json.h). Include it after the bindings. */
#ifndef TWINLOOP_NUMBER_H
#define TWINLOOP_NUMBER_H
#include "../integers.h"
#include "../text.h"

enum { NUMBER_TEXT_MAX = 40 };

/* A number without fraction and exponent that lies beyond 2^53 and fits 64 bits. */
static bool large_integer(text_t raw, integer_t *out) {
  bool negative = raw.len && *raw.at == '-';
  uint64_t size;
  if (negative) { raw.at++; raw.len--; }
  if (!text_unsigned(raw, negative ? 1ull << 63 : UINT64_MAX, &size) || size <= 1ull << 53) return false;
  *out = negative ? integer_signed((int64_t)(0 - size)) : integer_unsigned(size);
  return true;
}

static size_t digits_of(uint64_t n, char *out) {
  char turned[24];
  size_t count = 0;
  do turned[count++] = (char)('0' + n % 10); while (n /= 10);
  for (size_t i = 0; i < count; i++) out[i] = turned[count - 1 - i];
  return count;
}

static bool reads_back(const char *text, size_t n, double value) {
  double back;
  return text_number((text_t){text, n}, &back) && (back == value || (back - value < 0 ? value - back : back - value) <= (value < 0 ? -value : value) * 1e-15);
}

/* A number as JSON has it, without stdio: with up to nine decimals if that says it, else with 17 digits and an exponent. 0: it can't be said. */
static size_t number_text(double value, char out[NUMBER_TEXT_MAX]) {
  double size = value < 0 ? -value : value;
  size_t n = 0;
  if (value < 0) out[n++] = '-';
  if (size < 9e15) {
    uint64_t whole = (uint64_t)size, part = (uint64_t)((size - (double)whole) * 1e9 + 0.5);
    if (part >= 1000000000u) { whole++; part = 0; }
    size_t end = n + digits_of(whole, out + n);
    if (part) {
      out[end++] = '.';
      for (uint64_t unit = 100000000u; unit && part; unit /= 10) { out[end++] = (char)('0' + part / unit); part %= unit; }
    }
    if (reads_back(out, end, value)) return end;
  }
  int exponent = 0;
  while (size >= 1e17) { size /= 10; exponent++; }
  while (size < 1e16) { size *= 10; exponent--; }
  n += digits_of((uint64_t)size, out + n);
  out[n++] = 'e';
  if (exponent < 0) { out[n++] = '-'; exponent = -exponent; }
  n += digits_of((uint64_t)exponent, out + n);
  return reads_back(out, n, value) ? n : 0;
}

static size_t integer_text(integer_t n, char out[NUMBER_TEXT_MAX]) {
  if (!integer_is_negative(n)) return digits_of(n.val.unsigned_, out);
  *out = '-';
  return 1 + digits_of(0 - n.val.unsigned_, out + 1);
}

/* A text with its quotes and escapes, into `out` (6 bytes for each of its own and 2 are enough). Returns its length. */
static size_t text_json(text_t t, char *out) {
  static const char HEX[] = "0123456789abcdef";
  size_t n = 0;
  out[n++] = '"';
  for (size_t i = 0; i < t.len; i++) {
    unsigned char c = (unsigned char)t.at[i];
    if (c < 0x20) {
      memcpy(out + n, "\\u00", 4);
      out[n + 4] = HEX[c >> 4];
      out[n + 5] = HEX[c & 15];
      n += 6;
      continue;
    }
    if (c == '"' || c == '\\') out[n++] = '\\';
    out[n++] = (char)c;
  }
  out[n++] = '"';
  return n;
}
#endif

/* Text that crosses the contract, read without libc's stdio: option values, lists, numbers with units.
 * Belongs here: parsing of borrowed (pointer, length) strings. Never: anything that allocates or knows a protocol. */
#ifndef TWINLOOP_TEXT_H
#define TWINLOOP_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *at; size_t len; } text_t;

#define TEXT(s) ((text_t){(const char *)(s).ptr, (s).len})

static inline bool text_is(text_t t, const char *word) {
  return strlen(word) == t.len && memcmp(t.at, word, t.len) == 0;
}

static inline bool text_same(text_t a, text_t b) { return a.len == b.len && memcmp(a.at, b.at, a.len) == 0; }

static inline text_t text_trim(text_t t) {
  while (t.len && (*t.at == ' ' || *t.at == '\t')) { t.at++; t.len--; }
  while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t')) t.len--;
  return t;
}

/* Cuts `rest` at the first `by`: the part before it is returned, `rest` keeps what follows. */
static inline text_t text_cut(text_t *rest, char by) {
  text_t part = {rest->at, 0};
  while (part.len < rest->len && part.at[part.len] != by) part.len++;
  size_t used = part.len < rest->len ? part.len + 1 : part.len;
  rest->at += used;
  rest->len -= used;
  return part;
}

static inline bool text_unsigned(text_t t, uint64_t max, uint64_t *out) {
  uint64_t value = 0;
  t = text_trim(t);
  if (!t.len) return false;
  for (size_t i = 0; i < t.len; i++) {
    if (t.at[i] < '0' || t.at[i] > '9') return false;
    uint64_t digit = (uint64_t)(t.at[i] - '0');
    if (value > (max - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *out = value;
  return value <= max;
}

static inline bool text_number(text_t t, double *out) {
  char copy[40], *end;
  t = text_trim(t);
  if (!t.len || t.len >= sizeof copy) return false;
  for (size_t i = 0; i < t.len; i++)
    if (!(t.at[i] >= '0' && t.at[i] <= '9') && !strchr("+-.eE", t.at[i])) return false;
  memcpy(copy, t.at, t.len);
  copy[t.len] = 0;
  *out = strtod(copy, &end);
  return *end == 0 && *out - *out == 0;
}

/* Is it UTF-8 (RFC 3629): no overlong form, no surrogate, nothing beyond U+10FFFF? A string that isn't can't cross the contract. */
static inline bool text_is_utf8(text_t t) {
  const uint8_t *p = (const uint8_t *)t.at;
  for (size_t i = 0; i < t.len;) {
    uint8_t c = p[i];
    size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2 : c >= 0xF0 && c < 0xF5 ? 3 : 4;
    if (more == 4 || more > t.len - i - 1) return false;
    for (size_t k = 1; k <= more; k++) if ((p[i + k] & 0xC0) != 0x80) return false;
    if ((c == 0xE0 && p[i + 1] < 0xA0) || (c == 0xED && p[i + 1] > 0x9F) || (c == 0xF0 && p[i + 1] < 0x90) || (c == 0xF4 && p[i + 1] > 0x8F)) return false;
    i += more + 1;
  }
  return true;
}

/* "200 ms", "1 s", "1500 us": nanoseconds. A bare number is refused: its unit would be a guess. */
static inline bool text_duration(text_t t, uint64_t *out_ns) {
  size_t digits = 0;
  t = text_trim(t);
  while (digits < t.len && t.at[digits] >= '0' && t.at[digits] <= '9') digits++;
  text_t unit = text_trim((text_t){t.at + digits, t.len - digits});
  uint64_t scale = text_is(unit, "ns") ? 1u : text_is(unit, "us") ? 1000u : text_is(unit, "ms") ? 1000000u
                 : text_is(unit, "s") ? 1000000000u : 0u;
  uint64_t count;
  if (!scale || !text_unsigned((text_t){t.at, digits}, 3600000000000ull / scale, &count)) return false;
  *out_ns = count * scale;
  return true;
}
#endif

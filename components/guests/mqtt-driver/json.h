/* JSON (RFC 8259) as sensors send it, read in place, once: each value with its path of object members.
 * Belongs here: syntax. Never: what a member means. Nesting has a limit; anything that isn't JSON makes the whole document refused. */
#ifndef TWINLOOP_JSON_H
#define TWINLOOP_JSON_H
#include "../text.h"

enum { JSON_DEPTH_MAX = 16 };
typedef enum { JSON_ABSENT, JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_TEXT, JSON_OTHER } json_kind_t;
typedef struct { json_kind_t kind; text_t raw; bool truth; } json_t;   /* raw: a number's text, or a text without its quotes */
typedef struct { const char *at, *end; bool bad; } scan_t;

static void json_space(scan_t *s) { while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++; }

static bool json_take(scan_t *s, char c) {
  json_space(s);
  if (s->bad || s->at >= s->end || *s->at != c) return false;
  s->at++;
  return true;
}

static bool json_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

static text_t json_string(scan_t *s) {
  if (!json_take(s, '"')) { s->bad = true; return (text_t){s->at, 0}; }
  text_t out = {s->at, 0};
  while (s->at < s->end && *s->at != '"') {
    if ((unsigned char)*s->at < 0x20) { s->bad = true; return out; }
    if (*s->at == '\\') {
      s->at++;
      if (s->at >= s->end || !*s->at || !strchr("\"\\/bfnrtu", *s->at)) { s->bad = true; return out; }
      if (*s->at == 'u') {
        if (s->end - s->at < 5) { s->bad = true; return out; }
        for (int i = 1; i <= 4; i++) if (!json_hex(s->at[i])) { s->bad = true; return out; }
        s->at += 4;
      }
    }
    s->at++;
  }
  if (s->at >= s->end) { s->bad = true; return out; }
  out.len = (size_t)(s->at - out.at);
  s->at++;
  return out;
}

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
static text_t json_number(scan_t *s) {
  const char *start = s->at, *p = s->at;
  if (p < s->end && *p == '-') p++;
  const char *digits = p;
  while (p < s->end && *p >= '0' && *p <= '9') p++;
  bool good = p > digits && (*digits != '0' || p == digits + 1);
  if (good && p < s->end && *p == '.') {
    const char *part = ++p;
    while (p < s->end && *p >= '0' && *p <= '9') p++;
    good = p > part;
  }
  if (good && p < s->end && (*p == 'e' || *p == 'E')) {
    p++;
    if (p < s->end && (*p == '+' || *p == '-')) p++;
    const char *part = p;
    while (p < s->end && *p >= '0' && *p <= '9') p++;
    good = p > part;
  }
  if (!good) s->bad = true;
  s->at = p;
  return (text_t){start, (size_t)(p - start)};
}

static bool json_word(scan_t *s, const char *word) {
  size_t n = strlen(word);
  if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n)) return false;
  s->at += n;
  return true;
}

enum { JSON_PATH_MAX = 256 };
/* Told of each value with its path: member names joined by dots. */
typedef void (*json_told_t)(void *context, text_t path, const json_t *value);
typedef struct { scan_t s; char path[JSON_PATH_MAX]; json_told_t told; void *context; } walk_t;

static size_t json_text(text_t raw, char *out);

/* Reads a value at `len` bytes of path; `reachable` is false inside lists and below names that are too long. */
static void json_value(walk_t *w, size_t len, bool reachable, int depth) {
  scan_t *s = &w->s;
  json_t here = {.kind = JSON_OTHER};
  json_space(s);
  if (s->bad || s->at >= s->end || depth > JSON_DEPTH_MAX) { s->bad = true; return; }
  char c = *s->at;
  if (c == '{') {
    s->at++;
    if (!json_take(s, '}')) {
      do {
        json_space(s);
        text_t name = json_string(s);
        size_t at = len + (len != 0);
        bool fits = reachable && !s->bad && at + name.len <= JSON_PATH_MAX;
        if (!json_take(s, ':')) s->bad = true;
        if (fits && len) w->path[len] = '.';
        json_value(w, fits ? at + json_text(name, w->path + at) : len, fits, depth + 1);
      } while (!s->bad && json_take(s, ','));
      if (!json_take(s, '}')) s->bad = true;
    }
  } else if (c == '[') {
    s->at++;
    if (!json_take(s, ']')) {
      do json_value(w, len, false, depth + 1); while (!s->bad && json_take(s, ','));
      if (!json_take(s, ']')) s->bad = true;
    }
  } else if (c == '"') {
    here.raw = json_string(s);
    here.kind = JSON_TEXT;
  } else if (json_word(s, "true")) { here.kind = JSON_BOOLEAN; here.truth = true; }
  else if (json_word(s, "false")) here.kind = JSON_BOOLEAN;
  else if (json_word(s, "null")) here.kind = JSON_NULL;
  else {
    here.raw = json_number(s);
    here.kind = JSON_NUMBER;
  }
  if (reachable && len && !s->bad) w->told(w->context, (text_t){w->path, len}, &here);
}

static uint32_t json_unit(const char *at) {
  uint32_t value = 0;
  for (int i = 0; i < 4; i++) value = value << 4 | (uint32_t)(at[i] <= '9' ? at[i] - '0' : (at[i] | 32) - 'a' + 10);
  return value;
}

/* A text without its escapes (section 7), into `out` (raw.len bytes are enough); half a surrogate pair becomes U+FFFD. Returns its length. */
static size_t json_text(text_t raw, char *out) {
  static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
  size_t n = 0;
  for (size_t i = 0; i < raw.len; i++) {
    if (raw.at[i] != '\\') { out[n++] = raw.at[i]; continue; }
    char c = raw.at[++i];
    if (c != 'u') { out[n++] = TO[strchr(FROM, c) - FROM]; continue; }
    uint32_t code = json_unit(raw.at + i + 1);
    i += 4;
    if (code >= 0xD800 && code < 0xDC00 && i + 6 < raw.len + 0u && raw.at[i + 1] == '\\' && raw.at[i + 2] == 'u') {
      uint32_t low = json_unit(raw.at + i + 3);
      if (low >= 0xDC00 && low < 0xE000) { code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00); i += 6; }
    }
    if (code >= 0xD800 && code < 0xE000) code = 0xFFFD;
    if (code < 0x80) out[n++] = (char)code;
    else {
      int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
      out[n++] = (char)((more == 1 ? 0xC0 : more == 2 ? 0xE0 : 0xF0) | code >> 6 * more);
      while (more--) out[n++] = (char)(0x80 | (code >> 6 * more & 0x3F));
    }
  }
  return n;
}

/* Walks a document once; false when it isn't JSON: then what was told of it means nothing. A member that comes twice is told twice. */
static bool json_walk(text_t document, json_told_t told, void *context) {
  walk_t w = {.s = {document.at, document.at + document.len, false}, .told = told, .context = context};
  if (!text_is_utf8(document)) return false;
  json_value(&w, 0, true, 0);
  json_space(&w.s);
  return !w.s.bad && w.s.at == w.s.end;
}
#endif

/* Namespaces by URI: an index is only what one server, in one run of it, calls a namespace (OPC 10000-3 section 8.2.2), so those that a point's
 * address names by URI are looked up in the server's NamespaceArray (OPC 10000-5 section 6.3.1) in each new session.
 * Belongs here: the URIs of addresses and what they are called now. Never: the rest of a NodeId (nodes.h). */
#ifndef TWINLOOP_NAMES_H
#define TWINLOOP_NAMES_H
#include "service.h"

enum { URIS_MAX = 64, URI_MAX = 512, NAMESPACE_ARRAY = 2255 };

typedef struct { char at[URI_MAX]; size_t len; uint32_t index; bool known; } uri_t;
typedef struct { uri_t *uris; size_t count; } names_t;

static int digit_of(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* 1 + the place of a URI as an address has it (; and % escaped as %3B and %25, OPC 10000-6 section 5.1.12); 0 for one that can't be. */
static size_t name_of(names_t *names, text_t t) {
  uri_t one = {.len = 0};
  for (size_t i = 0; i < t.len; i++) {
    char c = t.at[i];
    if (c == '%') {
      int high = i + 2 < t.len ? digit_of(t.at[i + 1]) : -1, low = high >= 0 ? digit_of(t.at[i + 2]) : -1;
      if (low < 0) return 0;
      c = (char)(high << 4 | low);
      i += 2;
    }
    if (one.len == URI_MAX) return 0;
    one.at[one.len++] = c;
  }
  if (!one.len || !text_is_utf8((text_t){one.at, one.len})) return 0;
  for (size_t i = 0; i < names->count; i++)
    if (names->uris[i].len == one.len && !memcmp(names->uris[i].at, one.at, one.len)) return i + 1;
  if (names->count == URIS_MAX) return 0;
  if (!names->uris) names->uris = take(NULL, URIS_MAX * sizeof *names->uris);
  names->uris[names->count++] = one;
  return names->count;
}

/* What this server calls them: a Read of its NamespaceArray. */
static outcome_t names_learn(names_t *names, session_t *s, trouble_t *t) {
  uint8_t data[TOKEN_BYTES_MAX + 256];
  writer_t w = {data, 0, sizeof data, false};
  reader_t r;
  request_begin(s, &w, READ);
  write_f64(&w, 0);
  write_u32(&w, 3);                                 /* no timestamps */
  write_u32(&w, 1);
  write_type(&w, NAMESPACE_ARRAY);
  write_u32(&w, ATTRIBUTE_VALUE);
  write_null(&w);
  write_little(&w, 0, 2);
  write_null(&w);
  outcome_t o = call(s, "MSG", READ, &w, &r, t);
  if (o != FINE) return o;
  if (read_count(&r) != 1 || r.bad) return malformed(t, "namespace array");
  uint8_t mask = read_u8(&r), type = mask & 1 ? read_u8(&r) : 0;
  if (type != (TYPE_STRING | 0x80)) return malformed(t, "namespace array");
  for (size_t k = 0; k < names->count; k++) names->uris[k].known = false;
  uint32_t count = read_count(&r);
  for (uint32_t i = 0; i < count && !r.bad; i++) {
    bytes_t uri = read_string(&r);
    for (size_t k = 0; k < names->count; k++) {
      uri_t *one = &names->uris[k];
      if (one->known || one->len != uri.len || memcmp(one->at, uri.at, uri.len)) continue;
      one->index = i;
      one->known = true;
    }
  }
  return r.bad ? malformed(t, "namespace array") : FINE;
}
#endif

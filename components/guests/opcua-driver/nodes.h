/* NodeIds as text (OPC 10000-6 section 5.3.1.10): ns=2;s=pressure | ns=3;i=1001 | i=2258 | ns=1;g=… | ns=1;b=base64;
 * or with the namespace's URI in place of its index: nsu=http://example.org/pumps/;s=speed.
 * Belongs here: an address to the bytes of its NodeId. Never: what is done with a node. */
#ifndef TWINLOOP_NODES_H
#define TWINLOOP_NODES_H
#include "names.h"

enum { NODE_ID_MAX = 512 };                        /* bytes of one encoded NodeId */

/* 8-4-4-4-12 hexadecimal digits; the first three groups travel little-endian (5.2.2.6). */
static bool guid_parse(text_t t, uint8_t out[16]) {
  static const uint8_t PLACE[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  size_t n = 0;
  if (t.len != 36) return false;
  for (size_t i = 0; i < t.len; i++) {
    if (i == 8 || i == 13 || i == 18 || i == 23) { if (t.at[i] != '-') return false; continue; }
    int high = digit_of(t.at[i]), low = i + 1 < t.len ? digit_of(t.at[i + 1]) : -1;
    if (high < 0 || low < 0) return false;
    out[PLACE[n++]] = (uint8_t)(high << 4 | low);
    i++;
  }
  return n == 16;
}

static bool base64_parse(text_t t, uint8_t *out, size_t size, size_t *n) {
  static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t bits = 0, have = 0;
  while (t.len && t.at[t.len - 1] == '=') t.len--;
  *n = 0;
  for (size_t i = 0; i < t.len; i++) {
    const char *digit = t.at[i] ? strchr(DIGITS, t.at[i]) : NULL;
    if (!digit) return false;
    bits = bits << 6 | (uint32_t)(digit - DIGITS);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    if (*n == size) return false;
    out[(*n)++] = (uint8_t)(bits >> have);
  }
  return have < 6;
}

/* Writes the NodeId; false for text that is none. `uri`: 1 + the place of its namespace's URI, whose index is still to be put in (node_id_name),
 * or 0. */
static bool node_id_parse(text_t t, writer_t *w, names_t *names, size_t *uri) {
  uint64_t name_space = 0, number;
  uint8_t raw[NODE_ID_MAX];
  size_t n;
  if (t.len > 3 && !memcmp(t.at, "ns=", 3)) {
    text_t head = text_cut(&t, ';');
    if (!text_unsigned((text_t){head.at + 3, head.len - 3}, 65535, &name_space)) return false;
  }
  *uri = 0;
  if (t.len > 4 && !memcmp(t.at, "nsu=", 4)) {
    text_t head = text_cut(&t, ';');
    *uri = name_of(names, (text_t){head.at + 4, head.len - 4});
    if (!*uri) return false;
  }
  if (t.len < 3 || t.at[1] != '=') return false;
  char form = t.at[0];
  t = (text_t){t.at + 2, t.len - 2};
  if (form == 'i') {
    if (!text_unsigned(t, UINT32_MAX, &number)) return false;
    write_u8(w, 2);
    write_little(w, name_space, 2);
    write_u32(w, (uint32_t)number);
  } else if (form == 's') {
    write_u8(w, 3);
    write_little(w, name_space, 2);
    write_string(w, t.at, t.len);
  } else if (form == 'g') {
    if (!guid_parse(t, raw)) return false;
    write_u8(w, 4);
    write_little(w, name_space, 2);
    write_bytes(w, raw, 16);
  } else if (form == 'b') {
    if (!base64_parse(t, raw, sizeof raw, &n)) return false;
    write_u8(w, 5);
    write_little(w, name_space, 2);
    write_string(w, raw, n);
  } else return false;
  return !w->full;
}

/* Puts a namespace's index in: it stands behind the first byte in every form that node_id_parse writes. */
static void node_id_name(uint8_t *node, uint32_t index) {
  node[1] = (uint8_t)index;
  node[2] = (uint8_t)(index >> 8);
}
#endif

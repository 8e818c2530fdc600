/* MQTT 3.1.1 control packets from a subscriber's side: written, found in a buffer, read within bounds.
 * Source: OASIS MQTT Version 3.1.1 (29 October 2014), sections 2 and 3.
 * Belongs here: bytes of packets. Never: the session (driver.c) or what a payload means (json.h). */
#ifndef TWINLOOP_PACKET_H
#define TWINLOOP_PACKET_H
#include "../text.h"

enum { CONNECT = 1, CONNACK = 2, PUBLISH = 3, PUBACK = 4, SUBSCRIBE = 8, SUBACK = 9, PINGREQ = 12, PINGRESP = 13 };
enum { PACKET_MAX = 262144, HEADER_MAX = 5 };

typedef struct { uint8_t *at; size_t used, size; bool full; } writer_t;
typedef struct { uint8_t type, flags; const uint8_t *body; size_t len, whole; } packet_t;
typedef struct { text_t topic; const uint8_t *payload; size_t len; uint16_t id; uint8_t qos; bool retain, dup; } publish_t;
typedef enum { FOUND, PARTIAL, OVERSIZE, BROKEN } found_t;   /* OVERSIZE: more than PACKET_MAX; `whole` says how much */

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

/* ---- writing --------------------------------------------------------------------------------------------------- */
static void put(writer_t *w, const void *data, size_t n) {
  if (w->full || n > w->size - w->used) { w->full = true; return; }
  memcpy(w->at + w->used, data, n);
  w->used += n;
}

static void put8(writer_t *w, uint8_t v) { put(w, &v, 1); }
static void put16(writer_t *w, uint16_t v) { uint8_t raw[2] = {(uint8_t)(v >> 8), (uint8_t)v}; put(w, raw, 2); }
static void put_text(writer_t *w, const char *at, size_t n) { put16(w, (uint16_t)n); put(w, at, n); }

static void put_head(writer_t *w, uint8_t type, uint8_t flags, size_t remaining) {
  put8(w, (uint8_t)(type << 4 | flags));
  do {
    uint8_t low = remaining & 0x7F;
    remaining >>= 7;
    put8(w, remaining ? low | 0x80 : low);
  } while (remaining);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */
/* The packet at the beginning of `data` (2.2); PARTIAL: more bytes are needed. */
static found_t packet_at(const uint8_t *data, size_t n, packet_t *p) {
  size_t remaining = 0, at = 1;
  for (int shift = 0;; shift += 7) {
    if (shift > 21) return BROKEN;
    if (at >= n) return PARTIAL;
    uint8_t byte = data[at++];
    remaining |= (size_t)(byte & 0x7F) << shift;
    if (!(byte & 0x80)) break;
  }
  if (remaining > PACKET_MAX) {
    *p = (packet_t){data[0] >> 4, data[0] & 15, data + at, n - at, at + remaining};
    return OVERSIZE;
  }
  if (n - at < remaining) return PARTIAL;
  *p = (packet_t){data[0] >> 4, data[0] & 15, data + at, remaining, at + remaining};
  return FOUND;
}

/* 3.3. False when it isn't one. */
static bool publish_read(const packet_t *p, publish_t *out) {
  out->qos = p->flags >> 1 & 3;
  out->retain = p->flags & 1;
  out->dup = p->flags >> 3 & 1;
  if (out->qos > 1 || (!out->qos && out->dup) || p->len < 2) return false;
  size_t topic = get16(p->body), at = 2 + topic;
  if (at + (out->qos ? 2u : 0u) > p->len || !topic) return false;
  out->topic = (text_t){(const char *)p->body + 2, topic};
  out->id = 0;
  if (out->qos) { out->id = get16(p->body + at); at += 2; if (!out->id) return false; }
  out->payload = p->body + at;
  out->len = p->len - at;
  return true;
}
#endif

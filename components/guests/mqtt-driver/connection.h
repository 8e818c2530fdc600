/* What the driver holds, and its connection with the broker: opened, asked for topics, heard, dropped.
 * Belongs here: packets that go and come. Never: what a message says (driver.c). */
#ifndef TWINLOOP_CONNECTION_H
#define TWINLOOP_CONNECTION_H
#include "../bindings/device_driver.h"
#include "json.h"
#include "number.h"
#include "packet.h"

enum { POINTS_MAX = 500, TOPIC_MAX = 256, CLIENT_MAX = 128, PATH_MAX = 128, RECENT_MAX = 64, STATUS_GOOD = 0, CHUNK = 16384, PAYLOAD_MAX = 16384 };   /* brokers keep 20 in flight; what is longer costs too much CPU time */
enum { BAD_TYPE = 0x80740000u, BAD_SENSOR = 0x808C0000u, BAD_NO_DATA = 0x809B0000u };   /* OPC UA Part 6 annex A.2 */

typedef exports_twinloop_gateway_driver_driver_error_t error_t;
typedef twinloop_gateway_types_bus_error_t bus_error_t;
typedef twinloop_gateway_types_reading_t reading_t;
typedef twinloop_gateway_types_text_reading_t text_reading;
typedef exports_twinloop_gateway_driver_written_t written_t;
typedef struct { char *at; size_t len; } json_out_t;
typedef struct { double scale, offset; uint32_t hash; uint16_t id, path_len, next; char path[PATH_MAX]; } point_t;   /* next: 1 + the next point of its bucket */
enum { BUCKETS = 1024 };
typedef enum { FINE, NOTHING, BUS, REJECTED, MALFORMED } outcome_t;   /* NOTHING: no message came */
typedef struct { bus_error_t bus; uint32_t code; const char *why; bool payload; } trouble_t;   /* payload: the session is good, what a message holds isn't */

static struct {
  point_t *points;
  size_t point_count;
  char topic[TOPIC_MAX], client[CLIENT_MAX], time[PATH_MAX];
  size_t topic_len, client_len, time_len;
  uint64_t keep_alive_ns, wait_ns, timeout_ns;
  uint8_t qos, granted;
  bool configured, connected, stale, offline, failing;   /* stale: settings have changed since, the connection must go */
  uint8_t *buffer;                                  /* what has come; read up to `at`, filled up to `used` */
  size_t at, used, size, skip;                      /* skip: bytes of a packet that is too long which are still to come */
  uint16_t packet, unacknowledged, subscribing;
  struct { uint16_t id; uint32_t hash; } recent[RECENT_MAX];
  uint32_t handled;
  uint64_t sent_ns, pinged_ns, subscribed_ns;       /* monotonic; pinged_ns 0: no answer is awaited */
  json_t *found;                                    /* of each point, and last the time */
  uint16_t bucket[BUCKETS];                         /* hash of a path -> 1 + its first point */
  uint64_t polls, errors;
} d;

static void *take(void *old, size_t n) {
  void *p = realloc(old, n);
  if (!p) __builtin_trap();                         /* at address 0 a guest has memory, too */
  return p;
}

static outcome_t malformed(trouble_t *t, const char *why) { t->why = why; return MALFORMED; }

/* ---- the connection ------------------------------------------------------------------------------------------- */
static void drop(void) {
  twinloop_gateway_fieldbus_reset();
  d.connected = d.stale = false;
  d.at = d.used = d.skip = 0;
  d.pinged_ns = 0;
}

static outcome_t send(writer_t *w, trouble_t *t) {
  device_driver_list_u8_t data = {w->at, w->used};
  if (w->full) return malformed(t, "packet too large to send");
  d.sent_ns = twinloop_gateway_clock_monotonic();
  return twinloop_gateway_fieldbus_send(&data, d.timeout_ns, &t->bus) ? FINE : BUS;
}

static outcome_t send_short(uint8_t type, uint16_t id, trouble_t *t) {
  uint8_t raw[4];
  writer_t w = {raw, 0, sizeof raw, false};
  put_head(&w, type, 0, id ? 2 : 0);
  if (id) put16(&w, id);
  return send(&w, t);
}

/* Waits for more bytes, at most `time_ns`; NOTHING when none came. */
static outcome_t more(uint64_t time_ns, trouble_t *t) {
  twinloop_gateway_fieldbus_framing_t f = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_SOME, .val.some = CHUNK};
  device_driver_list_u8_t got;
  if (!twinloop_gateway_fieldbus_receive(&f, time_ns, &got, &t->bus))
    return t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT ? NOTHING : BUS;
  if (d.at) { memmove(d.buffer, d.buffer + d.at, d.used -= d.at); d.at = 0; }
  if (d.used + got.len > d.size) d.buffer = take(d.buffer, d.size = 2 * (d.used + got.len));
  memcpy(d.buffer + d.used, got.ptr, got.len);
  d.used += got.len;
  device_driver_list_u8_free(&got);
  if (d.skip) {
    size_t n = d.skip < d.used ? d.skip : d.used;
    d.at += n;
    d.skip -= n;
  }
  return d.used - d.at > PACKET_MAX + HEADER_MAX + CHUNK ? malformed(t, "more unread than one packet") : FINE;
}

/* Takes `n` bytes at `at` out of what is unread. */
static void forget(size_t at, size_t n) {
  if (at == d.at) { d.at += n; return; }
  memmove(d.buffer + at, d.buffer + at + n, d.used - at - n);
  d.used -= n;
}

/* Waits for an answer of that type (and identifier, if it has one); what else comes stays in the buffer, in order. Its body in `body`. */
static outcome_t await(uint8_t type, uint16_t id, uint8_t body[4], size_t *len, trouble_t *t) {
  uint64_t until = twinloop_gateway_clock_monotonic() + d.timeout_ns;
  size_t past = 0;                                  /* of what is unread: packets that are for somebody else */
  for (;;) {
    packet_t p;
    size_t at = d.at + past;
    found_t f = at < d.used ? packet_at(d.buffer + at, d.used - at, &p) : PARTIAL;
    if (f == BROKEN || f == OVERSIZE) return malformed(t, "packet length");
    if (f == FOUND) {
      if (p.type != type || (id && (p.len < 2 || get16(p.body) != id))) { past += p.whole; continue; }
      if (p.flags || p.len > 4) return malformed(t, "answer");
      memcpy(body, p.body, *len = p.len);
      forget(at, p.whole);
      return FINE;
    }
    uint64_t now = twinloop_gateway_clock_monotonic();
    outcome_t o = now < until ? more(until - now, t) : NOTHING;   /* woken early, it waits on: half a handshake is worth nothing */
    if (o == NOTHING && twinloop_gateway_clock_monotonic() >= until) { t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT; return BUS; }
    if (o != FINE && o != NOTHING) return o;
  }
}

static uint16_t next_id(void) { return d.packet = (uint16_t)(d.packet % 65535 + 1); }

/* Connects and asks for the device's topics. The answer to that is taken when it comes: a kept session's messages come before it. */
static outcome_t session(trouble_t *t) {
  uint8_t raw[CLIENT_MAX + 2 * TOPIC_MAX + 64], body[4];
  writer_t w = {raw, 0, sizeof raw, false};
  size_t len = 0;
  if (d.stale) drop();
  d.at = d.used = d.skip = 0;
  d.pinged_ns = 0;
  d.unacknowledged = 0;                             /* the broker sends it again */
  put_head(&w, CONNECT, 0, 10 + 2 + d.client_len);
  put(&w, "\0\4MQTT\4\0", 8);                       /* clean session 0 */
  put16(&w, (uint16_t)(d.keep_alive_ns / 1000000000u));
  put_text(&w, d.client, d.client_len);
  outcome_t o = send(&w, t);
  if (o == FINE) o = await(CONNACK, 0, body, &len, t);
  if (o != FINE) return o;
  if (len != 2 || body[0] > 1) return malformed(t, "connack");
  if (body[1]) { t->code = body[1]; return REJECTED; }
  if (!body[0]) d.handled = 0;                      /* a new session: identifiers begin anew */
  w.used = 0;
  d.subscribing = next_id();
  d.subscribed_ns = twinloop_gateway_clock_monotonic();
  put_head(&w, SUBSCRIBE, 2, 2 + 2 * (2 + d.topic_len + 1) + 7);
  put16(&w, d.subscribing);
  put_text(&w, d.topic, d.topic_len);
  put8(&w, d.qos);
  put16(&w, (uint16_t)(d.topic_len + 7));
  put(&w, d.topic, d.topic_len);
  put(&w, "/status", 7);
  put8(&w, d.qos);
  o = send(&w, t);
  d.connected = o == FINE;
  return o;
}

/* The answer to SUBSCRIBE (3.9): refused is refused; a lower QoS than asked for is told in the status. */
static outcome_t subscribed(const packet_t *p, trouble_t *t) {
  if (p->flags || p->len != 4 || get16(p->body) != d.subscribing) return d.subscribing ? malformed(t, "suback") : NOTHING;
  d.subscribing = 0;
  for (int i = 2; i < 4; i++) if (p->body[i] > 1) { t->code = p->body[i]; return REJECTED; }
  d.granted = p->body[2];
  return NOTHING;
}
#endif

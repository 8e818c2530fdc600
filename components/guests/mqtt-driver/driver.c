/* mqtt-driver: one device that publishes to an MQTT 3.1.1 broker, behind the contract's `driver`. The host asks again and again: each
 * read-sensor waits for the next message and returns its readings; "timeout" means that none came meanwhile.
 * Options: protocol (mqtt), client (client identifier), topic (the device's), qos (0 | 1), keep-alive ("30 s"), wait ("10 s": for a message, in one
 * call), timeout ("5 s": for the broker's answers), time (path of the device's own time in ms, "ts").
 * Point addresses are paths of JSON members ("values.pressure"); value = member * scale + offset. The session is kept by the broker (clean
 * session 0): with QoS 1 what was published while this driver was away comes then. A message is acknowledged when the host asks for the
 * next one, so what a crash takes from the host comes again. TOPIC/status is watched for "offline", the device's last will. Writes go to TOPIC/set. */
#include "../bindings/device_driver.h"
#include "json.h"
#include "packet.h"

enum { POINTS_MAX = 500, TOPIC_MAX = 256, CLIENT_MAX = 128, PATH_MAX = 128, RECENT_MAX = 16, STATUS_GOOD = 0, CHUNK = 16384 };
enum { BAD_TYPE = 0x80740000u, BAD_SENSOR = 0x808C0000u, BAD_NO_DATA = 0x809B0000u };   /* OPC UA Part 6 annex A.2 */

typedef exports_twinloop_gateway_driver_driver_error_t error_t;
typedef twinloop_gateway_types_bus_error_t bus_error_t;
typedef twinloop_gateway_types_reading_t reading_t;
typedef twinloop_gateway_types_text_reading_t text_reading;
typedef struct { double scale, offset; uint16_t id; char path[PATH_MAX]; uint16_t path_len; } point_t;
typedef enum { FINE, NOTHING, BUS, REJECTED, MALFORMED } outcome_t;   /* NOTHING: no message came */
typedef struct { bus_error_t bus; uint32_t code; const char *why; bool payload; } trouble_t;   /* payload: the session is good, what a message holds isn't */

static struct {
  point_t *points;
  size_t point_count;
  char topic[TOPIC_MAX], client[CLIENT_MAX], time[PATH_MAX];
  size_t topic_len, client_len, time_len;
  uint64_t keep_alive_ns, wait_ns, timeout_ns;
  uint8_t qos;
  bool configured, connected, offline, failing;
  uint8_t *buffer;                                  /* what has come and isn't read yet */
  size_t used, size;
  uint16_t packet, unacknowledged, recent[RECENT_MAX];
  uint32_t handled;
  uint64_t sent_ns, pinged_ns;                      /* monotonic; pinged_ns 0: no answer is awaited */
  uint64_t polls, errors;
} d;

static void *take(void *old, size_t n) {
  void *p = realloc(old, n);
  if (!p) __builtin_trap();                         /* at address 0 a guest has memory, too */
  return p;
}

static outcome_t malformed(trouble_t *t, const char *why) { t->why = why; return MALFORMED; }

/* ---- configure ------------------------------------------------------------------------------------------------ */
static bool text_copy(text_t value, char *out, size_t size, size_t *len) {
  if (!value.len || value.len > size) return false;
  memcpy(out, value.at, *len = value.len);
  return true;
}

static bool option(text_t key, text_t value, bool *known) {
  uint64_t n = 0;
  *known = true;
  if (text_is(key, "protocol")) return text_is(value, "mqtt");
  if (text_is(key, "client")) return text_copy(value, d.client, CLIENT_MAX, &d.client_len);
  if (text_is(key, "topic")) return text_copy(value, d.topic, TOPIC_MAX - 8, &d.topic_len) && !memchr(value.at, '#', value.len) && !memchr(value.at, '+', value.len);
  if (text_is(key, "time")) return text_copy(value, d.time, PATH_MAX, &d.time_len);
  if (text_is(key, "qos")) { bool ok = text_unsigned(value, 1, &n); d.qos = (uint8_t)n; return ok; }
  if (text_is(key, "keep-alive")) return text_duration(value, &d.keep_alive_ns) && d.keep_alive_ns >= 1000000000u && d.keep_alive_ns <= 65535000000000u;
  if (text_is(key, "wait")) return text_duration(value, &d.wait_ns) && d.wait_ns > 0;
  if (text_is(key, "timeout")) return text_duration(value, &d.timeout_ns) && d.timeout_ns > 0;
  return *known = false;
}

static void defaults(void) {
  free(d.points);
  free(d.buffer);
  memset(&d, 0, sizeof d);
  d.qos = 1;
  d.keep_alive_ns = 30000000000u;
  d.wait_ns = 10000000000u;
  d.timeout_ns = 5000000000u;
  memcpy(d.time, "ts", d.time_len = 2);
}

bool exports_twinloop_gateway_driver_configure(exports_twinloop_gateway_driver_settings_t *s,
                                               exports_twinloop_gateway_driver_config_error_t *err) {
  bool ok = false;
  const char *missing = NULL;
  defaults();
  if (s->points.len > POINTS_MAX) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_TOO_MANY_POINTS;
    err->val.too_many_points = POINTS_MAX;
    goto out;
  }
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &known)) {
      err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
      err->val.other = s->options.ptr[i].f0;
      s->options.ptr[i].f0.len = 0;                 /* the error owns it now */
      goto out;
    }
  }
  missing = !d.topic_len ? "topic" : !d.client_len ? "client" : NULL;
  if (missing) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION;
    device_driver_string_dup(&err->val.bad_option, missing);
    goto out;
  }
  d.points = take(NULL, (s->points.len + 1) * sizeof *d.points);
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    if (!c->address.len || c->address.len > PATH_MAX || !(c->scale != 0)) {
      err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_ADDRESS;
      err->val.bad_address = c->address;
      c->address.len = 0;
      goto out;
    }
    d.points[i] = (point_t){.scale = c->scale, .offset = c->offset, .id = c->id, .path_len = (uint16_t)c->address.len};
    memcpy(d.points[i].path, c->address.ptr, c->address.len);
  }
  d.point_count = s->points.len;
  ok = d.configured = true;
out:
  exports_twinloop_gateway_driver_settings_free(s);
  return ok;
}

/* ---- the connection ------------------------------------------------------------------------------------------- */
static void drop(void) {
  twinloop_gateway_fieldbus_reset();
  d.connected = false;
  d.used = 0;
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
  if (d.used + got.len > d.size) d.buffer = take(d.buffer, d.size = 2 * (d.used + got.len));
  memcpy(d.buffer + d.used, got.ptr, got.len);
  d.used += got.len;
  device_driver_list_u8_free(&got);
  return d.used > PACKET_MAX + HEADER_MAX + CHUNK ? malformed(t, "more unread than one packet") : FINE;
}

static void forget(size_t at, size_t n) {
  memmove(d.buffer + at, d.buffer + at + n, d.used - at - n);
  d.used -= n;
}

/* Waits for an answer of that type (and identifier, if it has one); what else comes stays in the buffer, in order. Its body in `body`. */
static outcome_t await(uint8_t type, uint16_t id, uint8_t body[4], size_t *len, trouble_t *t) {
  uint64_t until = twinloop_gateway_clock_monotonic() + d.timeout_ns;
  size_t at = 0;
  for (;;) {
    packet_t p;
    found_t f = at < d.used ? packet_at(d.buffer + at, d.used - at, &p) : PARTIAL;
    if (f == BROKEN) return malformed(t, "packet length");
    if (f == FOUND) {
      if (p.type != type || (id && (p.len < 2 || get16(p.body) != id))) { at += p.whole; continue; }
      if (p.flags || p.len > 4) return malformed(t, "answer");
      memcpy(body, p.body, *len = p.len);
      forget(at, p.whole);
      return FINE;
    }
    uint64_t now = twinloop_gateway_clock_monotonic();
    outcome_t o = now < until ? more(until - now, t) : NOTHING;
    if (o == NOTHING) { t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT; return BUS; }
    if (o != FINE) return o;
  }
}

static uint16_t next_id(void) { return d.packet = (uint16_t)(d.packet % 65535 + 1); }

static outcome_t session(trouble_t *t) {
  uint8_t raw[CLIENT_MAX + 2 * TOPIC_MAX + 64], body[4];
  writer_t w = {raw, 0, sizeof raw, false};
  size_t len = 0;
  d.used = 0;
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
  uint16_t id = next_id();
  put_head(&w, SUBSCRIBE, 2, 2 + 2 * (2 + d.topic_len + 1) + 7);
  put16(&w, id);
  put_text(&w, d.topic, d.topic_len);
  put8(&w, d.qos);
  put16(&w, (uint16_t)(d.topic_len + 7));
  put(&w, d.topic, d.topic_len);
  put(&w, "/status", 7);
  put8(&w, d.qos);
  o = send(&w, t);
  if (o == FINE) o = await(SUBACK, id, body, &len, t);
  if (o != FINE) return o;
  if (len != 4) return malformed(t, "suback");
  if (body[2] > 1) { t->code = body[2]; return REJECTED; }
  d.connected = true;
  return FINE;
}

/* ---- messages ------------------------------------------------------------------------------------------------- */
static bool handled_before(uint16_t id) {
  for (uint32_t i = 0; i < d.handled && i < RECENT_MAX; i++) if (d.recent[i] == id) return true;
  return false;
}

static uint64_t measured_at(text_t document, uint64_t now) {
  json_t time;
  if (!json_find(document, (text_t){d.time, d.time_len}, &time) || time.kind != JSON_NUMBER) return now;
  return time.number > 0 && time.number < 1e13 ? (uint64_t)time.number * 1000000u : now;
}

static outcome_t batch_of(text_t document, exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  uint64_t measured = measured_at(document, twinloop_gateway_clock_now());
  json_t member;
  if (!json_find(document, (text_t){NULL, 0}, &member)) { t->payload = true; return malformed(t, "payload is no JSON"); }
  reading_t *readings = take(NULL, (d.point_count + 1) * sizeof *readings);
  text_reading *texts = take(NULL, (d.point_count + 1) * sizeof *texts);
  size_t reading_count = 0, text_count = 0;
  for (size_t i = 0; i < d.point_count; i++) {
    const point_t *p = &d.points[i];
    if (!json_find(document, (text_t){p->path, p->path_len}, &member) || member.kind == JSON_ABSENT) continue;   /* missed: the device didn't say */
    if (member.kind == JSON_TEXT) {
      texts[text_count] = (text_reading){.point = p->id, .status = STATUS_GOOD, .measured = measured};
      texts[text_count].value.ptr = take(NULL, member.raw.len + 1);
      texts[text_count].value.len = json_text(member.raw, (char *)texts[text_count].value.ptr);
      text_count++;
      continue;
    }
    reading_t r = {.point = p->id, .value = 0, .status = STATUS_GOOD, .measured = measured};
    if (member.kind == JSON_NUMBER || member.kind == JSON_BOOLEAN)
      r.value = (member.kind == JSON_NUMBER ? member.number : member.truth) * p->scale + p->offset;
    else r.status = member.kind == JSON_NULL ? BAD_NO_DATA : BAD_TYPE;
    if (r.value - r.value != 0) { r.value = 0; r.status = BAD_SENSOR; }
    readings[reading_count++] = r;
  }
  ret->readings.ptr = readings;
  ret->readings.len = reading_count;
  ret->texts.ptr = texts;
  ret->texts.len = text_count;
  return FINE;
}

/* One message: FINE when it became a batch, NOTHING when it was none of the device's fresh ones. */
static outcome_t take_message(const publish_t *m, exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  text_t topic = m->topic;
  bool own = topic.len == d.topic_len && !memcmp(topic.at, d.topic, topic.len);
  bool status = topic.len == d.topic_len + 7 && !memcmp(topic.at, d.topic, d.topic_len) && !memcmp(topic.at + d.topic_len, "/status", 7);
  if (status) d.offline = m->len == 7 && !memcmp(m->payload, "offline", 7);
  if (!own || m->retain || (m->dup && handled_before(m->id))) return m->id ? (send_short(PUBACK, m->id, t) == FINE ? NOTHING : BUS) : NOTHING;
  d.offline = false;
  if (m->id) {
    d.unacknowledged = m->id;
    d.recent[d.handled++ % RECENT_MAX] = m->id;
  }
  return batch_of((text_t){(const char *)m->payload, m->len}, ret, t);
}

/* Takes packets from the buffer until one is a batch; NOTHING when they are used up. */
static outcome_t unread(exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  packet_t p;
  publish_t m;
  found_t f;
  while ((f = packet_at(d.buffer, d.used, &p)) == FOUND) {
    outcome_t o = NOTHING;
    if (p.type == PUBLISH) o = publish_read(&p, &m) ? take_message(&m, ret, t) : malformed(t, "publish");
    else if (p.type == PINGRESP && !p.flags && !p.len) d.pinged_ns = 0;
    else if (p.type != PUBACK && p.type != SUBACK) return malformed(t, "packet type");
    forget(0, p.whole);
    if (o != NOTHING) return o;
  }
  return f == BROKEN ? malformed(t, "packet length") : NOTHING;
}

/* Waits for the next message. */
static outcome_t next_message(exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  uint64_t now = twinloop_gateway_clock_monotonic(), until = now + d.wait_ns;
  for (;;) {
    outcome_t o = unread(ret, t);
    if (o != NOTHING) return o;
    now = twinloop_gateway_clock_monotonic();
    if (d.pinged_ns && now >= d.pinged_ns + d.timeout_ns) { t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_DISCONNECTED; return BUS; }
    if (!d.pinged_ns && now >= d.sent_ns + d.keep_alive_ns / 2) {
      o = send_short(PINGREQ, 0, t);
      if (o != FINE) return o;
      d.pinged_ns = now;
    }
    if (now >= until) return NOTHING;
    uint64_t wake = d.pinged_ns ? d.pinged_ns + d.timeout_ns : d.sent_ns + d.keep_alive_ns / 2;
    if (wake > until) wake = until;
    o = more(wake > now ? wake - now : 1, t);
    if (o == NOTHING && twinloop_gateway_clock_monotonic() < wake) return NOTHING;   /* the host wants its instance back */
    if (o != FINE && o != NOTHING) return o;
  }
}

static void fail(error_t *err, outcome_t o, trouble_t *t) {
  if (o == BUS || o == NOTHING) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_BUS;
    if (o == NOTHING) err->val.bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT;
    else err->val.bus = t->bus;
  } else if (o == REJECTED) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_REJECTED; err->val.rejected = t->code; }
  else { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_MALFORMED; device_driver_string_dup(&err->val.malformed, t->why); }
}

static void note(bool failing) {
  device_driver_string_t line;
  if (failing == d.failing) return;
  d.failing = failing;
  device_driver_string_set(&line, failing ? "no messages can come" : "messages come again");
  twinloop_gateway_log_log(failing ? TWINLOOP_GATEWAY_LOG_LEVEL_WARN : TWINLOOP_GATEWAY_LOG_LEVEL_INFO, &line);
}

bool exports_twinloop_gateway_driver_read_sensor(exports_twinloop_gateway_driver_batch_t *ret, error_t *err) {
  trouble_t t = {0};
  outcome_t o = FINE;
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  if (!d.connected) o = session(&t);
  else if (d.unacknowledged) {
    o = send_short(PUBACK, d.unacknowledged, &t);   /* the host is done with it */
    d.unacknowledged = 0;
  }
  if (o == FINE) o = next_message(ret, &t);
  if (o == FINE) d.polls++;
  else if (o != NOTHING) {
    d.errors++;
    if (!t.payload) drop();
  }
  note(o != FINE && o != NOTHING && !t.payload);
  if (o != FINE) { fail(err, o, &t); return false; }
  return true;
}

/* ---- write ---------------------------------------------------------------------------------------------------- */
/* A number as JSON has it, without stdio: integers up to 2^53, else nine decimals. */
static size_t number_text(double value, char out[40]) {
  size_t n = 0;
  char digits[24];
  int count = 0;
  if (value < 0) { out[n++] = '-'; value = -value; }
  uint64_t whole = (uint64_t)value, part = (uint64_t)((value - (double)whole) * 1e9 + 0.5);
  if (part >= 1000000000u) { whole++; part = 0; }
  do digits[count++] = (char)('0' + whole % 10); while (whole /= 10);
  while (count) out[n++] = digits[--count];
  if (part) {
    out[n++] = '.';
    for (uint64_t unit = 100000000u; unit && part; unit /= 10) { out[n++] = (char)('0' + part / unit); part %= unit; }
  }
  return n;
}

bool exports_twinloop_gateway_driver_write_register(exports_twinloop_gateway_driver_point_t id, double value, error_t *err) {
  uint8_t raw[TOPIC_MAX + PATH_MAX + 96], body[4];
  char number[40];
  writer_t w = {raw, 0, sizeof raw, false};
  trouble_t t = {0};
  size_t len = 0;
  const point_t *p = NULL;
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  for (size_t i = 0; i < d.point_count; i++) if (d.points[i].id == id) p = &d.points[i];
  if (!p) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NO_SUCH_POINT; err->val.no_such_point = id; return false; }
  double wanted = (value - p->offset) / p->scale;
  if (!(wanted < 9e15 && wanted > -9e15)) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER;
    device_driver_string_dup(&err->val.other, "a number that JSON readers don't keep");
    return false;
  }
  size_t digits = number_text(wanted, number), name = p->path_len;
  while (name && p->path[name - 1] != '.') name--;  /* the member's own name */
  outcome_t o = d.connected ? FINE : session(&t);
  if (o == FINE) {
    uint16_t packet = next_id();
    size_t payload = 5 + (p->path_len - name) + digits;
    put_head(&w, PUBLISH, 2, 2 + d.topic_len + 4 + 2 + payload);
    put16(&w, (uint16_t)(d.topic_len + 4));
    put(&w, d.topic, d.topic_len);
    put(&w, "/set", 4);
    put16(&w, packet);
    put(&w, "{\"", 2);
    put(&w, p->path + name, p->path_len - name);
    put(&w, "\":", 2);
    put(&w, number, digits);
    put(&w, "}", 1);
    o = send(&w, &t);
    if (o == FINE) o = await(PUBACK, packet, body, &len, &t);
  }
  if (o != FINE) { d.errors++; drop(); fail(err, o, &t); return false; }
  return true;
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  ret->health = !d.configured ? TWINLOOP_GATEWAY_TYPES_HEALTH_FAILED
              : d.failing || d.offline ? TWINLOOP_GATEWAY_TYPES_HEALTH_DEGRADED : TWINLOOP_GATEWAY_TYPES_HEALTH_OK;
  ret->polls = d.polls;
  ret->errors = d.errors;
  device_driver_string_dup(&ret->detail, d.failing ? "no session with the broker" : d.offline ? "the device is offline (last will)" : "");
}

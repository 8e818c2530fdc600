/* mqtt-driver: one device that publishes to an MQTT 3.1.1 broker, behind the contract's `driver`. The host asks again and again: each
 * read-sensor waits for the next message and returns its readings; "timeout" means that none came meanwhile.
 * Options: protocol (mqtt), client (client identifier), topic (the device's), qos (0 | 1), keep-alive ("30 s"), wait ("10 s": for a message, in one
 * call), timeout ("5 s": for the broker's answers), time (path of the device's own time in ms, "ts").
 * Point addresses are paths of JSON members ("values.pressure"); value = member * scale + offset. A number without fraction and exponent beyond
 * 2^53, where doubles can't count by ones, is a whole number, exact, if it fits 64 bits and has no scale. The session is kept by the broker (clean
 * session 0): with QoS 1 what was published while this driver was away comes then. A message is acknowledged when the host asks for the
 * next one, so what a crash takes from the host comes again. TOPIC/status is watched for "offline", the device's last will. Writes go to TOPIC/set. */
#include "connection.h"

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
  if (text_is(key, "wait")) return text_duration(value, &d.wait_ns) && d.wait_ns >= 1000000;
  if (text_is(key, "timeout")) return text_duration(value, &d.timeout_ns) && d.timeout_ns > 0;
  return *known = false;
}

static uint32_t hash_bytes(const void *data, size_t n) {   /* FNV-1a */
  const uint8_t *p = data;
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
  return h;
}

/* New settings; who we are to the broker and what we have handled stays, and the connection goes at the next poll: not here. */
static void defaults(void) {
  free(d.points);
  free(d.found);
  d.points = NULL;
  d.found = NULL;
  memset(d.bucket, 0, sizeof d.bucket);
  d.stale = d.connected;
  d.configured = false;
  d.point_count = d.topic_len = d.client_len = 0;
  d.qos = 1;
  d.keep_alive_ns = 30000000000u;
  d.wait_ns = 10000000000u;
  d.timeout_ns = 5000000000u;
  memcpy(d.time, "ts", d.time_len = 2);
}

static bool plain(text_t address) {                 /* it is written into JSON as it stands */
  for (size_t i = 0; i < address.len; i++) if ((unsigned char)address.at[i] < 0x20 || address.at[i] == '"' || address.at[i] == '\\') return false;
  return true;
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
  d.found = take(NULL, (s->points.len + 1) * sizeof *d.found);
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    if (!c->address.len || c->address.len > PATH_MAX || !plain(TEXT(c->address)) || !(c->scale != 0) || c->scale - c->scale != 0 || c->offset - c->offset != 0) {
      err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_ADDRESS;
      err->val.bad_address = c->address;
      c->address.len = 0;
      goto out;
    }
    d.points[i] = (point_t){.scale = c->scale, .offset = c->offset, .id = c->id, .path_len = (uint16_t)c->address.len};
    memcpy(d.points[i].path, c->address.ptr, c->address.len);
    d.points[i].hash = hash_bytes(c->address.ptr, c->address.len);
    uint16_t *bucket = &d.bucket[d.points[i].hash % BUCKETS];
    d.points[i].next = *bucket;
    *bucket = (uint16_t)(i + 1);
  }
  d.point_count = s->points.len;
  ok = d.configured = true;
out:
  exports_twinloop_gateway_driver_settings_free(s);
  return ok;
}

/* ---- messages ------------------------------------------------------------------------------------------------- */
/* A broker may give an identifier again to another message: only both together say that it is the same. */
static uint32_t hash_of(const publish_t *m) { return hash_bytes(m->payload, m->len < PAYLOAD_MAX ? m->len : PAYLOAD_MAX); }

static bool handled_before(const publish_t *m) {
  uint32_t hash = hash_of(m);
  for (uint32_t i = 0; i < d.handled && i < RECENT_MAX; i++) if (d.recent[i].id == m->id && d.recent[i].hash == hash) return true;
  return false;
}

static void told(void *context, text_t path, const json_t *value) {
  (void)context;
  if (path.len == d.time_len && !memcmp(path.at, d.time, path.len)) d.found[d.point_count] = *value;
  uint32_t hash = hash_bytes(path.at, path.len);
  for (uint16_t i = d.bucket[hash % BUCKETS]; i; i = d.points[i - 1].next) {
    const point_t *p = &d.points[i - 1];
    if (p->hash == hash && p->path_len == path.len && !memcmp(p->path, path.at, path.len)) d.found[i - 1] = *value;
  }
}

static uint64_t measured_at(uint64_t now) {
  const json_t *time = &d.found[d.point_count];
  double ms;
  if (time->kind != JSON_NUMBER || !text_number(time->raw, &ms)) return now;
  return ms > 0 && ms < 1e13 ? (uint64_t)ms * 1000000u : now;
}

static text_reading text_of(const point_t *p, text_t raw, uint64_t measured) {
  text_reading out = {.point = p->id, .status = STATUS_GOOD, .measured = measured};
  if (!raw.len) return out;                         /* the bindings free no empty text */
  out.value.ptr = take(NULL, raw.len);
  out.value.len = json_text(raw, (char *)out.value.ptr);
  return out;
}

static reading_t reading_of(const point_t *p, const json_t *member, uint64_t measured) {
  double number = member->truth;
  reading_t r = {.point = p->id, .value = 0, .status = STATUS_GOOD, .measured = measured};
  if (member->kind == JSON_NULL) r.status = BAD_NO_DATA;
  else if (member->kind == JSON_OTHER || (member->kind == JSON_NUMBER && !text_number(member->raw, &number))) r.status = BAD_TYPE;
  else r.value = number * p->scale + p->offset;
  if (r.value - r.value != 0) { r.value = 0; r.status = BAD_SENSOR; }
  return r;
}

static outcome_t batch_of(text_t document, exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  exports_twinloop_gateway_driver_batch_t b = {0};
  integer_t whole;
  memset(d.found, 0, (d.point_count + 1) * sizeof *d.found);
  t->payload = true;                                /* whatever is wrong now, the session is good */
  if (document.len > PAYLOAD_MAX) return malformed(t, "payload too long");
  if (!json_walk(document, told, NULL)) return malformed(t, "payload is no JSON");
  uint64_t measured = measured_at(twinloop_gateway_clock_now());
  b.readings.ptr = take(NULL, (d.point_count + 1) * sizeof *b.readings.ptr);
  b.texts.ptr = take(NULL, (d.point_count + 1) * sizeof *b.texts.ptr);
  for (size_t i = 0; i < d.point_count; i++) {
    const point_t *p = &d.points[i];
    const json_t *member = &d.found[i];
    if (member->kind == JSON_ABSENT) continue;      /* missed: the device didn't say */
    if (member->kind == JSON_TEXT) b.texts.ptr[b.texts.len++] = text_of(p, member->raw, measured);
    else if (p->scale == 1 && p->offset == 0 && member->kind == JSON_NUMBER && large_integer(member->raw, &whole)) {
      if (!b.integers.ptr) b.integers.ptr = take(NULL, d.point_count * sizeof *b.integers.ptr);   /* few devices say any */
      b.integers.ptr[b.integers.len++] = (twinloop_gateway_types_integer_reading_t){p->id, whole, STATUS_GOOD, measured};
    } else b.readings.ptr[b.readings.len++] = reading_of(p, member, measured);
  }
  if (!b.readings.len) { free(b.readings.ptr); b.readings.ptr = NULL; }
  if (!b.texts.len) { free(b.texts.ptr); b.texts.ptr = NULL; }
  *ret = b;
  return FINE;
}

/* One message: FINE when it became a batch, NOTHING when it was none of the device's fresh ones. */
static outcome_t take_message(const publish_t *m, exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  text_t topic = m->topic;
  bool own = topic.len == d.topic_len && !memcmp(topic.at, d.topic, topic.len);
  bool status = topic.len == d.topic_len + 7 && !memcmp(topic.at, d.topic, d.topic_len) && !memcmp(topic.at + d.topic_len, "/status", 7);
  if (status) d.offline = m->len == 7 && !memcmp(m->payload, "offline", 7);
  if (!own || m->retain || (m->dup && handled_before(m))) return m->id ? (send_short(PUBACK, m->id, t) == FINE ? NOTHING : BUS) : NOTHING;
  d.offline = false;
  if (m->id) {
    d.unacknowledged = m->id;
    d.recent[d.handled % RECENT_MAX].id = m->id;
    d.recent[d.handled++ % RECENT_MAX].hash = hash_of(m);
  }
  return batch_of((text_t){(const char *)m->payload, m->len}, ret, t);
}

/* A packet that is longer than we take: a message is read past and acknowledged, lest it come for ever; anything else breaks the connection. */
static outcome_t too_long(const packet_t *p, trouble_t *t) {
  size_t topic = p->len >= 2 ? get16(p->body) : 0;
  if (p->type != PUBLISH) return malformed(t, "packet length");
  if (p->len < 2 || p->len < 4 + topic) return NOTHING;   /* its identifier hasn't come */
  if (p->flags >> 1 & 3) d.unacknowledged = get16(p->body + 2 + topic);
  size_t here = d.used - d.at;
  d.skip = p->whole - here;
  d.at = d.used;
  t->payload = true;
  return malformed(t, "message too long");
}

/* Takes packets from the buffer until one is a batch; NOTHING when they are used up. */
static outcome_t unread(exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  packet_t p;
  publish_t m;
  found_t f;
  while ((f = d.at < d.used ? packet_at(d.buffer + d.at, d.used - d.at, &p) : PARTIAL) == FOUND) {
    outcome_t o = NOTHING;
    if (p.type == PUBLISH) o = publish_read(&p, &m) ? take_message(&m, ret, t) : malformed(t, "publish");
    else if (p.type == PINGRESP && !p.flags && !p.len) d.pinged_ns = 0;
    else if (p.type == SUBACK) o = subscribed(&p, t);
    else if (p.type != PUBACK) return malformed(t, "packet type");
    d.at += p.whole;
    if (o != NOTHING) return o;
  }
  if (f == OVERSIZE) return too_long(&p, t);
  return f == BROKEN ? malformed(t, "packet length") : NOTHING;
}

/* A sign of life when none has gone out for half the keep alive. */
static outcome_t keep_alive(uint64_t now, trouble_t *t) {
  if (d.pinged_ns || now < d.sent_ns + d.keep_alive_ns / 2) return FINE;
  d.pinged_ns = now;
  return send_short(PINGREQ, 0, t);
}

/* What the broker owes an answer to is overdue. */
static bool overdue(uint64_t now) {
  return (d.pinged_ns && now >= d.pinged_ns + d.timeout_ns) || (d.subscribing && now >= d.subscribed_ns + d.timeout_ns);
}

/* Waits for the next message. */
static outcome_t next_message(exports_twinloop_gateway_driver_batch_t *ret, trouble_t *t) {
  uint64_t now = twinloop_gateway_clock_monotonic(), until = now + d.wait_ns;
  for (;;) {
    outcome_t o = keep_alive(now, t);
    if (o == FINE) o = unread(ret, t);
    if (o != NOTHING) return o;
    now = twinloop_gateway_clock_monotonic();
    if (overdue(now)) {                             /* the answer may lie there, unread, since before the host came back */
      o = more(1, t);
      if (o == FINE) continue;
      t->bus.tag = d.subscribing ? TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT : TWINLOOP_GATEWAY_TYPES_BUS_ERROR_DISCONNECTED;
      return o == NOTHING ? BUS : o;
    }
    if (now >= until) return NOTHING;
    uint64_t wake = d.pinged_ns ? d.pinged_ns + d.timeout_ns : d.sent_ns + d.keep_alive_ns / 2;
    if (d.subscribing && wake > d.subscribed_ns + d.timeout_ns) wake = d.subscribed_ns + d.timeout_ns;
    if (wake > until) wake = until;
    o = more(wake > now ? wake - now : 1, t);
    now = twinloop_gateway_clock_monotonic();
    if (o == NOTHING && now < wake) return NOTHING; /* the host wants its instance back */
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
  if (!d.connected || d.stale) o = session(&t);
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
/* What is written, as JSON in memory of its own; without a byte when JSON or the point can't say it. */
static json_out_t json_of(const point_t *p, const written_t *value) {
  json_out_t out = {0};
  double real = value->val.real;
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT) {
    if (value->val.text.len <= PAYLOAD_MAX) { out.at = take(NULL, 6 * value->val.text.len + 2); out.len = text_json(TEXT(value->val.text), out.at); }
    return out;
  }
  out.at = take(NULL, NUMBER_TEXT_MAX);
  if (value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_INTEGER) {
    if (p->scale == 1 && p->offset == 0) { out.len = integer_text(value->val.integer, out.at); return out; }
    if (!integer_exact(value->val.integer, &real)) return out;
  }
  real = (real - p->offset) / p->scale;
  if (real - real == 0) out.len = number_text(real, out.at);
  return out;
}

static outcome_t publish(const point_t *p, json_out_t json, trouble_t *t) {
  size_t name = p->path_len, len = 0;
  while (name && p->path[name - 1] != '.') name--;  /* the member's own name */
  outcome_t o = d.connected && !d.stale ? FINE : session(t);
  if (o != FINE) return o;
  uint8_t body[4];
  uint16_t packet = next_id();
  size_t payload = 5 + (p->path_len - name) + json.len, size = HEADER_MAX + 2 + TOPIC_MAX + 4 + 2 + payload;
  writer_t w = {take(NULL, size), 0, size, false};
  put_head(&w, PUBLISH, 2, 2 + d.topic_len + 4 + 2 + payload);
  put16(&w, (uint16_t)(d.topic_len + 4));
  put(&w, d.topic, d.topic_len);
  put(&w, "/set", 4);
  put16(&w, packet);
  put(&w, "{\"", 2);
  put(&w, p->path + name, p->path_len - name);
  put(&w, "\":", 2);
  put(&w, json.at, json.len);
  put(&w, "}", 1);
  o = send(&w, t);
  free(w.at);
  return o == FINE ? await(PUBACK, packet, body, &len, t) : o;
}

static bool write_point(uint16_t id, const written_t *value, error_t *err) {
  trouble_t t = {0};
  const point_t *p = NULL;
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  for (size_t i = 0; i < d.point_count; i++) if (d.points[i].id == id) p = &d.points[i];
  if (!p) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NO_SUCH_POINT; err->val.no_such_point = id; return false; }
  json_out_t json = json_of(p, value);
  if (!json.len) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER;
    device_driver_string_dup(&err->val.other, value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT ? "a text that is too long"
                           : value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_INTEGER ? "a whole number that its scale would round" : "a number that JSON can't say");
    free(json.at);
    return false;
  }
  outcome_t o = publish(p, json, &t);
  free(json.at);
  if (o != FINE) { d.errors++; drop(); fail(err, o, &t); return false; }
  return true;
}

bool exports_twinloop_gateway_driver_write_register(exports_twinloop_gateway_driver_point_t id, written_t *value, error_t *err) {
  bool ok = write_point(id, value, err);
  exports_twinloop_gateway_driver_written_free(value);
  return ok;
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  ret->health = !d.configured ? TWINLOOP_GATEWAY_TYPES_HEALTH_FAILED
              : d.failing || d.offline || (d.connected && !d.subscribing && d.granted < d.qos) ? TWINLOOP_GATEWAY_TYPES_HEALTH_DEGRADED : TWINLOOP_GATEWAY_TYPES_HEALTH_OK;
  ret->polls = d.polls;
  ret->errors = d.errors;
  device_driver_string_dup(&ret->detail, d.failing ? "no session with the broker" : d.offline ? "the device is offline (last will)"
                         : d.connected && !d.subscribing && d.granted < d.qos ? "the broker grants QoS 0 only" : "");
}

/* A subscription of OPC UA: monitored items for all points, one Publish out at a time, notifications sorted into batches.
 * Source: OPC 10000-4 v1.05 sections 5.13 (monitored items), 5.14 (subscriptions), 7.25 (notification data).
 * Belongs here: what is asked for and what is told. Never: what a value means (driver.c). */
#ifndef TWINLOOP_SUBSCRIPTION_H
#define TWINLOOP_SUBSCRIPTION_H
#include "service.h"

enum { KEEP_ALIVES_MAX = 10, LIFETIMES_MIN = 60, LIFETIME_MIN_MS = 60000, NOTES_MAX = 20000, NOTES_ASKED_MAX = 5000, DATA_CHANGE = 811, STATUS_CHANGE = 820 };
static const double SILENCE_MAX_MS = 86400000;      /* a server that is silent for a day is gone, whatever it said */

typedef struct { uint32_t point; data_value_t value; } note_t;   /* texts lie in the message that is held */
typedef struct { note_t *notes; size_t count, size, taken; } notes_t;

/* How many publishing intervals may pass without a word: a session that says nothing for its timeout is closed by the server. */
static uint32_t keep_alives_of(const session_t *s, double publishing_ms) {
  double fit = s->revised_timeout_ms / 2 / publishing_ms;
  return fit >= KEEP_ALIVES_MAX ? KEEP_ALIVES_MAX : fit >= 2 ? (uint32_t)fit : 1;
}

static outcome_t subscribe(session_t *s, double publishing_ms, trouble_t *t) {
  uint8_t data[TOKEN_BYTES_MAX + 128];
  writer_t w = {data, 0, sizeof data, false};
  reader_t r;
  request_begin(s, &w, CREATE_SUBSCRIPTION);
  write_f64(&w, publishing_ms);
  write_u32(&w, publishing_ms * LIFETIMES_MIN < LIFETIME_MIN_MS ? (uint32_t)(LIFETIME_MIN_MS / publishing_ms) + 1 : LIFETIMES_MIN);
  write_u32(&w, keep_alives_of(s, publishing_ms));
  write_u32(&w, NOTES_ASKED_MAX);                   /* in one answer; a server that has more says so and sends it at once */
  write_u8(&w, 1);                                  /* publishing enabled */
  write_u8(&w, 0);
  outcome_t o = call(s, "MSG", CREATE_SUBSCRIPTION, &w, &r, t);
  if (o != FINE) return o;
  uint32_t id = read_u32(&r);
  double revised_ms = read_f64(&r);
  read_u32(&r);
  uint32_t keep_alives = read_u32(&r);
  if (r.bad || r.left || !id || !(revised_ms > 0) || revised_ms > SILENCE_MAX_MS || !keep_alives || keep_alives > 1000000) return malformed(t, "create subscription");
  s->subscription = id;
  s->seen = 0;
  double silence_ms = revised_ms * ((double)keep_alives + 1);
  s->silence_ns = (uint64_t)((silence_ms < SILENCE_MAX_MS ? silence_ms : SILENCE_MAX_MS) * 1e6) + s->channel.timeout_ns;
  s->heard_ns = twinloop_gateway_clock_monotonic();
  return FINE;
}

/* Sends a Publish that acknowledges what was seen; its answer is held whenever it comes. */
static outcome_t publish_out(session_t *s, trouble_t *t) {
  uint8_t data[TOKEN_BYTES_MAX + 128];
  writer_t w = {data, 0, sizeof data, false};
  channel_t *c = &s->channel;
  request_begin(s, &w, PUBLISH);
  write_u32(&w, s->seen ? 1 : 0);
  if (s->seen) { write_u32(&w, s->subscription); write_u32(&w, s->seen); }
  outcome_t o = message_out(c, "MSG", w.at, w.used, NULL, t);
  if (o != FINE) return o;
  s->publish_handle = s->handle;
  s->seen = 0;
  s->heard_ns = twinloop_gateway_clock_monotonic(); /* while nothing is asked nothing can be said */
  c->hold = c->request;
  c->held_len = 0;
  c->held_whole = false;
  return FINE;
}

/* Notifications in the order of their source timestamps, equal ones as they came: merged from runs of 1, 2, 4, ... */
static void sort_notes(notes_t *n) {
  note_t *from = n->notes, *to = take(NULL, (n->count + 1) * sizeof *to), *spare = to;
  for (size_t run = 1; run < n->count; run *= 2) {
    for (size_t start = 0; start < n->count; start += 2 * run) {
      size_t a = start, middle = start + run < n->count ? start + run : n->count, b = middle, end = middle + run < n->count ? middle + run : n->count;
      for (size_t k = start; k < end; k++)
        to[k] = a < middle && (b >= end || from[a].value.source_ns <= from[b].value.source_ns) ? from[a++] : from[b++];
    }
    note_t *turned = from; from = to; to = turned;
  }
  if (from != n->notes) memcpy(n->notes, from, n->count * sizeof *from);
  free(spare);
}

static outcome_t data_change(reader_t *r, notes_t *n, size_t points, trouble_t *t) {
  for (uint32_t left = read_count(r); left && !r->bad; left--) {
    note_t one;
    one.point = read_u32(r);
    read_data_value(r, &one.value, 0);
    if (r->bad || one.point >= points || n->count == NOTES_MAX) return malformed(t, "monitored item");
    if (n->count == n->size) n->notes = take(n->notes, (n->size = n->size ? 2 * n->size : 64) * sizeof *n->notes);
    n->notes[n->count++] = one;
  }
  for (uint32_t left = read_count(r); left && !r->bad; left--) skip_diagnostics(r);
  return r->bad || r->left ? malformed(t, "data change") : FINE;
}

static outcome_t publish_read(session_t *s, notes_t *n, size_t points, trouble_t *t) {
  channel_t *c = &s->channel;
  reader_t r;
  outcome_t o = response_in(c->held, c->held_len, s->publish_handle, &r, PUBLISH, t);
  if (o == REJECTED) t->renew = true;               /* whatever the reason is: a new subscription */
  if (o != FINE) return o;
  uint32_t id = read_u32(&r);
  for (uint32_t left = read_count(&r); left && !r.bad; left--) read_u32(&r);
  read_u8(&r);
  uint32_t sequence = read_u32(&r);
  read_bytes(&r, 8);
  uint32_t notifications = read_count(&r);
  if (r.bad || id != s->subscription) return malformed(t, "publish");
  for (; notifications && !r.bad; notifications--) {
    uint32_t kind = read_node_id(&r, NULL);
    uint8_t encoding = read_u8(&r);
    if (!encoding) continue;                        /* no body: nothing is told */
    bytes_t body = read_string(&r);
    reader_t inner = {body.at, body.len, encoding != 1 || r.bad};
    if (kind == STATUS_CHANGE) { t->code = read_u32(&inner); t->renew = true; return inner.bad ? malformed(t, "status change") : REJECTED; }
    if (kind != DATA_CHANGE) continue;              /* events: nobody asked for them */
    o = data_change(&inner, n, points, t);
    if (o != FINE) return o;
    s->seen = sequence;
  }
  for (uint32_t left = read_count(&r); left && !r.bad; left--) read_u32(&r);
  for (uint32_t left = read_count(&r); left && !r.bad; left--) skip_diagnostics(&r);
  if (r.bad || r.left) return malformed(t, "publish");
  sort_notes(n);
  return FINE;
}

/* Reads the answer that is held; what it tells of goes to `n`, sorted: all of it or nothing. REJECTED when the subscription is no more. */
static outcome_t publish_in(session_t *s, notes_t *n, size_t points, trouble_t *t) {
  n->count = n->taken = 0;
  s->channel.hold = 0;
  s->heard_ns = twinloop_gateway_clock_monotonic();
  outcome_t o = publish_read(s, n, points, t);
  if (o != FINE) n->count = 0;
  return o;
}
#endif

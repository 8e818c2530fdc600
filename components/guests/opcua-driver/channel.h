/* OPC UA TCP and its secure channel with SecurityPolicy None: hello, open and renew, messages in chunks, both ways.
 * Source: OPC 10000-6 v1.05 section 7.1 (connection protocol), section 6.7 (secure conversation).
 * Belongs here: everything up to the body of a message. Never: what a body means (service.h). Each length from the other side has a limit. */
#ifndef TWINLOOP_CHANNEL_H
#define TWINLOOP_CHANNEL_H
#include "../bindings/device_driver.h"
#include "binary.h"

enum { CHUNK_MAX = 65535,             /* what we take in one chunk, and the fieldbus in one frame */
       MESSAGE_MAX = 262144,          /* what we take in one message */
       CHUNKS_MAX = 16,
       CHUNK_MIN = 8192,              /* no peer may offer less (7.1.2.3) */
       HEADER_SIZE = 24,              /* of a MSG chunk: type, size, channel, token, sequence number, request id */
       STALE_MAX = 8 };               /* late answers to earlier requests that are put aside for one request */
static const char POLICY_NONE[] = "http://opcfoundation.org/UA/SecurityPolicy#None";
static const uint32_t LIFETIME_MS = 3600000;

/* What went wrong: exactly one of the driver-errors of the contract. */
typedef enum { FINE, BUS, REJECTED, MALFORMED } outcome_t;
typedef struct { twinloop_gateway_types_bus_error_t bus; uint32_t code; const char *why; bool closed, item, renew; } trouble_t;   /* closed: by the server, with an ERR; item: of one node; renew: the session stands, its subscription doesn't */

typedef struct {
  bool open;
  uint32_t id, token, old_token;                    /* the channel, its token, and the one before: late answers may still carry it */
  uint32_t sent, received, request;                 /* sequence numbers of both sides, request id */
  uint32_t send_max, message_max, chunks_max;       /* what the server takes; 0: as it comes */
  uint64_t renew_at_ns, timeout_ns;
  uint8_t *body;                                    /* of the message that came last */
  size_t body_len, body_size;
  bool counting;                                    /* the server's sequence numbers have begun */
  uint32_t hold;                                    /* the request whose answer is kept whenever it comes; 0: none */
  uint8_t *held;
  size_t held_len, held_size;
  bool held_whole;
} channel_t;

static outcome_t malformed(trouble_t *t, const char *why) { t->why = why; return MALFORMED; }

static void channel_drop(channel_t *c) {
  twinloop_gateway_fieldbus_reset();
  c->open = false;
}

/* ---- one frame ------------------------------------------------------------------------------------------------- */
static const twinloop_gateway_fieldbus_framing_t FRAMING = {
  .tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_LENGTH_FIELD, .val.length_field = {4, 4, false, -8}};

static outcome_t bus_result(bool ok, trouble_t *t) { (void)t; return ok ? FINE : BUS; }

/* Sends a frame and, if `got` is wanted, waits for the one that follows. */
static outcome_t frame_out(channel_t *c, uint8_t *data, size_t n, device_driver_list_u8_t *got, trouble_t *t) {
  device_driver_list_u8_t frame = {data, n};
  twinloop_gateway_fieldbus_framing_t f = FRAMING;
  if (got) return bus_result(twinloop_gateway_fieldbus_transact(&frame, &f, c->timeout_ns, got, &t->bus), t);
  return bus_result(twinloop_gateway_fieldbus_send(&frame, c->timeout_ns, &t->bus), t);
}

static outcome_t frame_in(uint64_t timeout_ns, device_driver_list_u8_t *got, trouble_t *t) {
  twinloop_gateway_fieldbus_framing_t f = FRAMING;
  return bus_result(twinloop_gateway_fieldbus_receive(&f, timeout_ns, got, &t->bus), t);
}

static void put_size(writer_t *w) {
  size_t n = w->used;
  for (int i = 0; i < 4; i++) w->at[4 + i] = (uint8_t)(n >> 8 * i);
}

/* The header that all share (7.1.2.2): three letters, the kind of chunk, the size. An ERR (7.1.2.5) ends the connection: its code.
 * `type` is what is expected; while an OPN is, a late MSG may come: *late. */
static outcome_t frame_begin(reader_t *r, const char *type, uint8_t *kind, bool *late, trouble_t *t) {
  size_t n = r->left;
  *late = false;
  const uint8_t *letters = read_bytes(r, 3);
  *kind = read_u8(r);
  if (read_u32(r) != n || r->bad) return malformed(t, "message size");
  if (!memcmp(letters, "ERR", 3)) {
    t->code = read_u32(r);
    read_string(r);
    t->closed = true;
    return r->bad || !(t->code >> 31) ? malformed(t, "error message") : REJECTED;
  }
  *late = *type == 'O' && !memcmp(letters, "MSG", 3);
  return *late || !memcmp(letters, type, 3) ? FINE : malformed(t, "message type");
}

/* ---- hello ----------------------------------------------------------------------------------------------------- */
static outcome_t channel_hello(channel_t *c, text_t endpoint, trouble_t *t) {
  uint8_t data[512], kind;
  bool late;
  writer_t w = {data, 0, sizeof data, false};
  device_driver_list_u8_t got;
  write_bytes(&w, "HELF\0\0\0\0", 8);
  write_u32(&w, 0);                                 /* protocol version */
  write_u32(&w, CHUNK_MAX);                         /* receive and send buffer */
  write_u32(&w, CHUNK_MAX);
  write_u32(&w, MESSAGE_MAX);
  write_u32(&w, CHUNKS_MAX);
  write_string(&w, endpoint.at, endpoint.len);
  put_size(&w);
  outcome_t o = frame_out(c, data, w.used, &got, t);
  if (o != FINE) return o;
  reader_t r = {got.ptr, got.len, false};
  o = frame_begin(&r, "ACK", &kind, &late, t);
  if (o == FINE) {
    read_u32(&r);                                   /* version: a higher one is allowed and means nothing here */
    uint32_t receives = read_u32(&r), sends = read_u32(&r);
    c->message_max = read_u32(&r);
    c->chunks_max = read_u32(&r);
    c->send_max = receives < CHUNK_MAX ? receives : CHUNK_MAX;
    if (r.bad || kind != 'F' || r.left) o = malformed(t, "acknowledge");
    else if (receives < CHUNK_MIN || sends < CHUNK_MIN || sends > CHUNK_MAX) o = malformed(t, "buffer sizes");
  }
  device_driver_list_u8_free(&got);
  return o;
}

/* ---- messages -------------------------------------------------------------------------------------------------- */
static uint32_t next_sequence(uint32_t n) { return n >= 4294966271u ? 1 : n + 1; }   /* 6.7.2.4: wraps within the last 1024 */

static void append(uint8_t **body, size_t *len, size_t *size, const reader_t *r) {
  if (*len + r->left > *size) {
    *size = 2 * *size > *len + r->left ? 2 * *size : *len + r->left;
    *body = take(*body, *size);
  }
  memcpy(*body + *len, r->at, r->left);
  *len += r->left;
}

/* Takes a chunk of an answer; *last when the message is whole. A chunk of another request is put aside: *stale. */
static outcome_t chunk_in(channel_t *c, const device_driver_list_u8_t *got, const char *type, bool *last, bool *stale, trouble_t *t) {
  reader_t r = {got->ptr, got->len, false};
  uint8_t kind;
  bool late;
  outcome_t o = frame_begin(&r, type, &kind, &late, t);
  if (o != FINE) return o;
  uint32_t id = read_u32(&r), token = 0;
  bool message = *type != 'O' || late;
  if (!message) {
    bytes_t policy = read_string(&r);
    read_string(&r);
    read_string(&r);
    if (policy.len != sizeof POLICY_NONE - 1 || memcmp(policy.at, POLICY_NONE, policy.len)) return malformed(t, "security policy");
  } else {
    token = read_u32(&r);
    if (id != c->id) return malformed(t, "channel id");
    if (token != c->token && token != c->old_token) return malformed(t, "token id");
  }
  uint32_t sequence = read_u32(&r), request = read_u32(&r);
  if (r.bad) return malformed(t, "chunk header");
  if (c->counting && sequence != c->received + 1 && !(c->received >= 4294966271u && sequence < 1024)) return malformed(t, "sequence number");
  c->counting = true;
  c->received = sequence;
  int32_t age = (int32_t)(c->request - request);
  if (age < 0 || age > 1 << 20) return malformed(t, "request id");
  *stale = age > 0;
  if (!*stale && late) return malformed(t, "message type");
  if (!*stale && message && token != c->token) return malformed(t, "token id");
  *last = kind == 'F';
  if (kind == 'A') {                                /* 6.7.3: the sender gives the message up */
    t->code = read_u32(&r);
    if (r.bad || !(t->code >> 31)) return malformed(t, "abort");
    if (message && c->hold && request == c->hold) { c->hold = 0; *stale = true; return FINE; }   /* what is kept won't come: it is asked for again */
    return *stale ? FINE : REJECTED;
  }
  if (kind != 'F' && kind != 'C') return malformed(t, "chunk type");
  if (message && c->hold && request == c->hold) {   /* whoever is waited for: this one is kept */
    if (c->held_len + r.left > MESSAGE_MAX) return malformed(t, "message too long");
    append(&c->held, &c->held_len, &c->held_size, &r);
    c->held_whole = *last;
    *stale = true;
    return FINE;
  }
  if (*stale) return FINE;
  if (c->body_len + r.left > MESSAGE_MAX) return malformed(t, "message too long");
  append(&c->body, &c->body_len, &c->body_size, &r);
  return FINE;
}

/* Collects the message that answers the request sent last; `got` is its first frame. Its body is in `c` then. */
static outcome_t message_in(channel_t *c, device_driver_list_u8_t got, const char *type, uint64_t until_ns, trouble_t *t) {
  int chunks = 0, aside = 0;
  c->body_len = 0;
  for (;;) {
    bool last = false, stale = false;
    outcome_t o = chunk_in(c, &got, type, &last, &stale, t);
    device_driver_list_u8_free(&got);
    if (o == FINE && stale && last && ++aside > STALE_MAX) o = malformed(t, "request id");
    if (o == FINE && !stale && last) return FINE;
    if (o == FINE && !stale && ++chunks == CHUNKS_MAX) o = malformed(t, "too many chunks");
    if (o != FINE) return o;
    uint64_t now = twinloop_gateway_clock_monotonic();   /* one timeout for the whole answer, however many chunks it has */
    if (now >= until_ns) { t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT; return BUS; }
    o = frame_in(until_ns - now, &got, t);
    if (o != FINE) return o;
  }
}

/* Waits until the answer that is kept is whole: FINE, and BUS with a timeout when it isn't by then, or won't come. */
static outcome_t await_held(channel_t *c, uint64_t until_ns, trouble_t *t) {
  int aside = 0;
  while (!c->held_whole) {
    device_driver_list_u8_t got;
    bool last = false, stale = false;
    uint64_t now = twinloop_gateway_clock_monotonic();
    if (now >= until_ns || !c->hold) { t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT; return BUS; }
    outcome_t o = frame_in(until_ns - now, &got, t);
    if (o != FINE) return o;
    c->body_len = 0;
    o = chunk_in(c, &got, "MSG", &last, &stale, t);
    device_driver_list_u8_free(&got);
    if (o == FINE && !stale && ++aside > STALE_MAX) o = malformed(t, "request id");   /* of a request that was given up: put aside */
    if (o != FINE) return o;
  }
  return FINE;
}

/* Sends a body as one message; with `got` waits for the first frame that follows. */
static outcome_t message_out(channel_t *c, const char *type, const uint8_t *body, size_t n, device_driver_list_u8_t *got, trouble_t *t) {
  size_t head = *type == 'O' ? HEADER_SIZE - 4 + 12 + sizeof POLICY_NONE - 1 : HEADER_SIZE, room = c->send_max - head;
  uint32_t chunks = n ? (uint32_t)((n + room - 1) / room) : 1;
  if ((c->message_max && n > c->message_max) || (c->chunks_max && chunks > c->chunks_max)) return malformed(t, "request larger than the server takes");
  size_t size = n < room ? n + head : c->send_max;
  uint8_t *data = take(NULL, size);
  outcome_t o = FINE;
  c->request++;
  for (uint32_t i = 0; o == FINE && i < chunks; i++) {
    writer_t w = {data, 0, size, false};
    size_t part = n < room ? n : room;
    write_bytes(&w, type, 3);
    write_u8(&w, i + 1 == chunks ? 'F' : 'C');
    write_u32(&w, 0);
    write_u32(&w, c->id);
    if (*type == 'O') {
      write_text(&w, POLICY_NONE);
      write_null(&w);                               /* no certificate, no thumbprint */
      write_null(&w);
    } else write_u32(&w, c->token);
    c->sent = next_sequence(c->sent);
    write_u32(&w, c->sent);
    write_u32(&w, c->request);
    write_bytes(&w, body, part);
    put_size(&w);
    body += part;
    n -= part;
    o = frame_out(c, data, w.used, i + 1 == chunks ? got : NULL, t);
  }
  free(data);
  return o;
}

/* Sends a body as one message and collects the answer's. */
static outcome_t message(channel_t *c, const char *type, const uint8_t *body, size_t n, trouble_t *t) {
  device_driver_list_u8_t got;
  uint64_t until_ns = twinloop_gateway_clock_monotonic() + c->timeout_ns;
  outcome_t o = message_out(c, type, body, n, &got, t);
  return o == FINE ? message_in(c, got, type, until_ns, t) : o;
}
#endif

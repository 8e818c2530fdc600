/* Services of OPC UA: the headers of requests and responses, the session, and what each request holds.
 * Source: OPC 10000-4 v1.05 section 5 (services) and 7.33, 7.34 (headers); type numbers: OPC 10000-6 annex A, NodeIds of the binary encodings.
 * Belongs here: bodies of messages. Never: chunks (channel.h), points (driver.c). */
#ifndef TWINLOOP_SERVICE_H
#define TWINLOOP_SERVICE_H
#include "channel.h"

enum { SERVICE_FAULT = 397, OPEN_CHANNEL = 446, CLOSE_CHANNEL = 452, CREATE_SESSION = 461, ACTIVATE_SESSION = 467, CLOSE_SESSION = 473,
       READ = 631, WRITE = 673, CREATE_ITEMS = 751, CREATE_SUBSCRIPTION = 787, PUBLISH = 826, ANONYMOUS_TOKEN = 321 };   /* a response's number is its request's + 3 */
enum { ATTRIBUTE_VALUE = 13, TOKEN_BYTES_MAX = 256, POLICY_ID_MAX = 128 };

/* OPC 10000-6 annex A.2 */
enum { BAD_COMMUNICATION = 0x80050000u, BAD_TIMEOUT = 0x800A0000u, BAD_CHANNEL_ID = 0x80220000u, BAD_SESSION_ID = 0x80250000u,
       BAD_SESSION_CLOSED = 0x80260000u, BAD_SESSION_NOT_ACTIVATED = 0x80270000u, BAD_NODE_ID_UNKNOWN = 0x80340000u, BAD_TYPE = 0x80740000u, BAD_CHANNEL_CLOSED = 0x80860000u,
       BAD_TOKEN_UNKNOWN = 0x80870000u, BAD_NOT_CONNECTED = 0x808A0000u, BAD_SENSOR = 0x808C0000u, BAD_NO_DATA = 0x809B0000u,
       BAD_CONNECTION_CLOSED = 0x80AE0000u };

typedef struct {
  channel_t channel;
  bool active, stale, named;                        /* stale: settings have changed since, it must go; named: it is known what it calls namespaces */
  uint32_t handle;
  uint8_t token[TOKEN_BYTES_MAX];                   /* the authentication token, as it came */
  size_t token_len;
  uint8_t policy[POLICY_ID_MAX];                    /* of the anonymous user */
  size_t policy_len;
  uint64_t session_timeout_ms;
  double revised_timeout_ms;                        /* what the server has made of it */
  uint32_t subscription, publish_handle, seen;      /* its id (0: none), the Publish that is out, the notification to acknowledge (0: none) */
  uint64_t heard_ns, silence_ns;                    /* when the subscription last said something, and how long it may be silent */
} session_t;

/* The server says that it doesn't know us (any more): a new session helps. */
static bool session_is_gone(uint32_t code) {
  static const uint32_t GONE[] = {BAD_CHANNEL_ID, BAD_SESSION_ID, BAD_SESSION_CLOSED, BAD_SESSION_NOT_ACTIVATED, BAD_CHANNEL_CLOSED, BAD_TOKEN_UNKNOWN,
                                  BAD_CONNECTION_CLOSED};
  for (size_t i = 0; i < sizeof GONE / sizeof *GONE; i++) if (code == GONE[i]) return true;
  return false;
}

/* ---- headers --------------------------------------------------------------------------------------------------- */
static void request_begin(session_t *s, writer_t *w, uint16_t number) {
  write_type(w, number);
  if (s->token_len) write_bytes(w, s->token, s->token_len);
  else write_little(w, 0, 2);                       /* the null NodeId */
  write_time(w, twinloop_gateway_clock_now());
  write_u32(w, ++s->handle);
  write_u32(w, 0);                                  /* no diagnostics */
  write_null(w);                                    /* no audit entry */
  write_u32(w, number == PUBLISH ? 0 : (uint32_t)(s->channel.timeout_ns / 1000000));   /* news may take its time */
  write_little(w, 0, 3);                            /* no additional header */
}

/* A response's header in a body; a ServiceFault or a Bad service result is REJECTED with its code. The reader stands behind it then. */
static outcome_t response_in(const uint8_t *body, size_t len, uint32_t wanted, reader_t *r, uint16_t number, trouble_t *t) {
  *r = (reader_t){body, len, false};
  uint32_t found = read_node_id(r, NULL);
  read_bytes(r, 8);
  uint32_t handle = read_u32(r), result = read_u32(r);
  skip_diagnostics(r);
  for (uint32_t n = read_count(r); n && !r->bad; n--) read_string(r);
  skip_extension_object(r);
  if (r->bad) return malformed(t, "response header");
  if (found != SERVICE_FAULT && found != (uint32_t)number + 3) return malformed(t, "response type");
  if (handle != wanted && found != SERVICE_FAULT) return malformed(t, "request handle");   /* who couldn't read the header has none */
  if (found == SERVICE_FAULT && !(result >> 31)) return malformed(t, "service fault");
  if (result >> 31) { t->code = result; return REJECTED; }
  return FINE;
}

static outcome_t response_begin(session_t *s, reader_t *r, uint16_t number, trouble_t *t) {
  return response_in(s->channel.body, s->channel.body_len, s->handle, r, number, t);
}

static outcome_t call(session_t *s, const char *type, uint16_t number, writer_t *w, reader_t *r, trouble_t *t) {
  if (w->full) return malformed(t, "request too large");
  outcome_t o = message(&s->channel, type, w->at, w->used, t);
  return o == FINE ? response_begin(s, r, number, t) : o;
}

/* ---- the channel and the session ------------------------------------------------------------------------------- */
static outcome_t open_channel(session_t *s, bool renew, trouble_t *t) {
  uint8_t data[TOKEN_BYTES_MAX + 256];
  writer_t w = {data, 0, sizeof data, false};
  reader_t r;
  channel_t *c = &s->channel;
  request_begin(s, &w, OPEN_CHANNEL);
  write_u32(&w, 0);                                 /* protocol version */
  write_u32(&w, renew);
  write_u32(&w, 1);                                 /* MessageSecurityMode None */
  write_null(&w);                                   /* no nonce */
  write_u32(&w, LIFETIME_MS);
  outcome_t o = call(s, "OPN", OPEN_CHANNEL, &w, &r, t);
  if (o != FINE) return o;
  read_u32(&r);
  uint32_t id = read_u32(&r), token = read_u32(&r);
  read_bytes(&r, 8);
  uint32_t lifetime_ms = read_u32(&r);
  read_string(&r);
  if (r.bad || !lifetime_ms || (renew && id != c->id)) return malformed(t, "open channel");
  c->id = id;
  c->old_token = renew ? c->token : token;
  c->token = token;
  c->renew_at_ns = twinloop_gateway_clock_monotonic() + (uint64_t)lifetime_ms * 750000;   /* at three quarters (OPC 10000-4 section 5.5.2.1) */
  c->open = true;
  return FINE;
}

static void skip_application(reader_t *r) {          /* ApplicationDescription, OPC 10000-4 section 7.2 */
  read_string(r);
  read_string(r);
  skip_localized_text(r);
  read_u32(r);
  read_string(r);
  read_string(r);
  for (uint32_t n = read_count(r); n && !r->bad; n--) read_string(r);
}

/* Looks in an endpoint (section 7.14) for the policy id of an anonymous user over SecurityPolicy None. */
static void look_for_policy(session_t *s, reader_t *r) {
  read_string(r);
  skip_application(r);
  read_string(r);
  uint32_t mode = read_u32(r);
  read_string(r);
  for (uint32_t n = read_count(r); n && !r->bad; n--) {
    bytes_t id = read_string(r);
    uint32_t kind = read_u32(r);
    read_string(r);
    read_string(r);
    read_string(r);
    if (mode == 1 && kind == 0 && !s->policy_len && id.len <= POLICY_ID_MAX && !r->bad) {
      memcpy(s->policy, id.at, id.len);
      s->policy_len = id.len;
    }
  }
  read_string(r);
  read_u8(r);
}

static outcome_t create_session(session_t *s, text_t endpoint, trouble_t *t) {
  uint8_t data[1024];
  writer_t w = {data, 0, sizeof data, false};
  reader_t r;
  bytes_t token;
  request_begin(s, &w, CREATE_SESSION);
  write_text(&w, "urn:twinloop:opcua-driver");
  write_text(&w, "urn:twinloop");
  write_u8(&w, 2);                                  /* LocalizedText: text only */
  write_text(&w, "opcua-driver");
  write_u32(&w, 1);                                 /* a client */
  write_null(&w);
  write_null(&w);
  write_null(&w);
  write_null(&w);                                   /* server URI */
  write_string(&w, endpoint.at, endpoint.len);
  write_text(&w, "opcua-driver");
  write_null(&w);                                   /* no nonce, no certificate */
  write_null(&w);
  write_f64(&w, (double)s->session_timeout_ms);
  write_u32(&w, MESSAGE_MAX);
  outcome_t o = call(s, "MSG", CREATE_SESSION, &w, &r, t);
  if (o != FINE) return o;
  read_node_id(&r, NULL);
  read_node_id(&r, &token);
  double timeout_ms = read_f64(&r);
  read_string(&r);
  read_string(&r);
  s->policy_len = 0;
  for (uint32_t n = read_count(&r); n && !r.bad; n--) look_for_policy(s, &r);
  if (r.bad || !token.len || token.len > TOKEN_BYTES_MAX || !(timeout_ms > 0)) return malformed(t, "create session");
  s->revised_timeout_ms = timeout_ms;
  memcpy(s->token, token.at, token.len);
  s->token_len = token.len;
  return FINE;
}

static outcome_t activate_session(session_t *s, trouble_t *t) {
  uint8_t data[1024];
  writer_t w = {data, 0, sizeof data, false};
  reader_t r;
  request_begin(s, &w, ACTIVATE_SESSION);
  write_null(&w);                                   /* no signature: algorithm, bytes */
  write_null(&w);
  write_null(&w);                                   /* no software certificates, no locales */
  write_null(&w);
  write_type(&w, ANONYMOUS_TOKEN);
  write_u8(&w, 1);
  write_u32(&w, (uint32_t)(4 + s->policy_len));
  write_string(&w, s->policy, s->policy_len);
  write_null(&w);
  write_null(&w);
  outcome_t o = call(s, "MSG", ACTIVATE_SESSION, &w, &r, t);
  if (o != FINE) return o;
  read_string(&r);
  if (r.bad) return malformed(t, "activate session");
  s->active = true;
  return FINE;
}

/* Ends it: a server that can still be told frees the session at once, not at its timeout. Nobody waits for the answer. */
static void session_drop(session_t *s) {
  if (s->active && s->channel.open) {
    uint8_t data[TOKEN_BYTES_MAX + 64];
    writer_t w = {data, 0, sizeof data, false};
    trouble_t unheard = {0};
    request_begin(s, &w, CLOSE_SESSION);
    write_u8(&w, 1);                                /* and its subscriptions */
    if (message_out(&s->channel, "MSG", w.at, w.used, NULL, &unheard) == BUS && unheard.bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_OTHER)
      twinloop_gateway_types_bus_error_free(&unheard.bus);
  }
  channel_drop(&s->channel);
  s->active = s->stale = false;
  s->subscription = s->channel.hold = 0;
}

/* A session that can be used: what is missing is made, a token that grows old renewed. */
static outcome_t session_ready(session_t *s, text_t endpoint, trouble_t *t) {
  channel_t *c = &s->channel;
  outcome_t o = FINE;
  if (s->stale) session_drop(s);
  if (s->active && c->open) {
    if (twinloop_gateway_clock_monotonic() < c->renew_at_ns) return FINE;
    o = open_channel(s, true, t);
    if (o != REJECTED) return o;
    session_drop(s);                                /* no new token: a new channel */
    t->closed = false;
  }
  if (c->open) channel_drop(c);
  s->active = s->named = false;
  s->subscription = c->hold = 0;
  s->token_len = 0;
  c->id = c->token = c->sent = c->request = s->handle = 0;
  c->counting = false;
  o = channel_hello(c, endpoint, t);
  if (o == FINE) o = open_channel(s, false, t);
  if (o == FINE) o = create_session(s, endpoint, t);
  if (o == FINE) o = activate_session(s, t);
  if (o != FINE) channel_drop(c);
  return o;
}
#endif

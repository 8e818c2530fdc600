/* One exchange of a modbus-driver with its device: tries, waits, what a late, half or doubled answer is, and when a
 * connection is given up. MODBUS Application Protocol V1.1b3 section 7 (exceptions 05 and 06).
 * Belongs here: everything between a request's PDU and its answer's. Never: which requests are made (driver.c, blocks.h). */
#ifndef TWINLOOP_EXCHANGE_H
#define TWINLOOP_EXCHANGE_H
#include "settings.h"

enum { STALE_MAX = 4, FRESH_MAX = 1024 };
enum { ILLEGAL_FUNCTION = 1, ILLEGAL_ADDRESS = 2, ILLEGAL_VALUE = 3, ACKNOWLEDGE = 5, BUSY = 6 };

typedef enum { EXCHANGE_OK, EXCHANGE_BUS, EXCHANGE_REJECTED, EXCHANGE_MALFORMED } exchange_t;
typedef struct { twinloop_gateway_types_bus_error_t bus; uint32_t code; const char *why; } trouble_t;

static twinloop_gateway_fieldbus_framing_t framing(void) {
  static uint8_t end[] = {'\r', '\n'};
  twinloop_gateway_fieldbus_framing_t f = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_SILENCE};
  if (d.form == FORM_MBAP) {
    f.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_LENGTH_FIELD;
    f.val.length_field = (twinloop_gateway_fieldbus_length_field_t){4, 2, true, 0};
  } else if (d.form == FORM_ASCII) {
    f.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_UNTIL;
    f.val.until = (device_driver_list_u8_t){end, sizeof end};
  } else if (d.form == FORM_RTU_TCP) {
    f.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_EXACTLY;
    f.val.exactly = HEAD_SIZE;
  }
  return f;
}

static void sleep_for(uint64_t time_ns) { if (time_ns) twinloop_gateway_clock_sleep(time_ns); }

static void forget_text(const trouble_t *t) {
  twinloop_gateway_types_bus_error_t error = t->bus;
  if (error.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_OTHER) twinloop_gateway_types_bus_error_free(&error);
}

/* ---- the connection -------------------------------------------------------------------------------------------- */
static void connection_gone(void) {
  d.answered = d.opened = d.waited = false;
  d.silent = 0;
}

static void connection_drop(void) {
  twinloop_gateway_fieldbus_reset();
  connection_gone();
}

/* An answer hasn't come in time. Transaction ids tell late answers from others, so the connection is kept: a device that
 * is silent for a while after each connect would else never be heard. It is given up at once with half an answer in it,
 * of which and of what comes next one wrong frame after the other would be made. */
static void connection_silent(void) {
  twinloop_gateway_fieldbus_framing_t some = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_SOME, .val.some = ADU_MAX};
  device_driver_list_u8_t half;
  trouble_t t = {0};
  if (d.rtu) return;
  if (twinloop_gateway_fieldbus_receive(&some, 0, &half, &t.bus)) {
    device_driver_list_u8_free(&half);
    connection_drop();
    return;
  }
  forget_text(&t);
  if (t.bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_DISCONNECTED) { connection_gone(); return; }
  d.silent++;
}

/* No try of an exchange was answered. The connection is given up after `patience` timeouts in a row; as long as it hasn't
 * answered at all, after four times as many, then twice as many with each connection. Not between two tries: the host
 * may have dialled anew by itself, and a new connection needs its time. */
static void connection_judged(void) {
  if (d.rtu || d.silent < (d.answered ? d.patience : d.fresh)) return;
  if (!d.answered && d.fresh < FRESH_MAX) d.fresh *= 2;
  connection_drop();
}

/* `connect-wait`: a new connection is opened, and left alone for that long, of which one exchange waits for as long as
 * its timeout at most. */
static bool connection_ready(trouble_t *t) {
  device_driver_list_u8_t nothing = {NULL, 0};
  if (d.waited || d.rtu || !d.connect_wait_ns) return true;
  if (!d.opened) {
    if (!twinloop_gateway_fieldbus_send(&nothing, d.timeout_ns, &t->bus)) return false;
    d.opened = true;
    d.opened_ns = twinloop_gateway_clock_monotonic();
  }
  uint64_t age_ns = twinloop_gateway_clock_monotonic() - d.opened_ns;
  if (age_ns + d.timeout_ns < d.connect_wait_ns) {
    sleep_for(d.timeout_ns);
    t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT;
    return false;
  }
  if (age_ns < d.connect_wait_ns) sleep_for(d.connect_wait_ns - age_ns);
  return d.waited = true;
}

/* ---- echo ------------------------------------------------------------------------------------------------------ */
/* Two wires bring back what is sent unless the adapter keeps it away. No answer to a read of registers looks like its
 * request; the answers to functions 5 and 6 are their requests, and one to a read of bits may look like it: as long as
 * nothing was learned, whether another frame follows decides. On a line with an echo no answer comes first, so one that
 * did (echo_learned) settles it: what looks like an echo then is another client's request. True: the echo was there. */
static bool without_echo(const device_driver_list_u8_t *request, device_driver_list_u8_t *got, bool *ok, trouble_t *t) {
  twinloop_gateway_fieldbus_framing_t f = framing();
  size_t n = request->len;
  uint8_t function = request->ptr[1];
  bool ambiguous = function == 5 || function == 6 || function <= TABLE_DISCRETE;
  if (d.echo == ECHO_NO || got->len < n || memcmp(got->ptr, request->ptr, n)) return false;
  if (got->len > n) {                                 /* echo and answer in one: no silence between them */
    d.echo = ECHO_YES;
    memmove(got->ptr, got->ptr + n, got->len -= n);
    return true;
  }
  device_driver_list_u8_t next;
  bool more = twinloop_gateway_fieldbus_receive(&f, d.timeout_ns, &next, &t->bus);
  if (!more && ambiguous && d.echo == ECHO_UNKNOWN) {
    forget_text(t);
    d.echo = ECHO_NO;
    return false;
  }
  d.echo = ECHO_YES;
  device_driver_list_u8_free(got);
  if (more) *got = next;
  *ok = more;
  return true;
}

/* A right answer to a read came, with or without an echo before it. */
static void echo_learned(uint8_t function, bool echoed) {
  if (d.rtu && !echoed && function <= TABLE_INPUT && d.echo_option == ECHO_UNKNOWN) d.echo = ECHO_NO;
}

/* ---- tries ----------------------------------------------------------------------------------------------------- */
/* The rest of an RTU frame in a stream, after its head: as long as that says, within what is left of the timeout. */
static bool rest(device_driver_list_u8_t *got, uint64_t begun, twinloop_gateway_types_bus_error_t *bus) {
  size_t more = frame_rest(got->ptr);
  uint64_t spent = twinloop_gateway_clock_monotonic() - begun;
  device_driver_list_u8_t tail;
  if (!more) return true;
  twinloop_gateway_fieldbus_framing_t f = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_EXACTLY, .val.exactly = (uint32_t)more};
  bool ok = twinloop_gateway_fieldbus_receive(&f, spent < d.timeout_ns ? d.timeout_ns - spent : 1, &tail, bus);
  if (ok) {
    got->ptr = realloc(got->ptr, HEAD_SIZE + tail.len);
    memcpy(got->ptr + HEAD_SIZE, tail.ptr, tail.len);
    got->len = HEAD_SIZE + tail.len;
    device_driver_list_u8_free(&tail);
  } else {
    device_driver_list_u8_free(got);
  }
  return ok;
}

/* Sends a request and waits for the frame that answers it. RTU over TCP has no transaction id: an answer that comes too
 * late would be taken for the next one, so that connection is given up. */
static bool asked(device_driver_list_u8_t *request, const twinloop_gateway_fieldbus_framing_t *f, device_driver_list_u8_t *got,
                  twinloop_gateway_types_bus_error_t *bus) {
  uint64_t begun = d.form == FORM_RTU_TCP ? twinloop_gateway_clock_monotonic() : 0;
  bool ok = twinloop_gateway_fieldbus_transact(request, (twinloop_gateway_fieldbus_framing_t *)f, d.timeout_ns, got, bus);
  if (d.form == FORM_RTU_TCP && ok && got->len == HEAD_SIZE) ok = rest(got, begun, bus);
  return ok;
}

/* A frame that is whole, and no answer to what was asked: without a transaction id the right one may still be to come. */
static exchange_t strange(trouble_t *t, const char *why) {
  t->why = why;
  if (d.form == FORM_RTU_TCP) connection_drop();
  return EXCHANGE_MALFORMED;
}

/* Answer's PDU into `reply` (PDU_MAX bytes). A late answer to an earlier request is put aside, STALE_MAX times. */
static exchange_t exchange_once(const uint8_t *pdu, size_t n, uint8_t *reply, size_t *reply_len, trouble_t *t) {
  uint8_t adu[ADU_MAX];
  uint16_t transaction = ++d.transaction;
  device_driver_list_u8_t request = {adu, frame_request(adu, d.form, transaction, d.unit, pdu, n)}, got;
  twinloop_gateway_fieldbus_framing_t f = framing();
  bool ok = asked(&request, &f, &got, &t->bus);
  bool echoed = ok && d.form == FORM_RTU && without_echo(&request, &got, &ok, t);
  for (int stale = 0; ok; stale++) {
    const uint8_t *at = NULL;
    frame_verdict_t v = frame_reply(got.ptr, got.len, d.form, transaction, d.unit, &at, reply_len, &t->why);
    if (v == FRAME_OK) memcpy(reply, at, *reply_len);
    device_driver_list_u8_free(&got);
    if (v == FRAME_BAD) {
      connection_drop();                              /* the stream's boundaries can't be trusted any more */
      return EXCHANGE_MALFORMED;
    }
    d.answered = true;
    d.silent = 0;
    if (v == FRAME_STALE) {
      if (stale == STALE_MAX) { connection_drop(); return EXCHANGE_MALFORMED; }
      ok = twinloop_gateway_fieldbus_receive(&f, d.timeout_ns, &got, &t->bus);
      continue;
    }
    if (*reply_len == 2 && reply[0] == (pdu[0] | 0x80)) { t->code = reply[1]; return EXCHANGE_REJECTED; }
    if (reply[0] != pdu[0]) return strange(t, "function");
    echo_learned(pdu[0], echoed);
    return EXCHANGE_OK;
  }
  if (d.form == FORM_RTU_TCP) connection_drop();
  else if (t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT) connection_silent();
  else if (t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TOO_LONG) connection_drop();   /* what was too long lies in it still */
  else connection_gone();
  return EXCHANGE_BUS;
}

/* Is it over with this answer? Exception 06 asks to send again later. So does 05 to a read; a write that was
 * acknowledged is not sent twice. */
static bool exchange_over(exchange_t r, uint8_t function, const trouble_t *t) {
  if (r == EXCHANGE_OK) return true;
  if (r != EXCHANGE_REJECTED) return false;
  return !(t->code == BUSY || (t->code == ACKNOWLEDGE && function <= TABLE_INPUT));
}

static exchange_t exchange(const uint8_t *pdu, size_t n, uint8_t *reply, size_t *reply_len, trouble_t *t) {
  exchange_t r = EXCHANGE_BUS;
  for (uint32_t tries = 0; ; tries++) {
    if (!connection_ready(t)) return EXCHANGE_BUS;
    if (d.pause_ns) {
      uint64_t now_ns = twinloop_gateway_clock_monotonic();
      if (now_ns < d.free_ns) sleep_for(d.free_ns - now_ns);
    }
    r = exchange_once(pdu, n, reply, reply_len, t);
    if (d.pause_ns) d.free_ns = twinloop_gateway_clock_monotonic() + d.pause_ns;
    if (exchange_over(r, pdu[0], t) || tries == d.retries) break;
    if (r == EXCHANGE_REJECTED) sleep_for(d.busy_wait_ns);
    if (r == EXCHANGE_BUS) forget_text(t);
  }
  if (r == EXCHANGE_BUS) connection_judged();
  return r;
}
#endif

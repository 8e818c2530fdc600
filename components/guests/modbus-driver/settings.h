/* What a modbus-driver knows: its options, its points, and what it has learned of its device and of the connection.
 * Belongs here: the state and the parsing of options. Never: bytes on the wire (exchange.h), what is read when (blocks.h). */
#ifndef TWINLOOP_SETTINGS_H
#define TWINLOOP_SETTINGS_H
#include "../bindings/device_driver.h"
#include "points.h"

enum { POINTS_MAX = 1000, BITS_MAX = 2000 };
typedef enum { WRITE_AUTO, WRITE_SINGLE, WRITE_MULTIPLE } write_t;
typedef enum { ECHO_UNKNOWN, ECHO_YES, ECHO_NO } echo_t;

/* points[start..end) live in it. `seen`: was it ever read whole? `refusals`: in a row, with `code`; `rests`: it is a
 * hole, and is asked for now and then only; `powers`: powers of ten lie in it. */
typedef struct { uint16_t first, count, start, end; uint8_t table, code, refusals; bool seen, rests, powers; } block_t;
typedef struct { uint32_t status; uint16_t address; int16_t value; uint8_t table; } power_t;  /* what scales points, as of this poll */

static struct {
  point_t *points;
  block_t *blocks;
  power_t *powers;
  size_t point_count, read_count, block_count, power_count;   /* points[0..read_count) are read, the others written only */
  size_t whole_count, text_count;                     /* of those that are read: whole numbers, texts */
  uint64_t timeout_ns, pause_ns, busy_wait_ns, connect_wait_ns, again_ns, polls, errors;
  uint32_t retries, gap, block_max, patience;
  write_t write;
  uint16_t transaction;
  uint8_t unit;
  form_t form;
  bool rtu, busy_wait_given, configured, failing;     /* rtu: on a serial line, which discards what is unread */
  /* of the connection */
  uint64_t opened_ns, free_ns;                        /* when it was opened; before when no request may go out (pause) */
  uint32_t silent, fresh;                             /* timeouts in a row; how many a connection that hasn't answered yet is given */
  bool opened, waited, answered;
  /* of the device */
  echo_t echo, echo_option;                           /* what was learned; what was said (unknown: auto) */
  bool multiple;                                      /* it takes the functions 15 and 16 only */
  uint64_t split_ns, again_at_ns;                     /* when this poll began to split; when holes are asked for again */
  uint32_t resting, hopeless, hopeless_left;
  uint16_t turn;                                      /* the first point of the doubtful block that is asked next */
  bool split, any_seen;
} d;

static bool option_count(text_t value, uint64_t from, uint64_t to, uint32_t *out) {
  uint64_t n = 0;
  bool ok = text_unsigned(value, to, &n) && n >= from;
  *out = (uint32_t)n;
  return ok;
}

static bool option_choice(text_t value, const char *const *words, uint32_t n, uint32_t *out) {
  for (*out = 0; *out < n; ++*out) if (text_is(value, words[*out])) return true;
  return false;
}

static bool protocol(text_t value) {
  static const char *const names[] = {"modbus-tcp", "modbus-rtu", "modbus-ascii", "modbus-rtu-over-tcp"};   /* by form */
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!text_is(value, names[i])) continue;
    d.form = (form_t)i;
    d.rtu = d.form == FORM_RTU || d.form == FORM_ASCII;
    return true;
  }
  return false;
}

/* False: a bad value, or (`known`) no option of this driver. */
static bool option(text_t key, text_t value, bool *known) {
  static const char *const WRITES[] = {"auto", "single", "multiple"}, *const ECHOES[] = {"auto", "true", "false"};
  uint32_t n = 0;
  bool ok;
  *known = true;
  if (text_is(key, "protocol")) return protocol(value);
  if (text_is(key, "timeout")) return text_duration(value, &d.timeout_ns) && d.timeout_ns > 0;
  if (text_is(key, "unit")) { ok = option_count(value, 0, 255, &n); d.unit = (uint8_t)n; return ok; }
  if (text_is(key, "retries")) return option_count(value, 0, 10, &d.retries);
  if (text_is(key, "gap")) return option_count(value, 0, 32, &d.gap);
  if (text_is(key, "block")) return option_count(value, 1, 125, &d.block_max);
  if (text_is(key, "busy-wait")) return d.busy_wait_given = text_duration(value, &d.busy_wait_ns);
  if (text_is(key, "pause")) return text_duration(value, &d.pause_ns);
  if (text_is(key, "connect-wait")) return text_duration(value, &d.connect_wait_ns);
  if (text_is(key, "patience")) return option_count(value, 1, 100, &d.patience);
  if (text_is(key, "again")) return text_duration(value, &d.again_ns) && d.again_ns > 0;
  if (text_is(key, "write")) { ok = option_choice(value, WRITES, 3, &n); d.write = (write_t)n; return ok; }
  if (text_is(key, "echo")) { ok = option_choice(value, ECHOES, 3, &n); d.echo_option = (echo_t)n; return ok; }
  return *known = false;
}

/* Everything as it is without options, points and a past. */
static void settings_default(void) {
  free(d.points);
  free(d.blocks);
  free(d.powers);
  memset(&d, 0, sizeof d);
  d.timeout_ns = 1000000000u;
  d.again_ns = 60000000000u;
  d.gap = 8;
  d.block_max = 125;
  d.patience = 2;
  d.unit = 1;
}

/* What follows from the options. */
static void settings_complete(void) {
  uint64_t half = d.timeout_ns / 2, usual = 50000000u;
  if (!d.busy_wait_given) d.busy_wait_ns = half < usual ? half : usual;
  d.multiple = d.write == WRITE_MULTIPLE;
  d.echo = d.echo_option;
  d.fresh = 4 * d.patience;
}
#endif

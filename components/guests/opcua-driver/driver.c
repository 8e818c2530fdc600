/* opcua-driver: one OPC UA server behind the contract's `driver`: SecurityPolicy None, anonymous, Read and Write.
 * Options: endpoint (opc.tcp://host:port/path), protocol (opcua), timeout ("1 s"), retries (0-10), block (nodes of one Read, 1-500), mode (read |
 * subscribe), publishing ("1 s"), sampling ("1 s"), queue (values kept for one item, 1-1000), wait ("10 s": for news, in one call), session-timeout ("60 s"), max-age ("10 s": a value with an older source timestamp becomes Uncertain_LastUsableValue; none by default).
 * Point addresses are NodeIds (nodes.h), those with a namespace's URI looked up in each new session (names.h); value = node's value * scale + offset. An
 * Int64 or UInt64 without scale and offset is a whole number, exact; every other number is a double. The first poll connects; a lost session is made anew within the poll.
 * A Read that fails marks its own points Bad; only when none could be read is the poll an error. Subscribed, each read-sensor waits for the next
 * values of one instant ("timeout": there was no news); what was sampled while no subscription stood is not asked for. */
#include "nodes.h"
#include "subscription.h"
#include "values.h"

enum { POINTS_MAX = 1000, ENDPOINT_MAX = 256, TIMEOUTS_MAX = 2 };

static struct {
  session_t session;
  point_t *points;
  uint8_t *nodes;                                   /* the NodeIds of all points, encoded */
  size_t point_count, nodes_len;
  char endpoint[ENDPOINT_MAX];
  size_t endpoint_len;
  uint64_t max_age_ns, polls, errors;
  uint32_t retries, block, timeouts, queue;
  uint64_t publishing_ns, sampling_ns, wait_ns;
  bool configured, failing, subscribing;
  notes_t news;
  names_t names;
} d;

static void note(uint8_t level, const char *s) {
  device_driver_string_t line;
  device_driver_string_set(&line, s);
  twinloop_gateway_log_log(level, &line);
}

/* ---- configure ------------------------------------------------------------------------------------------------ */
static bool option(text_t key, text_t value, bool *known) {
  uint64_t n = 0;
  *known = true;
  if (text_is(key, "protocol")) return text_is(value, "opcua");
  if (text_is(key, "endpoint")) {
    if (value.len < 11 || value.len > ENDPOINT_MAX || memcmp(value.at, "opc.tcp://", 10)) return false;
    memcpy(d.endpoint, value.at, d.endpoint_len = value.len);
    return true;
  }
  if (text_is(key, "timeout")) return text_duration(value, &d.session.channel.timeout_ns) && d.session.channel.timeout_ns > 0;
  if (text_is(key, "session-timeout")) { bool ok = text_duration(value, &n) && n >= 1000000; d.session.session_timeout_ms = n / 1000000; return ok; }
  if (text_is(key, "max-age")) return text_duration(value, &d.max_age_ns) && d.max_age_ns > 0;
  if (text_is(key, "retries")) { bool ok = text_unsigned(value, 10, &n); d.retries = (uint32_t)n; return ok; }
  if (text_is(key, "block")) { bool ok = text_unsigned(value, 500, &n) && n; d.block = (uint32_t)n; return ok; }
  if (text_is(key, "mode")) { d.subscribing = text_is(value, "subscribe"); return d.subscribing || text_is(value, "read"); }
  if (text_is(key, "publishing")) return text_duration(value, &d.publishing_ns) && d.publishing_ns >= 1000000;
  if (text_is(key, "sampling")) return text_duration(value, &d.sampling_ns) && d.sampling_ns >= 1000000;
  if (text_is(key, "wait")) return text_duration(value, &d.wait_ns) && d.wait_ns >= 1000000;
  if (text_is(key, "queue")) { bool ok = text_unsigned(value, 1000, &n) && n; d.queue = (uint32_t)n; return ok; }
  return *known = false;
}

static void defaults(void) {
  free(d.points);
  free(d.nodes);
  d.points = NULL;
  d.nodes = NULL;
  d.point_count = d.nodes_len = d.names.count = 0;
  d.configured = false;
  d.endpoint_len = 0;
  d.session.channel.timeout_ns = 1000000000u;
  d.session.session_timeout_ms = 60000;
  d.session.stale = d.session.active;               /* the bus must not be touched here */
  d.max_age_ns = 0;
  d.subscribing = false;
  d.publishing_ns = d.sampling_ns = 1000000000u;
  d.wait_ns = 10000000000u;
  d.queue = 10;
  d.news.count = d.news.taken = 0;
  d.retries = 0;
  d.block = 100;
}

static bool points_in(exports_twinloop_gateway_driver_settings_t *s, exports_twinloop_gateway_driver_config_error_t *err) {
  size_t size = 0;
  for (size_t i = 0; i < s->points.len; i++) size += s->points.ptr[i].address.len + 32;
  d.points = take(NULL, (s->points.len + 1) * sizeof *d.points);
  d.nodes = take(NULL, size + 1);
  writer_t w = {d.nodes, 0, size, false};
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    size_t start = w.used, uri;
    if (!node_id_parse(TEXT(c->address), &w, &d.names, &uri) || w.used - start > NODE_ID_MAX || !(c->scale != 0) || c->scale - c->scale != 0 || c->offset - c->offset != 0) {
      err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_ADDRESS;
      err->val.bad_address = c->address;
      c->address.len = 0;                           /* the error owns it now */
      return false;
    }
    d.points[i] = (point_t){c->scale, c->offset, (uint32_t)start, (uint32_t)(w.used - start), c->id, 0, (uint8_t)uri};
  }
  d.point_count = s->points.len;
  d.nodes_len = w.used;
  return true;
}

bool exports_twinloop_gateway_driver_configure(exports_twinloop_gateway_driver_settings_t *s,
                                               exports_twinloop_gateway_driver_config_error_t *err) {
  bool ok = false;
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
      s->options.ptr[i].f0.len = 0;
      goto out;
    }
  }
  if (!d.endpoint_len) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION;
    device_driver_string_dup(&err->val.bad_option, "endpoint");
    goto out;
  }
  if (d.subscribing && d.session.session_timeout_ms < 4 * d.publishing_ns / 1000000) d.session.session_timeout_ms = 4 * d.publishing_ns / 1000000;
  ok = d.configured = points_in(s, err);
out:
  exports_twinloop_gateway_driver_settings_free(s);
  return ok;
}

/* ---- an attempt at a service ---------------------------------------------------------------------------------- */
typedef outcome_t (*service_t)(void *what, trouble_t *t);

/* In a new session: what the server calls the namespaces of our points. Nothing is asked of one that lacks one of them: it is another device. */
static outcome_t named(trouble_t *t) {
  session_t *s = &d.session;
  outcome_t o = s->named || !d.names.count ? FINE : names_learn(&d.names, s, t);
  if (o != FINE || s->named) return o;
  for (size_t i = 0; i < d.point_count; i++) {
    const point_t *p = &d.points[i];
    if (!p->uri) continue;
    const uri_t *uri = &d.names.uris[p->uri - 1];
    if (!uri->known || uri->index > UINT16_MAX) {
      char line[64 + URI_MAX] = "the server has no namespace ";
      memcpy(line + strlen(line), uri->at, uri->len);
      note(TWINLOOP_GATEWAY_LOG_LEVEL_ERROR, line);
      t->code = BAD_NODE_ID_UNKNOWN;
      t->item = true;                               /* the session itself is sound */
      return REJECTED;
    }
    node_id_name(d.nodes + p->node, uri->index);
  }
  s->named = true;
  return FINE;
}

/* One request in a session that stands; what it means for the session when it fails. */
static outcome_t attempt(service_t service, void *what, trouble_t *t) {
  session_t *s = &d.session;
  outcome_t o = session_ready(s, (text_t){d.endpoint, d.endpoint_len}, t);
  if (o == FINE) o = named(t);
  if (o == FINE) o = service(what, t);
  bool timeout = o == BUS && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT;
  d.timeouts = timeout ? d.timeouts + 1 : 0;
  /* A late answer may still come and is put aside then; but half a frame would spoil all that follow. */
  if (o == MALFORMED || (o == BUS && !timeout) || d.timeouts >= TIMEOUTS_MAX) session_drop(s);
  if (o == REJECTED && (t->closed || t->renew || (!t->item && session_is_gone(t->code)))) {
    if (!t->renew || session_is_gone(t->code)) s->active = false;   /* there is nobody to take leave of */
    session_drop(s);
  }
  return o;
}

static outcome_t serve(service_t service, void *what, trouble_t *t) {
  outcome_t o = FINE;
  bool anew = false;
  for (uint32_t tried = 0; tried <= d.retries; tried++) {
    bool stood = d.session.active;
    if (o == BUS && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_OTHER) twinloop_gateway_types_bus_error_free(&t->bus);
    *t = (trouble_t){0};
    o = attempt(service, what, t);
    if (o == FINE) return o;
    bool lost = (o == REJECTED && (t->closed || t->renew || (!t->item && session_is_gone(t->code)))) || (o == BUS && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_DISCONNECTED);
    if (lost && stood && !anew) { anew = true; tried--; continue; }   /* a session that died meanwhile costs no attempt, once */
    if (o == REJECTED && !lost) break;
  }
  return o;
}

/* ---- read ----------------------------------------------------------------------------------------------------- */
static outcome_t read_nodes(void *what, trouble_t *t) {
  read_t *into = what;
  size_t size = 256 + into->count * (16 + NODE_ID_MAX);
  if (size > 256 + d.nodes_len + into->count * 64) size = 256 + d.nodes_len + into->count * 64;
  size += TOKEN_BYTES_MAX;
  writer_t w = {take(NULL, size), 0, size, false};
  reader_t r;
  request_begin(&d.session, &w, READ);
  write_f64(&w, 0);                                 /* max age: as fresh as can be */
  write_u32(&w, 2);                                 /* source and server timestamps */
  write_u32(&w, (uint32_t)into->count);
  for (size_t i = 0; i < into->count; i++) {
    const point_t *p = &d.points[into->first + i];
    write_bytes(&w, d.nodes + p->node, p->node_len);
    write_u32(&w, ATTRIBUTE_VALUE);
    write_null(&w);                                 /* no index range */
    write_little(&w, 0, 2);                         /* no data encoding */
    write_null(&w);
  }
  outcome_t o = call(&d.session, "MSG", READ, &w, &r, t);
  free(w.at);
  if (o != FINE) return o;
  if (read_count(&r) != into->count || r.bad) return malformed(t, "result count");
  reader_t ahead = r;                               /* all or nothing: a batch of half a message would be a guess */
  for (size_t i = 0; i < into->count; i++) { data_value_t v; read_data_value(&ahead, &v, 0); }
  for (uint32_t n = read_count(&ahead); n && !ahead.bad; n--) skip_diagnostics(&ahead);
  if (ahead.bad || ahead.left) return malformed(t, "data values");
  uint64_t now = twinloop_gateway_clock_now();
  for (size_t i = 0; i < into->count; i++) {
    data_value_t v;
    read_data_value(&r, &v, 0);
    take_value(into, &d.points[into->first + i], &v, now);
  }
  return FINE;
}

/* ---- subscribed ------------------------------------------------------------------------------------------------- */
static outcome_t create_items(trouble_t *t) {
  session_t *s = &d.session;
  size_t size = TOKEN_BYTES_MAX + 256 + d.nodes_len + d.point_count * 64;
  writer_t w = {take(NULL, size), 0, size, false};
  reader_t r;
  request_begin(s, &w, CREATE_ITEMS);
  write_u32(&w, s->subscription);
  write_u32(&w, 2);                                 /* source and server timestamps */
  write_u32(&w, (uint32_t)d.point_count);
  for (size_t i = 0; i < d.point_count; i++) {
    write_bytes(&w, d.nodes + d.points[i].node, d.points[i].node_len);
    write_u32(&w, ATTRIBUTE_VALUE);
    write_null(&w);
    write_little(&w, 0, 2);
    write_null(&w);
    write_u32(&w, 2);                               /* reporting */
    write_u32(&w, (uint32_t)i);                     /* the client's handle is the point */
    write_f64(&w, (double)(d.sampling_ns / 1000000));
    write_little(&w, 0, 3);                         /* no filter: status or value has changed */
    write_u32(&w, d.queue);
    write_u8(&w, 1);                                /* the oldest goes first */
  }
  outcome_t o = call(s, "MSG", CREATE_ITEMS, &w, &r, t);
  free(w.at);
  if (o != FINE) return o;
  if (read_count(&r) != d.point_count || r.bad) return malformed(t, "result count");
  for (size_t i = 0; i < d.point_count && !r.bad; i++) {
    uint32_t status = read_u32(&r);
    read_u32(&r);
    read_f64(&r);
    read_u32(&r);
    skip_extension_object(&r);
    if (status >> 31) { t->code = status; return REJECTED; }   /* a node that isn't there: nothing of this device is to be trusted */
  }
  for (uint32_t n = read_count(&r); n && !r.bad; n--) skip_diagnostics(&r);
  return r.bad || r.left ? malformed(t, "create monitored items") : FINE;
}

/* Makes sure that there is news, or waits for it: BUS with a timeout when none came, and the subscription stands. */
static outcome_t next_news(void *what, trouble_t *t) {
  session_t *s = &d.session;
  uint64_t until = twinloop_gateway_clock_monotonic() + d.wait_ns;
  (void)what;
  if (!s->subscription) {
    d.news.count = d.news.taken = 0;
    outcome_t o = subscribe(s, (double)d.publishing_ns / 1e6, t);
    if (o == FINE) o = create_items(t);
    if (o != FINE) {                                /* half a subscription is none, and one whose id was never heard is somebody's */
      if (s->channel.open) session_drop(s);
      return o;
    }
  }
  while (d.news.taken == d.news.count) {
    outcome_t o = s->channel.hold ? FINE : publish_out(s, t);
    if (o != FINE) return o;
    uint64_t silent_at = s->heard_ns + s->silence_ns;
    o = await_held(&s->channel, until < silent_at ? until : silent_at, t);
    if (o == BUS && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT && twinloop_gateway_clock_monotonic() < silent_at) return FINE;   /* no news */
    if (o == BUS && t->bus.tag == TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT) t->bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_DISCONNECTED;
    if (o == FINE) o = publish_in(s, &d.news, d.point_count, t);
    if (o != FINE) return o;
  }
  return FINE;
}

/* The values of the next instant: the first of each point; what a point has more of waits for the next batch. */
static void take_instant(read_t *into, uint64_t now) {
  notes_t *n = &d.news;
  uint64_t instant = n->notes[n->taken].value.source_ns;
  bool *seen = take(NULL, d.point_count + 1);
  memset(seen, 0, d.point_count + 1);
  size_t end = n->taken, kept = 0;
  for (; end < n->count && n->notes[end].value.source_ns == instant; end++) {
    const note_t *one = &n->notes[end];
    if (seen[one->point]) { n->notes[n->taken + kept++] = *one; continue; }
    seen[one->point] = true;
    take_value(into, &d.points[one->point], &one->value, now);
  }
  memmove(n->notes + end - kept, n->notes + n->taken, kept * sizeof *n->notes);
  n->taken = end - kept;
  free(seen);
}

static outcome_t read_subscribed(read_t *into, trouble_t *t) {
  outcome_t o = d.news.taken < d.news.count ? FINE : serve(next_news, NULL, t);
  if (o == FINE && d.news.taken < d.news.count) take_instant(into, twinloop_gateway_clock_now());
  return o;
}

static void count_poll(outcome_t o) {
  d.polls++;
  if (o != FINE) d.errors++;
  if ((o != FINE) != d.failing) {
    d.failing = o != FINE;
    note(d.failing ? TWINLOOP_GATEWAY_LOG_LEVEL_WARN : TWINLOOP_GATEWAY_LOG_LEVEL_INFO, d.failing ? "reads fail" : "reads are good again");
  }
}

static bool listen(exports_twinloop_gateway_driver_batch_t *ret, error_t *err) {
  trouble_t t = {0};
  read_t into = read_begin(d.point_count, d.max_age_ns);
  outcome_t o = read_subscribed(&into, &t);
  count_poll(o);
  if (o == FINE && into.reading_count + into.text_count + into.integer_count) return hand_over(&into, ret);
  read_end(&into, true);
  if (o == FINE) { o = BUS; t.bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT; }
  fail(err, o, &t);
  return false;
}

/* ---- read, all at once ------------------------------------------------------------------------------------------ */
bool exports_twinloop_gateway_driver_read_sensor(exports_twinloop_gateway_driver_batch_t *ret, error_t *err) {
  outcome_t first = FINE, o = FINE;
  trouble_t first_trouble = {0}, t = {0};
  size_t good = 0;
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  if (d.subscribing) return listen(ret, err);
  read_t into = read_begin(d.point_count, d.max_age_ns);
  for (into.first = 0; into.first < d.point_count; into.first += into.count) {
    into.count = d.point_count - into.first < d.block ? d.point_count - into.first : d.block;
    bool asked = o != BUS;                          /* a silent server is asked once a poll, not once a block */
    if (asked) o = serve(read_nodes, &into, &t);
    if (o == FINE) { good++; continue; }
    bool is_first = first == FINE;
    if (is_first) { first = o; first_trouble = t; }
    for (size_t i = 0; i < into.count; i++)
      into.readings[into.reading_count++] = (reading_t){d.points[into.first + i].id, 0, status_of(o, &t), twinloop_gateway_clock_now()};
    if (asked && !is_first) forget(o, &t);
  }
  count_poll(first);
  if (d.point_count && !good) {
    read_end(&into, true);
    fail(err, first, &first_trouble);
    return false;
  }
  forget(first, &first_trouble);
  return hand_over(&into, ret);
}

/* ---- write ---------------------------------------------------------------------------------------------------- */
typedef struct { point_t *point; const written_t *value; bool unfit; } write_t;

static outcome_t write_node(void *what, trouble_t *t) {
  write_t *job = what;
  size_t size = NODE_ID_MAX + TOKEN_BYTES_MAX + 256 + (job->value->tag == TWINLOOP_GATEWAY_TYPES_WRITTEN_TEXT ? job->value->val.text.len : 0);
  writer_t w = {take(NULL, size), 0, size, false};
  reader_t r;
  request_begin(&d.session, &w, WRITE);
  write_u32(&w, 1);
  write_bytes(&w, d.nodes + job->point->node, job->point->node_len);
  write_u32(&w, ATTRIBUTE_VALUE);
  write_null(&w);
  write_u8(&w, 1);                                  /* a DataValue with a value only: few servers take more */
  job->unfit = !write_value(&w, job->point, job->value);
  outcome_t o = job->unfit ? FINE : call(&d.session, "MSG", WRITE, &w, &r, t);
  free(w.at);
  if (job->unfit) return FINE;
  if (o != FINE) return o;
  uint32_t count = read_count(&r), status = read_u32(&r);
  for (uint32_t n = read_count(&r); n && !r.bad; n--) skip_diagnostics(&r);
  if (r.bad || r.left || count != 1) return malformed(t, "write results");
  if (status >> 31) { t->code = status; t->item = true; return REJECTED; }
  return FINE;
}

/* The type that a node has is the one that it was last read with. */
static outcome_t learn_type(point_t *p, trouble_t *t) {
  read_t into = read_begin(d.point_count, d.max_age_ns);
  into.first = (size_t)(p - d.points);
  into.count = 1;
  outcome_t o = serve(read_nodes, &into, t);
  if (o == FINE && !p->type && into.reading_count && into.readings->status >> 31) { t->code = into.readings->status; o = REJECTED; }
  read_end(&into, true);
  return o;
}

static bool write_point(uint16_t id, const written_t *value, error_t *err) {
  trouble_t t = {0};
  outcome_t o = FINE;
  write_t job = {NULL, value, false};
  if (!d.configured) { err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NOT_CONFIGURED; return false; }
  for (size_t i = 0; i < d.point_count; i++) if (d.points[i].id == id) job.point = &d.points[i];
  if (!job.point) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_NO_SUCH_POINT;
    err->val.no_such_point = id;
    return false;
  }
  if (!job.point->type) o = learn_type(job.point, &t);
  if (o == FINE && !job.point->type) job.unfit = true;
  if (o == FINE && !job.unfit) o = serve(write_node, &job, &t);
  if (o == FINE && job.unfit) {
    err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_OTHER;
    device_driver_string_dup(&err->val.other, "value does not fit the node's type");
    return false;
  }
  if (o != FINE) { d.errors++; fail(err, o, &t); return false; }
  return true;
}

bool exports_twinloop_gateway_driver_write_register(exports_twinloop_gateway_driver_point_t id, written_t *value, error_t *err) {
  bool ok = write_point(id, value, err);
  exports_twinloop_gateway_driver_written_free(value);
  return ok;
}

void exports_twinloop_gateway_driver_get_status(exports_twinloop_gateway_driver_driver_status_t *ret) {
  ret->health = !d.configured ? TWINLOOP_GATEWAY_TYPES_HEALTH_FAILED
              : d.failing ? TWINLOOP_GATEWAY_TYPES_HEALTH_DEGRADED : TWINLOOP_GATEWAY_TYPES_HEALTH_OK;
  ret->polls = d.polls;
  ret->errors = d.errors;
  device_driver_string_dup(&ret->detail, d.failing ? "last poll failed" : d.session.active ? "in session" : "");
}

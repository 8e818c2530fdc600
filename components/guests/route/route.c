/* route: the reference policy. Decides by rules and by the state of the link.
 * Options: lane (0-3, default 1); alert ("pressure>8.5, level<0.1"): such a Good reading raises an alert;
 * drop ("noise, spare"): points never sent; bad (forward | cache | drop): readings with a Bad status;
 * down (forward | cache | drop): everything else while the link is down; shed ("0.9"): above this share of the store,
 * readings without an alert are dropped. Rules are asked in that order, the first that speaks decides. Whole numbers are readings like any other,
 * held against a bound without rounding. */
#include "../bindings/routing_policy.h"
#include "../integers.h"
#include "../text.h"

enum { POINTS_MAX = 4096 };
#define STATUS_BAD(s) ((s) >= 0x80000000u)

typedef exports_twinloop_gateway_policy_verdict_t verdict_t;
typedef struct { double bound; char compare; bool drop; } rule_t;

static struct {
  rule_t *rules;
  size_t rule_count;
  double shed;
  uint8_t lane, bad, down;                          /* bad and down: a verdict tag */
  bool configured;
} p;

static bool name_verdict(text_t t, uint8_t *out) {
  *out = text_is(t, "forward") ? EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_FORWARD
       : text_is(t, "cache") ? EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_CACHE : EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_DROP;
  return *out != EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_DROP || text_is(t, "drop");
}

/* Every point of that name (device models of one gateway may share it); false when there is none. */
static bool mark(exports_twinloop_gateway_policy_settings_t *s, text_t name, rule_t rule) {
  bool found = false;
  for (size_t i = 0; i < s->points.len; i++) {
    if (!text_same(TEXT(s->points.ptr[i].name), name)) continue;
    rule_t *r = &p.rules[s->points.ptr[i].id];
    if (rule.compare) { r->compare = rule.compare; r->bound = rule.bound; }
    if (rule.drop) r->drop = true;
    found = true;
  }
  return found;
}

static bool set_points(exports_twinloop_gateway_policy_settings_t *s, text_t list, bool alert) {
  while (list.len) {
    text_t item = text_trim(text_cut(&list, ','));
    rule_t rule = {0, 0, !alert};
    size_t at = 0;
    while (alert && at < item.len && item.at[at] != '>' && item.at[at] != '<') at++;
    if (alert) {
      if (at == item.len || !text_number((text_t){item.at + at + 1, item.len - at - 1}, &rule.bound)) return false;
      rule.compare = item.at[at];
      item.len = at;
    }
    if (!mark(s, text_trim(item), rule)) return false;
  }
  return true;
}

static bool set_option(exports_twinloop_gateway_policy_settings_t *s, text_t key, text_t value, bool *known) {
  uint64_t n = 0;
  *known = true;
  if (text_is(key, "lane")) { bool ok = text_unsigned(value, 3, &n); p.lane = (uint8_t)n; return ok; }
  if (text_is(key, "alert")) return set_points(s, value, true);
  if (text_is(key, "drop")) return set_points(s, value, false);
  if (text_is(key, "bad")) return name_verdict(value, &p.bad);
  if (text_is(key, "down")) return name_verdict(value, &p.down);
  if (text_is(key, "shed")) return text_number(value, &p.shed) && p.shed >= 0 && p.shed <= 1;
  return *known = false;
}

bool exports_twinloop_gateway_policy_configure(exports_twinloop_gateway_policy_settings_t *s,
                                               exports_twinloop_gateway_policy_config_error_t *err) {
  bool ok = false;
  p.configured = false;
  p.lane = 1;
  p.bad = p.down = EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_FORWARD;
  p.shed = 2;
  p.rule_count = 0;
  for (size_t i = 0; i < s->points.len; i++)
    if (s->points.ptr[i].id >= p.rule_count) p.rule_count = (size_t)s->points.ptr[i].id + 1;
  if (p.rule_count > POINTS_MAX) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_TOO_MANY_POINTS;
    err->val.too_many_points = POINTS_MAX;
    goto out;
  }
  free(p.rules);
  p.rules = calloc(p.rule_count + 1, sizeof *p.rules);
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!set_option(s, TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &known)) {
      err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
      err->val.other = s->options.ptr[i].f0;
      s->options.ptr[i].f0.len = 0;
      goto out;
    }
  }
  ok = p.configured = true;
out:
  exports_twinloop_gateway_policy_settings_free(s);
  return ok;
}

static verdict_t plain(uint8_t tag) {
  verdict_t v = {.tag = tag};
  if (tag == EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_FORWARD) v.val.forward = p.lane;
  else if (tag == EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_CACHE) v.val.cache = p.lane;
  return v;
}

static verdict_t drop_for(const char *why) {
  verdict_t v = {.tag = EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_DROP};
  routing_policy_string_dup(&v.val.drop, why);
  return v;
}

/* True when a reading departs from the verdict for the whole batch; then `v` is its own. `beyond`: its value is on the alert's side of the bound. */
static bool departs(const rule_t *rule, uint32_t status, bool beyond, uint8_t whole, verdict_t *v) {
  if (rule->drop) { if (whole == EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_DROP) return false; *v = drop_for("listed"); return true; }
  if (STATUS_BAD(status)) {
    if (p.bad == EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_FORWARD || p.bad == whole) return false;
    *v = p.bad == EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_DROP ? drop_for("bad status") : plain(p.bad);
    return true;
  }
  if (beyond) {
    v->tag = EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_ALERT;
    routing_policy_string_dup(&v->val.alert, rule->compare == '>' ? "above its bound" : "below its bound");
  }
  return beyond;
}

typedef exports_twinloop_gateway_policy_list_exception_t exceptions_t;

static void except(exceptions_t *out, const exports_twinloop_gateway_policy_batch_t *input, uint16_t point, verdict_t v) {
  if (!out->ptr) out->ptr = malloc((input->readings.len + input->integers.len) * sizeof *out->ptr);
  out->ptr[out->len].point = point;
  out->ptr[out->len++].verdict = v;
}

/* What departs from the verdict for the whole batch, in the batch's order; false for a point that the settings don't have. */
static bool find_exceptions(const exports_twinloop_gateway_policy_batch_t *input, uint8_t whole, exceptions_t *out) {
  verdict_t v;
  for (size_t i = 0; i < input->readings.len; i++) {
    const twinloop_gateway_types_reading_t *r = &input->readings.ptr[i];
    if (r->point >= p.rule_count) return false;
    const rule_t *rule = &p.rules[r->point];
    bool beyond = rule->compare == '>' ? r->value > rule->bound : rule->compare == '<' && r->value < rule->bound;
    if (departs(rule, r->status, beyond, whole, &v)) except(out, input, r->point, v);
  }
  for (size_t i = 0; i < input->integers.len; i++) {
    const twinloop_gateway_types_integer_reading_t *r = &input->integers.ptr[i];
    if (r->point >= p.rule_count) return false;
    const rule_t *rule = &p.rules[r->point];
    bool beyond = rule->compare == '>' ? integer_above(r->value, rule->bound) : rule->compare == '<' && integer_below(r->value, rule->bound);
    if (departs(rule, r->status, beyond, whole, &v)) except(out, input, r->point, v);
  }
  return true;
}

bool exports_twinloop_gateway_policy_decide(exports_twinloop_gateway_policy_origin_t *source,
                                            exports_twinloop_gateway_policy_batch_t *input,
                                            exports_twinloop_gateway_policy_link_state_t *uplink,
                                            exports_twinloop_gateway_policy_decision_t *ret,
                                            exports_twinloop_gateway_policy_policy_error_t *err) {
  bool shed = uplink->store_used > p.shed;
  uint8_t whole = shed ? EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_DROP
                : uplink->up ? EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_FORWARD : p.down;
  exceptions_t found = {NULL, 0};
  routing_policy_string_free(&source->device);
  bool known = p.configured && find_exceptions(input, whole, &found);
  exports_twinloop_gateway_policy_batch_free(input);
  if (known) {
    ret->verdict = whole == EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_DROP ? drop_for(shed ? "shed" : "link down") : plain(whole);
    ret->except = found;
    return true;
  }
  exports_twinloop_gateway_policy_list_exception_free(&found);
  err->tag = p.configured ? TWINLOOP_GATEWAY_TYPES_POLICY_ERROR_BAD_INPUT : TWINLOOP_GATEWAY_TYPES_POLICY_ERROR_NOT_CONFIGURED;
  if (p.configured) routing_policy_string_dup(&err->val.bad_input, "unknown point");
  return false;
}

/* @NAME@: a routing policy. Batches go out while the uplink is up, and are kept while it isn't; a point above its high
 * limit is an alert.
 *
 * `configure` is called first; then `decide` for each batch. One instance serves a whole gateway. What the gateway hands
 * over is ours: it is freed, or handed back. */
#include "bindings/routing_policy.h"
#include "text.h"

#define STATUS_BAD(status) ((status) >= 0x80000000u)
enum { LANE = 1 };

static bool configured;
static double *high;                                /* by point; NaN: it has no limit, and nothing is above it */
static size_t high_count;

static void set_limits(const twinloop_gateway_types_list_point_config_t *points) {
  high_count = 0;
  for (size_t i = 0; i < points->len; i++)
    if (points->ptr[i].id >= high_count) high_count = (size_t)points->ptr[i].id + 1;
  free(high);
  high = calloc(high_count + 1, sizeof *high);
  for (size_t i = 0; i < high_count; i++) high[i] = __builtin_nan("");
  for (size_t i = 0; i < points->len; i++)
    if (points->ptr[i].high.is_some) high[points->ptr[i].id] = points->ptr[i].high.val;
}

bool exports_twinloop_gateway_policy_configure(exports_twinloop_gateway_policy_settings_t *settings,
                                               exports_twinloop_gateway_policy_config_error_t *err) {
  configured = !settings->options.len;
  if (!configured) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
    err->val.unknown_option = settings->options.ptr[0].f0; /* the name is handed back: it is not freed below */
    settings->options.ptr[0].f0.len = 0;
  }
  set_limits(&settings->points);
  exports_twinloop_gateway_policy_settings_free(settings);
  return configured;
}

/* Is it above its point's limit? NaN and the infinities aren't. */
static bool is_above(uint16_t point, double value, uint32_t status) {
  return !STATUS_BAD(status) && value - value == 0 && point < high_count && value > high[point];
}

static void add_alert(exports_twinloop_gateway_policy_decision_t *to, uint16_t point) {
  exports_twinloop_gateway_policy_exception_t *e = &to->except.ptr[to->except.len++];
  e->point = point;
  e->verdict.tag = EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_ALERT;
  routing_policy_string_dup(&e->verdict.val.alert, "above its high limit");
}

bool exports_twinloop_gateway_policy_decide(exports_twinloop_gateway_policy_origin_t *source, exports_twinloop_gateway_policy_batch_t *input,
                                            exports_twinloop_gateway_policy_link_state_t *uplink,
                                            exports_twinloop_gateway_policy_decision_t *ret,
                                            exports_twinloop_gateway_policy_policy_error_t *err) {
  exports_twinloop_gateway_policy_origin_free(source);
  if (!configured) {
    err->tag = TWINLOOP_GATEWAY_TYPES_POLICY_ERROR_NOT_CONFIGURED;
    exports_twinloop_gateway_policy_batch_free(input);
    return false;
  }
  ret->verdict.tag = uplink->up ? EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_FORWARD : EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_CACHE;
  ret->verdict.val.forward = LANE;
  ret->except.len = 0;
  ret->except.ptr = calloc(input->readings.len + input->integers.len + 1, sizeof *ret->except.ptr);
  for (size_t i = 0; i < input->readings.len; i++) {
    const twinloop_gateway_types_reading_t *r = &input->readings.ptr[i];
    if (is_above(r->point, r->value, r->status)) add_alert(ret, r->point);
  }
  for (size_t i = 0; i < input->integers.len; i++) {
    const twinloop_gateway_types_integer_reading_t *r = &input->integers.ptr[i];
    bool is_signed = r->value.tag == TWINLOOP_GATEWAY_TYPES_INTEGER_SIGNED;
    double nearest = is_signed ? (double)r->value.val.signed_ : (double)r->value.val.unsigned_;
    if (is_above(r->point, nearest, r->status)) add_alert(ret, r->point);
  }
  if (!ret->except.len) free(ret->except.ptr);      /* nobody frees an empty list */
  exports_twinloop_gateway_policy_batch_free(input);
  return true;
}

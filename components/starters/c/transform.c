/* @NAME@: a transform. Values are held within their point's limits and multiplied by the option `factor`.
 *
 * `configure` is called first; then `transform_readings` for each batch. One instance serves a whole gateway. What the
 * gateway hands over is ours: it is freed, or handed back. */
#include "bindings/reading_transform.h"
#include "text.h"

#define STATUS_BAD(status) ((status) >= 0x80000000u)
#define STATUS_UNITS_EXCEEDED 0x40940000u           /* OPC UA: UncertainEngineeringUnitsExceeded */

typedef struct { double low, high; bool known, has_low, has_high; } limits_t;

static bool configured;
static double factor;
static limits_t *limits;                            /* by point */
static size_t limits_count;

static void set_limits(const twinloop_gateway_types_list_point_config_t *points) {
  limits_count = 0;
  for (size_t i = 0; i < points->len; i++)
    if (points->ptr[i].id >= limits_count) limits_count = (size_t)points->ptr[i].id + 1;
  free(limits);
  limits = calloc(limits_count + 1, sizeof *limits);
  for (size_t i = 0; i < points->len; i++) {
    const twinloop_gateway_types_point_config_t *p = &points->ptr[i];
    limits[p->id] = (limits_t){p->low.val, p->high.val, true, p->low.is_some, p->high.is_some};
  }
}

bool exports_twinloop_gateway_transform_configure(exports_twinloop_gateway_transform_settings_t *settings,
                                                  exports_twinloop_gateway_transform_config_error_t *err) {
  bool ok = true;
  configured = false;
  factor = 1;
  for (size_t i = 0; ok && i < settings->options.len; i++) {
    reading_transform_string_t *name = &settings->options.ptr[i].f0;
    bool known = text_is(TEXT(*name), "factor");
    ok = known && text_number(TEXT(settings->options.ptr[i].f1), &factor);
    if (ok) continue;
    err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
    err->val.unknown_option = *name;                /* the name is handed back: it is not freed below */
    name->len = 0;
  }
  if (ok) set_limits(&settings->points);
  exports_twinloop_gateway_transform_settings_free(settings);
  return configured = ok;
}

bool exports_twinloop_gateway_transform_transform_readings(exports_twinloop_gateway_transform_origin_t *source,
                                                           exports_twinloop_gateway_transform_batch_t *input,
                                                           exports_twinloop_gateway_transform_batch_t *ret,
                                                           exports_twinloop_gateway_transform_transform_error_t *err) {
  exports_twinloop_gateway_transform_origin_free(source);
  if (!configured) {
    err->tag = TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_NOT_CONFIGURED;
    exports_twinloop_gateway_transform_batch_free(input);
    return false;
  }
  for (size_t i = 0; i < input->readings.len; i++) {
    twinloop_gateway_types_reading_t *r = &input->readings.ptr[i];
    if (r->point >= limits_count || !limits[r->point].known) {
      err->tag = TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_BAD_INPUT;
      reading_transform_string_dup(&err->val.bad_input, "unknown point");
      exports_twinloop_gateway_transform_batch_free(input);
      return false;
    }
    const limits_t *l = &limits[r->point];
    if (STATUS_BAD(r->status)) continue;
    if (l->has_low && r->value < l->low) {
      r->value = l->low;
      r->status = STATUS_UNITS_EXCEEDED;
    } else if (l->has_high && r->value > l->high) {
      r->value = l->high;
      r->status = STATUS_UNITS_EXCEEDED;
    }
    r->value *= factor;
  }
  *ret = *input;
  return true;
}

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

static const limits_t *limits_of(uint16_t point) {
  return point < limits_count && limits[point].known ? &limits[point] : NULL;
}

/* false: a point is unknown. */
static bool transformed(twinloop_gateway_types_list_reading_t *list) {
  for (size_t i = 0; i < list->len; i++) {
    twinloop_gateway_types_reading_t *r = &list->ptr[i];
    const limits_t *l = limits_of(r->point);
    if (!l) return false;
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
  return true;
}

static double nearest(twinloop_gateway_types_integer_t n) {
  return n.tag == TWINLOOP_GATEWAY_TYPES_INTEGER_SIGNED ? (double)n.val.signed_ : (double)n.val.unsigned_;
}

/* Gives integers beyond a limit their status; false: a point is unknown. */
static bool judged(twinloop_gateway_types_list_integer_reading_t *list) {
  for (size_t i = 0; i < list->len; i++) {
    twinloop_gateway_types_integer_reading_t *r = &list->ptr[i];
    const limits_t *l = limits_of(r->point);
    if (!l) return false;
    double near = nearest(r->value);
    bool beyond = (l->has_low && near < l->low) || (l->has_high && near > l->high);
    if (beyond && !STATUS_BAD(r->status)) r->status = STATUS_UNITS_EXCEEDED;
  }
  return true;
}

/* Integers times a factor are readings, behind all others; Bad ones stay. */
static void multiply(twinloop_gateway_types_list_integer_reading_t *list, twinloop_gateway_types_list_reading_t *readings) {
  size_t kept = 0, moved = 0;
  for (size_t i = 0; i < list->len; i++) moved += !STATUS_BAD(list->ptr[i].status);
  if (!moved) return;
  readings->ptr = realloc(readings->len ? readings->ptr : NULL, (readings->len + moved) * sizeof *readings->ptr);
  for (size_t i = 0; i < list->len; i++) {
    twinloop_gateway_types_integer_reading_t r = list->ptr[i];
    if (STATUS_BAD(r.status)) list->ptr[kept++] = r;
    else readings->ptr[readings->len++] = (twinloop_gateway_types_reading_t){r.point, nearest(r.value) * factor, r.status, r.measured};
  }
  if (!kept) free(list->ptr);                       /* nobody frees an empty list */
  list->len = kept;
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
  if (!transformed(&input->readings) || !judged(&input->integers)) {
    err->tag = TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_BAD_INPUT;
    reading_transform_string_dup(&err->val.bad_input, "unknown point");
    exports_twinloop_gateway_transform_batch_free(input);
    return false;
  }
  if (factor != 1) multiply(&input->integers, &input->readings);
  *ret = *input;
  return true;
}

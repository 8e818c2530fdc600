/* normalize: the reference transform. Units converted, ranges checked, bad readings kept, marked or left out.
 * Options: convert ("degF->degC, psi->bar"), range (mark | drop | clamp | off), bad (keep | drop).
 * `low` and `high` of a point are in the unit that the driver delivers; they are checked before conversion. A whole number stays one, and is
 * held against them without rounding; converted, it becomes a double like any other value. */
#include "../bindings/reading_transform.h"
#include "../integers.h"
#include "../text.h"

enum { POINTS_MAX = 4096, STATUS_UNITS_EXCEEDED = 0x40940000u };
#define STATUS_BAD(s) ((s) >= 0x80000000u)

typedef struct { double factor, offset, low, high; bool known, has_low, has_high; } rule_t;
typedef enum { RANGE_MARK, RANGE_DROP, RANGE_CLAMP, RANGE_OFF } range_t;

static rule_t *rules;
static size_t rule_count;
typedef twinloop_gateway_types_reading_t reading_t;
typedef twinloop_gateway_types_integer_reading_t integer_reading_t;

static range_t range;
static bool drop_bad, configured;

/* Exact by definition (SI brochure 9th ed. table 8 and the international units) but psi (NIST SP 811, table B.8). */
static const struct { const char *from, *to; double factor, offset; } UNITS[] = {
  {"degF", "degC", 5.0 / 9.0, -160.0 / 9.0}, {"degC", "degF", 1.8, 32.0}, {"degC", "K", 1.0, 273.15}, {"K", "degC", 1.0, -273.15},
  {"psi", "bar", 0.06894757, 0.0}, {"bar", "kPa", 100.0, 0.0}, {"kPa", "bar", 0.01, 0.0}, {"Pa", "kPa", 0.001, 0.0},
  {"Wh", "kWh", 0.001, 0.0}, {"W", "kW", 0.001, 0.0}, {"mA", "A", 0.001, 0.0}, {"mV", "V", 0.001, 0.0},
  {"mm", "m", 0.001, 0.0}, {"m/s", "km/h", 3.6, 0.0}, {"rpm", "Hz", 1.0 / 60.0, 0.0}};

static bool conversion(text_t list, text_t unit, double *factor, double *offset) {
  while (list.len) {
    text_t item = text_cut(&list, ','), from = text_trim(text_cut(&item, '-'));
    if (!item.len || *item.at != '>') return false;
    text_t to = text_trim((text_t){item.at + 1, item.len - 1});
    size_t i = 0, n = sizeof UNITS / sizeof *UNITS;
    while (i < n && !(text_is(from, UNITS[i].from) && text_is(to, UNITS[i].to))) i++;
    if (i == n) return false;
    if (text_same(from, unit)) { *factor = UNITS[i].factor; *offset = UNITS[i].offset; }
  }
  return true;
}

static bool set_option(text_t key, text_t value, text_t *convert, bool *known) {
  double f = 1, o = 0;
  *known = true;
  if (text_is(key, "convert")) { *convert = value; return conversion(value, (text_t){"", 0}, &f, &o); }
  if (text_is(key, "range")) {
    range = text_is(value, "mark") ? RANGE_MARK : text_is(value, "drop") ? RANGE_DROP : text_is(value, "clamp") ? RANGE_CLAMP : RANGE_OFF;
    return range != RANGE_OFF || text_is(value, "off");
  }
  if (text_is(key, "bad")) { drop_bad = text_is(value, "drop"); return drop_bad || text_is(value, "keep"); }
  return *known = false;
}

static bool set_rules(exports_twinloop_gateway_transform_settings_t *s, text_t convert) {
  rule_count = 0;
  for (size_t i = 0; i < s->points.len; i++)
    if (s->points.ptr[i].id >= rule_count) rule_count = (size_t)s->points.ptr[i].id + 1;
  if (rule_count > POINTS_MAX) return false;
  free(rules);
  rules = calloc(rule_count + 1, sizeof *rules);
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    rule_t *r = &rules[c->id];
    *r = (rule_t){1, 0, c->low.val, c->high.val, true, c->low.is_some, c->high.is_some};
    conversion(convert, TEXT(c->unit), &r->factor, &r->offset);
  }
  return true;
}

bool exports_twinloop_gateway_transform_configure(exports_twinloop_gateway_transform_settings_t *s,
                                                  exports_twinloop_gateway_transform_config_error_t *err) {
  text_t convert = {"", 0};
  bool ok = false;
  configured = drop_bad = false;
  range = RANGE_MARK;
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!set_option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &convert, &known)) {
      err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
      err->val.other = s->options.ptr[i].f0;
      s->options.ptr[i].f0.len = 0;
      goto out;
    }
  }
  if (!set_rules(s, convert)) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_TOO_MANY_POINTS;
    err->val.too_many_points = POINTS_MAX;
    goto out;
  }
  ok = configured = true;
out:
  exports_twinloop_gateway_transform_settings_free(s);
  return ok;
}

/* NULL for a point that the settings don't have. */
static const rule_t *rule_of(uint16_t point) { return point < rule_count && rules[point].known ? &rules[point] : NULL; }

/* False when it is left out. */
static bool normalized(const rule_t *rule, reading_t *r) {
  if (STATUS_BAD(r->status)) return !drop_bad;
  double bound = rule->has_low && r->value < rule->low ? rule->low : rule->has_high && r->value > rule->high ? rule->high : r->value;
  if (bound != r->value && range != RANGE_OFF) {
    if (range == RANGE_DROP) return false;
    if (range == RANGE_CLAMP) r->value = bound;
    r->status = STATUS_UNITS_EXCEEDED;
  }
  r->value = r->value * rule->factor + rule->offset;
  return true;
}

/* As above, but for the conversion. Clamped, it is the first or last whole number within the limits. */
static bool normalized_integer(const rule_t *rule, integer_reading_t *r) {
  if (STATUS_BAD(r->status)) return !drop_bad;
  bool below = rule->has_low && integer_below(r->value, rule->low), above = !below && rule->has_high && integer_above(r->value, rule->high);
  if ((!below && !above) || range == RANGE_OFF) return true;
  if (range == RANGE_DROP) return false;
  if (range == RANGE_CLAMP) r->value = integer_of(below ? __builtin_ceil(rule->low) : __builtin_floor(rule->high));
  r->status = STATUS_UNITS_EXCEEDED;
  return true;
}

/* False for a point that the settings don't have. */
static bool normalize_readings(twinloop_gateway_types_list_reading_t *list) {
  size_t kept = 0;
  for (size_t i = 0; i < list->len; i++) {
    reading_t r = list->ptr[i];
    const rule_t *rule = rule_of(r.point);
    if (!rule) return false;
    if (normalized(rule, &r)) list->ptr[kept++] = r;
  }
  if (list->len && !kept) { free(list->ptr); list->ptr = NULL; }   /* the bindings free no empty list */
  list->len = kept;
  return true;
}

/* Those whose unit is converted go to the end of `others`. */
static bool normalize_integers(twinloop_gateway_types_list_integer_reading_t *list, twinloop_gateway_types_list_reading_t *others) {
  size_t kept = 0, moved = 0;
  for (size_t i = 0; i < list->len; i++) if (!rule_of(list->ptr[i].point)) return false;
  for (size_t i = 0; i < list->len; i++) {
    integer_reading_t r = list->ptr[i];
    const rule_t *rule = rule_of(r.point);
    if (!normalized_integer(rule, &r)) continue;
    if (STATUS_BAD(r.status) || (rule->factor == 1 && rule->offset == 0)) { list->ptr[kept++] = r; continue; }
    if (!moved++) {                                 /* room for this one and all that may follow it */
      others->ptr = realloc(others->len ? others->ptr : NULL, (others->len + list->len - i) * sizeof *others->ptr);
      if (!others->ptr) abort();
    }
    others->ptr[others->len++] = (reading_t){r.point, integer_near(r.value) * rule->factor + rule->offset, r.status, r.measured};
  }
  if (list->len && !kept) { free(list->ptr); list->ptr = NULL; }
  list->len = kept;
  return true;
}

bool exports_twinloop_gateway_transform_transform_readings(exports_twinloop_gateway_transform_origin_t *source,
                                                           exports_twinloop_gateway_transform_batch_t *input,
                                                           exports_twinloop_gateway_transform_batch_t *ret,
                                                           exports_twinloop_gateway_transform_transform_error_t *err) {
  reading_transform_string_free(&source->device);
  if (configured && normalize_readings(&input->readings) && normalize_integers(&input->integers, &input->readings)) {
    *ret = *input;                                  /* in place: the caller's lists are handed back */
    return true;
  }
  err->tag = configured ? TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_BAD_INPUT : TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_NOT_CONFIGURED;
  if (configured) reading_transform_string_dup(&err->val.bad_input, "unknown point");
  exports_twinloop_gateway_transform_batch_free(input);
  return false;
}

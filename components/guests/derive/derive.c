/* derive: adds one point, the product of two others of the same sample (power = current * voltage).
 * Options: of (the point that the scenario declares under `derives`), a, b (what is multiplied), factor (1e-3: W to kW).
 * A batch without a or b passes as it is, and so do its whole numbers; one that is a or b is multiplied as the nearest double. The quality is the
 * worse of the two; `low` and `high` of the point are checked. */
#include "../bindings/reading_transform.h"
#include "../integers.h"
#include "../text.h"

enum { POINTS_MAX = 4096, STATUS_UNITS_EXCEEDED = 0x40940000u };
#define STATUS_BAD(s) ((s) >= 0x80000000u)

typedef enum { NONE, IS_A = 1, IS_B = 2 } part_t;

static uint8_t parts[POINTS_MAX];
static twinloop_gateway_types_point_config_t added;
static double factor;
static bool configured;

static bool set_option(text_t key, text_t value, text_t names[3], bool *known) {
  static const char *const NAMES[3] = {"a", "b", "of"};
  *known = true;
  for (size_t i = 0; i < 3; i++)
    if (text_is(key, NAMES[i])) { names[i] = text_trim(value); return names[i].len > 0; }
  if (text_is(key, "factor")) return text_number(value, &factor);
  return *known = false;
}

/* Which ids have the names; NULL, or the option that names no point of its kind. */
static const char *set_points(exports_twinloop_gateway_transform_settings_t *s, text_t names[3]) {
  bool found[3] = {false, false, false};
  memset(parts, 0, sizeof parts);
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *c = &s->points.ptr[i];
    if (text_is(TEXT(c->address), "derived")) {
      if (text_same(TEXT(c->name), names[2])) { added = *c; found[2] = true; }
    } else if (c->id < POINTS_MAX) {
      if (text_same(TEXT(c->name), names[0])) { parts[c->id] |= IS_A; found[0] = true; }
      if (text_same(TEXT(c->name), names[1])) { parts[c->id] |= IS_B; found[1] = true; }
    }
  }
  return !found[0] ? "a" : !found[1] ? "b" : !found[2] ? "of" : NULL;
}

bool exports_twinloop_gateway_transform_configure(exports_twinloop_gateway_transform_settings_t *s,
                                                  exports_twinloop_gateway_transform_config_error_t *err) {
  text_t names[3] = {{"", 0}, {"", 0}, {"", 0}};
  configured = false;
  factor = 1;
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!set_option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), names, &known)) {
      err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
      err->val.other = s->options.ptr[i].f0;
      s->options.ptr[i].f0.len = 0;
      exports_twinloop_gateway_transform_settings_free(s);
      return false;
    }
  }
  const char *missing = set_points(s, names);
  exports_twinloop_gateway_transform_settings_free(s);
  if (missing) {
    err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION;
    reading_transform_string_dup(&err->val.bad_option, missing);
    return false;
  }
  return configured = true;
}

static uint8_t part_of(uint16_t point) { return point < POINTS_MAX ? parts[point] : NONE; }

static twinloop_gateway_types_reading_t product(const twinloop_gateway_types_reading_t *a, const twinloop_gateway_types_reading_t *b) {
  twinloop_gateway_types_reading_t r = *(a->measured > b->measured ? a : b);
  r.point = added.id;
  r.status = (a->status >> 30) > (b->status >> 30) ? a->status : (b->status >> 30) ? b->status : a->status;
  r.value = STATUS_BAD(r.status) ? 0 : a->value * b->value * factor;
  if (!STATUS_BAD(r.status) && ((added.low.is_some && r.value < added.low.val) || (added.high.is_some && r.value > added.high.val)))
    r.status = STATUS_UNITS_EXCEEDED;
  return r;
}

bool exports_twinloop_gateway_transform_transform_readings(exports_twinloop_gateway_transform_origin_t *source,
                                                           exports_twinloop_gateway_transform_batch_t *input,
                                                           exports_twinloop_gateway_transform_batch_t *ret,
                                                           exports_twinloop_gateway_transform_transform_error_t *err) {
  reading_transform_string_free(&source->device);
  if (!configured) {
    err->tag = TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_NOT_CONFIGURED;
    twinloop_gateway_types_batch_free(input);
    return false;
  }
  size_t n = input->readings.len;
  twinloop_gateway_types_reading_t whole_a, whole_b;
  const twinloop_gateway_types_reading_t *a = NULL, *b = NULL;
  for (size_t i = 0; i < n; i++) {
    const twinloop_gateway_types_reading_t *r = &input->readings.ptr[i];
    uint8_t part = part_of(r->point);
    if (part & IS_A) a = r;
    if (part & IS_B) b = r;
  }
  for (size_t i = 0; i < input->integers.len; i++) {
    const twinloop_gateway_types_integer_reading_t *r = &input->integers.ptr[i];
    twinloop_gateway_types_reading_t near = {r->point, integer_near(r->value), r->status, r->measured};
    uint8_t part = part_of(r->point);
    if (part & IS_A) { whole_a = near; a = &whole_a; }
    if (part & IS_B) { whole_b = near; b = &whole_b; }
  }
  if (a && b) {
    twinloop_gateway_types_reading_t one = product(a, b);
    twinloop_gateway_types_reading_t *more = realloc(n ? input->readings.ptr : NULL, (n + 1) * sizeof *more);
    if (!more) abort();
    more[n] = one;
    input->readings.ptr = more;
    input->readings.len = n + 1;
  }
  *ret = *input;                                    /* the caller's list, one reading longer */
  return true;
}

/* smooth: a deliberately heavy transform. Each reading is replaced by the median of its last `window` values, found by
 * sorting that window `passes` times (1-1000): a stand-in for the filter that is too much for the board.
 * Options: window (3-255), passes (1-1000). Bad readings pass untouched, and whole numbers: of an even count of them the median would
 * be no whole number, and what is counted exactly (energy, pieces) wants no filter. */
#include "../bindings/reading_transform.h"
#include "../text.h"

enum { SERIES_MAX = 8192, WINDOW_MAX = 255 };
#define STATUS_BAD(s) ((s) >= 0x80000000u)

typedef struct { uint64_t key; uint32_t count; double values[]; } series_t;

static series_t *table[SERIES_MAX];                 /* open addressing by (device, point) */
static uint32_t window_size, passes;
static bool configured;

static bool set_option(text_t key, text_t value, bool *known) {
  uint64_t n = 0;
  *known = true;
  if (text_is(key, "window")) { bool ok = text_unsigned(value, WINDOW_MAX, &n) && n >= 3; window_size = (uint32_t)n; return ok; }
  if (text_is(key, "passes")) { bool ok = text_unsigned(value, 1000, &n) && n >= 1; passes = (uint32_t)n; return ok; }
  return *known = false;
}

bool exports_twinloop_gateway_transform_configure(exports_twinloop_gateway_transform_settings_t *s,
                                                  exports_twinloop_gateway_transform_config_error_t *err) {
  configured = false;
  window_size = 31;
  passes = 1;
  for (size_t i = 0; i < s->options.len; i++) {
    bool known;
    if (!set_option(TEXT(s->options.ptr[i].f0), TEXT(s->options.ptr[i].f1), &known)) {
      err->tag = known ? TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_BAD_OPTION : TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_UNKNOWN_OPTION;
      err->val.other = s->options.ptr[i].f0;
      s->options.ptr[i].f0.len = 0;
      exports_twinloop_gateway_transform_settings_free(s);
      return false;
    }
  }
  for (size_t i = 0; i < SERIES_MAX; i++) { free(table[i]); table[i] = NULL; }
  exports_twinloop_gateway_transform_settings_free(s);
  return configured = true;
}

/* FNV-1a, 64 bit (draft-eastlake-fnv-17 section 5) */
static uint64_t key_of(text_t device, uint16_t point) {
  uint64_t h = 14695981039346656037ull;
  for (size_t i = 0; i < device.len; i++) h = (h ^ (uint8_t)device.at[i]) * 1099511628211ull;
  h = (h ^ (point & 255)) * 1099511628211ull;
  return (h ^ (point >> 8)) * 1099511628211ull;
}

static series_t *series_of(uint64_t key) {
  for (size_t step = 0; step < SERIES_MAX; step++) {
    series_t **slot = &table[(key + step) % SERIES_MAX];
    if (!*slot) {
      *slot = malloc(sizeof **slot + window_size * sizeof(double));
      if (*slot) { (*slot)->key = key; (*slot)->count = 0; }
      return *slot;
    }
    if ((*slot)->key == key) return *slot;
  }
  return NULL;
}

static double median(const series_t *s, uint32_t n) {
  double sorted[WINDOW_MAX];
  for (uint32_t pass = 0; pass < passes; pass++) {
    for (uint32_t i = 0; i < n; i++) {
      double v = s->values[i];
      uint32_t at = i;
      while (at && sorted[at - 1] > v) { sorted[at] = sorted[at - 1]; at--; }
      sorted[at] = v;
    }
    __asm__ volatile("" ::: "memory");              /* keep every pass: the work is the point */
  }
  return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

bool exports_twinloop_gateway_transform_transform_readings(exports_twinloop_gateway_transform_origin_t *source,
                                                           exports_twinloop_gateway_transform_batch_t *input,
                                                           exports_twinloop_gateway_transform_batch_t *ret,
                                                           exports_twinloop_gateway_transform_transform_error_t *err) {
  if (!configured) {
    err->tag = TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_NOT_CONFIGURED;
    twinloop_gateway_types_batch_free(input);
    reading_transform_string_free(&source->device);
    return false;
  }
  for (size_t i = 0; i < input->readings.len; i++) {
    twinloop_gateway_types_reading_t *r = &input->readings.ptr[i];
    if (STATUS_BAD(r->status)) continue;
    series_t *s = series_of(key_of(TEXT(source->device), r->point));
    if (!s) {
      err->tag = TWINLOOP_GATEWAY_TYPES_TRANSFORM_ERROR_OTHER;
      reading_transform_string_dup(&err->val.other, "too many series");
      twinloop_gateway_types_batch_free(input);
      reading_transform_string_free(&source->device);
      return false;
    }
    s->values[s->count % window_size] = r->value;
    s->count++;
    r->value = median(s, s->count < window_size ? s->count : window_size);
  }
  reading_transform_string_free(&source->device);
  *ret = *input;
  return true;
}

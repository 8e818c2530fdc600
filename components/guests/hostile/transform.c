/* hostile-transform: normalize that, from the call whose number is `from` (5), does what `do` says to the readings of
 * every device of its gateway: `loop` for ever, `trap`, or `invent` a point that nobody has read. */
#define exports_twinloop_gateway_transform_configure configure_of_normalize
#define exports_twinloop_gateway_transform_transform_readings transform_of_normalize
#include "../normalize/normalize.c"
#undef exports_twinloop_gateway_transform_configure
#undef exports_twinloop_gateway_transform_transform_readings

static enum { NOTHING, LOOP, TRAP, INVENT } deed;
static uint64_t from, calls;
static volatile uint32_t turns;

static bool own_option(text_t key, text_t value) {
  if (text_is(key, "from")) return text_unsigned(value, UINT64_MAX, &from);
  if (!text_is(key, "do")) return false;
  deed = text_is(value, "loop") ? LOOP : text_is(value, "trap") ? TRAP : text_is(value, "invent") ? INVENT : NOTHING;
  return deed != NOTHING;
}

bool exports_twinloop_gateway_transform_configure(exports_twinloop_gateway_transform_settings_t *s,
                                                  exports_twinloop_gateway_transform_config_error_t *err) {
  size_t kept = 0;
  from = 5;
  for (size_t i = 0; i < s->options.len; i++) {
    reading_transform_tuple2_string_string_t one = s->options.ptr[i];
    if (own_option(TEXT(one.f0), TEXT(one.f1))) reading_transform_tuple2_string_string_free(&one);
    else s->options.ptr[kept++] = one;
  }
  s->options.len = kept;
  return configure_of_normalize(s, err);
}

bool exports_twinloop_gateway_transform_transform_readings(exports_twinloop_gateway_transform_origin_t *source,
                                                           exports_twinloop_gateway_transform_batch_t *input,
                                                           exports_twinloop_gateway_transform_batch_t *ret,
                                                           exports_twinloop_gateway_transform_transform_error_t *err) {
  bool due = ++calls >= from;
  if (due && deed == TRAP) __builtin_trap();
  while (due && deed == LOOP) turns++;
  if (!transform_of_normalize(source, input, ret, err)) return false;
  if (due && deed == INVENT && ret->readings.len) ret->readings.ptr[0].point = 60000;
  return true;
}

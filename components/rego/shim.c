/* A Rego policy as a routing-policy component: this module stands between the contract and what `opa build -t wasm` makes.
 *
 * Both modules share one memory. The policy's own data lie below 1 MiB, this module's from 1 MiB to __heap_base, and the
 * policy's heap begins there. malloc is the policy's opa_malloc, and after each call the heap is set back to where it was
 * after configure: nothing is freed one by one, and nothing is left over.
 *
 * Belongs here: settings and batches to JSON, a decision from JSON. Never: a rule of its own about readings. */
#include "../guests/bindings/routing_policy.h"
#include "plain.h"

/* With TEMPLATE_STUBS the policy's functions are defined here, so that a component can be made of this module alone;
 * template.py then puts the real module, which imports them, in its place. */
#ifdef TEMPLATE_STUBS
#define OPA(ret, name, ...) ret name(__VA_ARGS__) { __builtin_trap(); }
#else
#define OPA(ret, name, ...) __attribute__((import_module("opa"), import_name(#name))) ret name(__VA_ARGS__);
#endif
OPA(void *, opa_malloc, size_t bytes)
OPA(void *, opa_json_parse, const char *text, size_t length)
OPA(char *, opa_json_dump, void *value)
OPA(void *, builtins, void)
OPA(void *, entrypoints, void)
OPA(size_t, opa_heap_ptr_get, void)
OPA(void, opa_heap_ptr_set, size_t at)
OPA(char *, opa_eval, void *reserved, int entrypoint, void *data, const char *input, size_t length, size_t heap, int format)

typedef routing_policy_string_t string_t;

enum { POLICY_BYTES_MAX = 1 << 20, STATUS_BAD = (int)0x80000000 };
#define ENTRYPOINT "\"twinloop/decision\":"

extern unsigned char __heap_base;
static size_t floor_at, base_at;                    /* where the heap begins; where it is set back to after a call */
static void *data;                                  /* the settings, as the policy's `data`; 0: not configured */
static int entrypoint;

/* ---- memory ---- */
static void begin(void) {
  if (floor_at) return;
  if (opa_heap_ptr_get() > POLICY_BYTES_MAX) __builtin_trap();
  floor_at = base_at = ((size_t)&__heap_base + 15) & ~(size_t)15;
  opa_heap_ptr_set(floor_at);
}

void *malloc(size_t bytes) {
  begin();
  size_t at = ((size_t)opa_malloc(bytes + 32) + 24) & ~(size_t)15;
  ((size_t *)at)[-2] = bytes;
  return (void *)at;
}

void free(void *at) { (void)at; }

void *calloc(size_t count, size_t bytes) {
  if (bytes && count > SIZE_MAX / bytes) __builtin_trap();
  return memset(malloc(count * bytes), 0, count * bytes);
}

void *realloc(void *at, size_t bytes) {
  void *moved = malloc(bytes);
  if (!at) return moved;
  size_t had = ((size_t *)at)[-2];
  return memcpy(moved, at, had < bytes ? had : bytes);
}

/* ---- JSON out ---- */
static char *out, *at, *end;

static void room(size_t bytes) { out = at = malloc(bytes); end = out + bytes; }

static void put_bytes(const char *bytes, size_t n) {
  if ((size_t)(end - at) < n) __builtin_trap();
  memcpy(at, bytes, n);
  at += n;
}

static void put(const char *text) { put_bytes(text, strlen(text)); }

static void put_text(string_t s) {
  static const char hex[] = "0123456789abcdef";
  put("\"");
  for (size_t i = 0; i < s.len; i++) {
    char c = (char)s.ptr[i], escaped[] = {'\\', 'u', '0', '0', hex[(c >> 4) & 15], hex[c & 15]};
    if ((unsigned char)c < 32) put_bytes(escaped, 6);
    else if (c == '"' || c == '\\') { put_bytes("\\", 1); put_bytes(&c, 1); }
    else put_bytes(&c, 1);
  }
  put("\"");
}

static void put_digits(uint64_t value, size_t least) {
  char digits[24];
  size_t n = 0;
  do digits[sizeof digits - ++n] = (char)('0' + value % 10); while ((value /= 10) || n < least);
  put_bytes(digits + sizeof digits - n, n);
}

static void put_integer(uint64_t value) { put_digits(value, 1); }

/* 17 digits and an exponent, for numbers that no short decimal names: enough to tell every double from its neighbours.
 * value = m * 2^e; for a negative e that is m * 5^-e / 10^-e, so one long number, multiplied by 2 or by 5, gives all digits. */
static void put_long(double value) {
  static uint32_t limbs[90];                        /* base 10^9, lowest first: 767 digits are the most */
  static char digits[820];
  union { double value; uint64_t bits; } u = {value};
  int e = (int)(u.bits >> 52), count = 2, n = 0;
  uint64_t m = (u.bits & 0xfffffffffffffu) | (e ? 1ull << 52 : 0);
  e = (e ? e : 1) - 1075;
  limbs[0] = (uint32_t)(m % 1000000000u);
  limbs[1] = (uint32_t)(m / 1000000000u);
  for (int times = e < 0 ? -e : e; times; times--) {
    uint64_t carry = 0;
    for (int i = 0; i < count; i++, carry /= 1000000000u) {
      carry += (uint64_t)limbs[i] * (e < 0 ? 5 : 2);
      limbs[i] = (uint32_t)(carry % 1000000000u);
    }
    if (carry) limbs[count++] = (uint32_t)carry;
  }
  for (int i = 0; i < count; i++)
    for (uint32_t k = 0, limb = limbs[i]; k < 9; k++, limb /= 10) digits[n++] = (char)('0' + limb % 10);
  while (n > 17 && digits[n - 1] == '0') n--;
  int cut = n - 17, exponent = cut + (e < 0 ? e : 0);
  uint64_t top = 0;
  for (int i = n; i-- > cut;) top = top * 10 + (uint64_t)(digits[i] - '0');
  if (cut && digits[cut - 1] >= '5') top++;
  put_integer(top);
  put(exponent < 0 ? "e-" : "e");
  put_integer((uint64_t)(exponent < 0 ? -exponent : exponent));
}

/* The decimal with the fewest places that is this number again: policies compare decimals, and 0.1 must equal 0.1. */
static void put_number(double value, bool single) {
  double size = value < 0 ? -value : value, power = 1;
  if (value < 0) put("-");
  for (size_t places = 0; places < 16 && size * power < 9007199254740992.0; places++, power *= 10) {
    uint64_t whole = (uint64_t)(size * power + 0.5);
    double again = (double)whole / power;
    if (single ? (float)again != (float)size : again != size) continue;
    put_integer(whole / (uint64_t)power);
    if (places) { put("."); put_digits(whole % (uint64_t)power, places); }
    return;
  }
  /* As large as a whole number of 64 bits, which may be held against it: with all digits, too. */
  if (size >= 9007199254740992.0 && size < 18446744073709551616.0) put_integer((uint64_t)size);
  else put_long(size);
}

static bool is_finite(double value) { return value - value == 0; }

static void put_member(const char *name, double value) {
  put(name);
  put_number(value, false);
}

/* ---- JSON in; `in` is what the policy wrote: no blanks, every text and bracket closed ---- */
static const char *in;

static void skip(void) { while (*in == ' ' || *in == ',' || *in == ':' || *in == '\n' || *in == '\t') in++; }

static bool take(char c) {
  skip();
  if (*in != c) return false;
  in++;
  return true;
}

static bool take_text(string_t *s) {
  if (!take('"')) return false;
  size_t most = 0;
  while (in[most] && in[most] != '"') most += in[most] == '\\' && in[most + 1] ? 2 : 1;
  s->ptr = malloc(most + 1);
  s->len = 0;
  for (; *in && *in != '"'; in++) {
    char c = *in;
    if (c == '\\') {
      c = *++in;
      if (c == 'u') { c = '?'; for (int i = 0; i < 4 && in[1] && in[1] != '"'; i++) in++; }
      else c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
    }
    s->ptr[s->len++] = (uint8_t)c;
  }
  return take('"');
}

static bool take_integer(unsigned long max, unsigned long *value) {
  size_t digits = 0;
  skip();
  for (*value = 0; *in >= '0' && *in <= '9' && digits < 6; in++, digits++) *value = *value * 10 + (unsigned long)(*in - '0');
  return digits && *value <= max && *in != '.' && *in != 'e' && *in != 'E' && !(*in >= '0' && *in <= '9');
}

static bool is(string_t s, const char *word) { return s.len == strlen(word) && !memcmp(s.ptr, word, s.len); }

/* {"forward":1} */
static bool take_verdict(exports_twinloop_gateway_policy_verdict_t *v) {
  static const char *const KINDS[] = {"forward", "cache", "alert", "drop", "other"};
  string_t kind;
  unsigned long lane;
  if (!take('{') || !take_text(&kind)) return false;
  for (v->tag = 0; v->tag < 5 && !is(kind, KINDS[v->tag]); v->tag++) {}
  if (v->tag == 5) return false;
  if (v->tag > EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_CACHE) return take_text(&v->val.alert) && take('}');
  if (!take_integer(255, &lane)) return false;
  v->val.forward = (uint8_t)lane;
  return take('}');
}

/* {"point":3,"verdict":{"drop":"why"}} */
static bool take_exception(exports_twinloop_gateway_policy_exception_t *e) {
  string_t key;
  unsigned long point;
  bool has_point = false, has_verdict = false;
  if (!take('{')) return false;
  for (skip(); *in == '"'; skip()) {
    if (!take_text(&key)) return false;
    if (is(key, "point")) {
      if (!take_integer(UINT16_MAX, &point)) return false;
      e->point = (uint16_t)point;
      has_point = true;
    } else if (is(key, "verdict")) {
      if (!take_verdict(&e->verdict)) return false;
      has_verdict = true;
    } else return false;
  }
  return take('}') && has_point && has_verdict;
}

static bool take_exceptions(exports_twinloop_gateway_policy_list_exception_t *list) {
  size_t most = 0;
  if (!take('[')) return false;
  for (const char *p = in; *p; p++) most += *p == '{';
  list->ptr = malloc((most + 1) * sizeof *list->ptr);
  list->len = 0;
  for (skip(); *in == '{'; skip())
    if (!take_exception(&list->ptr[list->len++])) return false;
  return take(']');
}

/* [{"result":{"verdict":{...},"except":[...]}}] */
static bool take_decision(exports_twinloop_gateway_policy_decision_t *d) {
  string_t key;
  bool decided = false;
  d->except.ptr = 0;
  d->except.len = 0;
  if (!take('[') || !take('{') || !take_text(&key) || !is(key, "result") || !take('{')) return false;
  for (skip(); *in == '"'; skip()) {
    if (!take_text(&key)) return false;
    if (is(key, "verdict")) {
      if (!take_verdict(&d->verdict)) return false;
      decided = true;
    } else if (!is(key, "except") || !take_exceptions(&d->except)) return false;
  }
  return decided && take('}');
}

/* [{"result":{"refuse":{"unknown-option":"lane"}}}]: the policy doesn't take its settings. */
static bool take_refusal(exports_twinloop_gateway_policy_config_error_t *err) {
  static const char *const KINDS[] = {"unknown-option", "bad-option", "bad-address", "", "other"};
  string_t key;
  if (!take('[') || !take('{') || !take_text(&key) || !take('{') || !take_text(&key) || !is(key, "refuse")) return false;
  if (!take('{') || !take_text(&key)) return false;
  for (err->tag = 0; err->tag < 5 && !is(key, KINDS[err->tag]); err->tag++) {}
  return err->tag < 5 && take_text(&err->val.other);
}

/* ---- the contract ---- */
static bool say(string_t *into, const char *what, const char *detail) {
  size_t a = strlen(what), b = strlen(detail);
  if (b > 400) for (b = 400; b && ((unsigned char)detail[b] & 0xC0) == 0x80;) b--;
  into->ptr = malloc(a + b + 1);
  into->len = a + b;
  memcpy(into->ptr, what, a);
  memcpy(into->ptr + a, detail, b);
  return false;
}

static bool find_entrypoint(string_t *why) {
  char *missing = opa_json_dump(builtins());
  if (text_differs(missing, "{}")) return say(why, "the policy needs built-ins that only OPA itself has: ", missing);
  const char *known = opa_json_dump(entrypoints()), *found = text_after(known, ENTRYPOINT);
  if (!found) return say(why, "the policy was not built with -e twinloop/decision, but for ", known);
  for (entrypoint = 0; *found >= '0' && *found <= '9'; found++) entrypoint = entrypoint * 10 + *found - '0';
  return true;
}

static void put_settings(exports_twinloop_gateway_policy_settings_t *s) {
  put("{\"device\":");
  put_text(s->device);
  put(",\"points\":{");
  for (size_t i = 0; i < s->points.len; i++) {
    twinloop_gateway_types_point_config_t *p = &s->points.ptr[i];
    put(i ? ",\"" : "\"");
    put_integer(p->id);
    put("\":{\"name\":");
    put_text(p->name);
    put(",\"unit\":");
    put_text(p->unit);
    if (p->low.is_some && is_finite(p->low.val)) put_member(",\"low\":", p->low.val);
    if (p->high.is_some && is_finite(p->high.val)) put_member(",\"high\":", p->high.val);
    put("}");
  }
  put("},\"options\":{");
  for (size_t i = 0; i < s->options.len; i++) {
    bool again = false;                             /* a name that comes twice: the later counts */
    for (size_t k = i + 1; k < s->options.len; k++)
      again |= s->options.ptr[i].f0.len == s->options.ptr[k].f0.len && !memcmp(s->options.ptr[i].f0.ptr, s->options.ptr[k].f0.ptr, s->options.ptr[i].f0.len);
    if (again) continue;
    if (at[-1] != '{') put(",");
    put_text(s->options.ptr[i].f0);
    put(":");
    put_text(s->options.ptr[i].f1);
  }
  put("}}");
}

static void put_options(exports_twinloop_gateway_policy_settings_t *s) {
  put("{\"configure\":[");
  for (size_t i = 0; i < s->options.len; i++) {
    put(i ? ",[" : "[");
    put_text(s->options.ptr[i].f0);
    put(",");
    put_text(s->options.ptr[i].f1);
    put("]");
  }
  put("]}");
}

static size_t settings_bytes(exports_twinloop_gateway_policy_settings_t *s) {
  size_t bytes = 256 + 6 * s->device.len;
  for (size_t i = 0; i < s->points.len; i++) bytes += 160 + 6 * (s->points.ptr[i].name.len + s->points.ptr[i].unit.len);
  for (size_t i = 0; i < s->options.len; i++) bytes += 24 + 12 * (s->options.ptr[i].f0.len + s->options.ptr[i].f1.len);
  return bytes;
}

bool exports_twinloop_gateway_policy_configure(exports_twinloop_gateway_policy_settings_t *s, exports_twinloop_gateway_policy_config_error_t *err) {
  data = 0;
  base_at = floor_at;                               /* what an earlier configure left is let go */
  err->tag = TWINLOOP_GATEWAY_TYPES_CONFIG_ERROR_OTHER;
  if (!find_entrypoint(&err->val.other)) return false;
  room(settings_bytes(s));
  put_settings(s);
  size_t settings = (size_t)(at - out);
  put_options(s);
  size_t both = (size_t)(at - out);
  char *kept = memmove((char *)floor_at, out, both); /* over the arguments, which have been read */
  opa_heap_ptr_set((floor_at + both + 15) & ~(size_t)15);
  void *parsed = opa_json_parse(kept, settings);
  base_at = (opa_heap_ptr_get() + 15) & ~(size_t)15;
  in = opa_eval(0, entrypoint, parsed, kept + settings, both - settings, base_at, 0);
  if (take_refusal(err)) return false;
  data = parsed;
  return true;
}

static void put_point(uint16_t point) {
  put(at[-1] == '[' ? "{\"point\":" : ",{\"point\":");
  put_integer(point);
  put(",\"value\":");
}

static void put_quality(uint32_t status, uint64_t measured) {
  put(",\"status\":");
  put_integer(status);
  put(",\"measured\":");
  put_integer(measured);
  put("}");
}

/* Whole numbers are readings to a policy: numbers of JSON have as many digits as it takes. */
static void put_readings(exports_twinloop_gateway_policy_batch_t *input) {
  put("\"readings\":[");
  for (size_t i = 0; i < input->readings.len; i++) {
    twinloop_gateway_types_reading_t *r = &input->readings.ptr[i];
    bool finite = is_finite(r->value);              /* JSON knows no other: such a reading is Bad for the policy */
    put_point(r->point);
    put_number(finite ? r->value : 0, false);
    put_quality(finite ? r->status : r->status | (uint32_t)STATUS_BAD, r->measured);
  }
  for (size_t i = 0; i < input->integers.len; i++) {
    twinloop_gateway_types_integer_reading_t *r = &input->integers.ptr[i];
    uint64_t size = r->value.val.unsigned_;         /* both cases lie in the same eight bytes */
    bool negative = r->value.tag == TWINLOOP_GATEWAY_TYPES_INTEGER_SIGNED && r->value.val.signed_ < 0;
    put_point(r->point);
    if (negative) put("-");
    put_integer(negative ? 0 - size : size);
    put_quality(r->status, r->measured);
  }
  put("],\"texts\":[");
  for (size_t i = 0; i < input->texts.len; i++) {
    twinloop_gateway_types_text_reading_t *t = &input->texts.ptr[i];
    put_point(t->point);
    put_text(t->value);
    put_quality(t->status, t->measured);
  }
  put("]");
}

bool exports_twinloop_gateway_policy_decide(exports_twinloop_gateway_policy_origin_t *source, exports_twinloop_gateway_policy_batch_t *input,
                                            exports_twinloop_gateway_policy_link_state_t *up, exports_twinloop_gateway_policy_decision_t *ret,
                                            exports_twinloop_gateway_policy_policy_error_t *err) {
  if (!data) { err->tag = TWINLOOP_GATEWAY_TYPES_POLICY_ERROR_NOT_CONFIGURED; return false; }
  size_t bytes = 512 + 6 * source->device.len + 160 * (input->readings.len + input->integers.len);
  for (size_t i = 0; i < input->texts.len; i++) bytes += 128 + 6 * input->texts.ptr[i].value.len;
  room(bytes);
  put("{\"source\":{\"device\":");
  put_text(source->device);
  put(",\"sequence\":");
  put_integer(source->sequence);
  put(up->up ? "},\"uplink\":{\"up\":true,\"since\":" : "},\"uplink\":{\"up\":false,\"since\":");
  put_integer(up->since);
  put(",\"backlog\":");
  put_integer(up->backlog);
  put(",\"round_trip\":");
  put_integer(up->round_trip);
  put(",\"store_used\":");
  put_number(is_finite((double)up->store_used) ? (double)up->store_used : 0, true);
  put("},\"batch\":{");
  put_readings(input);
  put("}}");
  in = opa_eval(0, entrypoint, data, out, (size_t)(at - out), (opa_heap_ptr_get() + 15) & ~(size_t)15, 0);
  const char *came = in;
  if (take_decision(ret)) return true;
  err->tag = TWINLOOP_GATEWAY_TYPES_POLICY_ERROR_OTHER;
  return text_differs(came, "[]") ? say(&err->val.other, "not a decision: ", came) : say(&err->val.other, "twinloop/decision is undefined for this input", "");
}

/* The host has read the answer: all that the call asked for is let go. */
#define AFTER(function, symbol) __attribute__((export_name("cabi_post_twinloop:gateway/policy@0.2.0#" function))) void symbol(uint8_t *answer) { (void)answer; opa_heap_ptr_set(base_at); }
AFTER("decide", __wasm_export_exports_twinloop_gateway_policy_decide_post_return)
AFTER("configure", __wasm_export_exports_twinloop_gateway_policy_configure_post_return)

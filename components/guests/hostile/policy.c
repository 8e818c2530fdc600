/* hostile-policy: route that, from its 5th call on, decides of a point that nobody has read. */
#define exports_twinloop_gateway_policy_decide decide_of_route
#include "../route/route.c"
#undef exports_twinloop_gateway_policy_decide

enum { FROM = 5, NOBODYS = 60000 };

bool exports_twinloop_gateway_policy_decide(exports_twinloop_gateway_policy_origin_t *source,
                                            exports_twinloop_gateway_policy_batch_t *input,
                                            exports_twinloop_gateway_policy_link_state_t *uplink,
                                            exports_twinloop_gateway_policy_decision_t *ret,
                                            exports_twinloop_gateway_policy_policy_error_t *err) {
  static uint32_t calls;
  if (!decide_of_route(source, input, uplink, ret, err)) return false;
  if (++calls < FROM) return true;
  exports_twinloop_gateway_policy_exception_t *one = calloc(1, sizeof *one);
  one->point = NOBODYS;
  one->verdict = (exports_twinloop_gateway_policy_verdict_t){.tag = EXPORTS_TWINLOOP_GATEWAY_POLICY_VERDICT_FORWARD};
  ret->except.ptr = one;
  ret->except.len = 1;
  return true;
}

/* A release that passes every check and is far too slow: route, after 200 000 needless turns for each decision. */
#define exports_twinloop_gateway_policy_decide decide_of_route
#include "../route/route.c"
#undef exports_twinloop_gateway_policy_decide

bool exports_twinloop_gateway_policy_decide(exports_twinloop_gateway_policy_origin_t *source,
                                            exports_twinloop_gateway_policy_batch_t *input,
                                            exports_twinloop_gateway_policy_link_state_t *uplink,
                                            exports_twinloop_gateway_policy_decision_t *ret,
                                            exports_twinloop_gateway_policy_policy_error_t *err) {
  for (volatile uint32_t turn = 0; turn < 200000; turn++) continue;
  return decide_of_route(source, input, uplink, ret, err);
}

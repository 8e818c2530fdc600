/* A release that wants to keep state, which the one before was never granted. */
#define exports_twinloop_gateway_policy_configure configure_of_route
#include "../route/route.c"
#undef exports_twinloop_gateway_policy_configure

bool exports_twinloop_gateway_policy_configure(exports_twinloop_gateway_policy_settings_t *s,
                                               exports_twinloop_gateway_policy_config_error_t *err) {
  routing_policy_string_t key;
  routing_policy_string_set(&key, "configured");
  twinloop_gateway_state_delete(&key);
  return configure_of_route(s, err);
}

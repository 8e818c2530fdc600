/* A release that traps when it is configured. */
#define exports_twinloop_gateway_policy_configure configure_of_route
#include "../route/route.c"
#undef exports_twinloop_gateway_policy_configure

bool exports_twinloop_gateway_policy_configure(exports_twinloop_gateway_policy_settings_t *s,
                                               exports_twinloop_gateway_policy_config_error_t *err) {
  if (configure_of_route(s, err)) __builtin_trap();
  return false;
}

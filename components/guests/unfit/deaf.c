/* A driver release that passes every check, asks nothing of its device and says that it got no whole answer. */
#define exports_twinloop_gateway_driver_read_sensor read_sensor_of_modbus
#include "../modbus-driver/driver.c"
#undef exports_twinloop_gateway_driver_read_sensor

bool exports_twinloop_gateway_driver_read_sensor(exports_twinloop_gateway_driver_batch_t *ret,
                                                 exports_twinloop_gateway_driver_driver_error_t *err) {
  err->tag = TWINLOOP_GATEWAY_TYPES_DRIVER_ERROR_BUS;
  err->val.bus.tag = TWINLOOP_GATEWAY_TYPES_BUS_ERROR_TIMEOUT;
  return false;
}

/* A component of somebody who never heard of twinloop:gateway/driver: it exports example:device/sensor. It reads holding
 * register 0 of a Modbus TCP device through the gateway's fieldbus. Built for tests; see README.md. */
#include "device.h"
#include <string.h>

static uint32_t interval_ms;
static uint16_t transaction;

void exports_example_device_sensor_configure(uint32_t interval) { interval_ms = interval; }

bool exports_example_device_sensor_read_sensor(exports_example_device_sensor_reading_t *ret, device_string_t *err) {
  uint8_t request[12] = {0, 0, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1};
  device_list_u8_t sent = {request, sizeof request}, reply;
  twinloop_gateway_fieldbus_framing_t framing = {.tag = TWINLOOP_GATEWAY_FIELDBUS_FRAMING_LENGTH_FIELD};
  twinloop_gateway_fieldbus_bus_error_t problem;
  framing.val.length_field = (twinloop_gateway_fieldbus_length_field_t){4, 2, true, 0};
  transaction++;
  request[0] = (uint8_t)(transaction >> 8);
  request[1] = (uint8_t)transaction;
  if (!twinloop_gateway_fieldbus_transact(&sent, &framing, (uint64_t)interval_ms * 500000u, &reply, &problem)) {
    twinloop_gateway_fieldbus_bus_error_free(&problem);
    device_string_dup(err, "no answer");
    return false;
  }
  if (reply.len != 11 || memcmp(reply.ptr, request, 2) != 0) {
    device_list_u8_free(&reply);
    device_string_dup(err, "no answer that fits");
    return false;
  }
  ret->value = (float)(reply.ptr[9] << 8 | reply.ptr[10]);
  ret->timestamp = twinloop_gateway_clock_now() / 1000000u;
  device_string_dup(&ret->unit, "bar");
  device_list_u8_free(&reply);
  return true;
}

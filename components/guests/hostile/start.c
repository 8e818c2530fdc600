/* hostile-start: modbus-driver whose start code never ends, so that it never comes to be configured. */
#include "../modbus-driver/driver.c"

static volatile uint32_t turns;

__attribute__((constructor)) static void loop(void) { for (;;) turns++; }

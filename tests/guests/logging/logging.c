/* A component between another one and the gateway: it exports the log that it imports, and puts "acme: " before each
 * line. Built for tests; see README.md. */
#include "logging.h"
#include <stdlib.h>
#include <string.h>

static const char PREFIX[] = "acme: ";

void exports_twinloop_gateway_log_log(exports_twinloop_gateway_log_level_t level, logging_string_t *message) {
  size_t prefix = sizeof PREFIX - 1;
  logging_string_t line = {malloc(prefix + message->len), prefix + message->len};
  if (!line.ptr) __builtin_trap();
  memcpy(line.ptr, PREFIX, prefix);
  memcpy(line.ptr + prefix, message->ptr, message->len);
  twinloop_gateway_log_log(level, &line);
  logging_string_free(&line);
  logging_string_free(message);
}

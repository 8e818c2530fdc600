/* Modbus frames from the client's side: MBAP and RTU ADUs around a PDU.
 * Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b section 3.1.3 (MBAP); MODBUS over Serial Line V1.02
 * section 2.5.1 (RTU) and appendix B (CRC-16). Never here: what a register means. */
#ifndef TWINLOOP_FRAME_H
#define TWINLOOP_FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PDU_MAX = 253, ADU_MAX = 260, MBAP_SIZE = 7, CRC_SIZE = 2 };

typedef enum { FRAME_OK, FRAME_STALE, FRAME_BAD } frame_verdict_t;

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline void put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

static inline uint16_t crc16(const uint8_t *p, size_t n) {
  uint16_t crc = 0xFFFF;
  while (n--) {
    crc ^= *p++;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (uint16_t)(crc >> 1 ^ 0xA001) : (uint16_t)(crc >> 1);
  }
  return crc;
}

/* Writes the ADU for `pdu` into `adu` (ADU_MAX bytes); returns its length. */
static inline size_t frame_request(uint8_t *adu, bool rtu, uint16_t transaction, uint8_t unit, const uint8_t *pdu, size_t n) {
  if (rtu) {
    adu[0] = unit;
    memcpy(adu + 1, pdu, n);
    uint16_t crc = crc16(adu, n + 1);
    adu[n + 1] = (uint8_t)crc;                     /* the CRC travels low byte first */
    adu[n + 2] = (uint8_t)(crc >> 8);
    return n + 1 + CRC_SIZE;
  }
  put16(adu, transaction);
  put16(adu + 2, 0);
  put16(adu + 4, (uint16_t)(n + 1));
  adu[6] = unit;
  memcpy(adu + MBAP_SIZE, pdu, n);
  return n + MBAP_SIZE;
}

/* Strips the ADU. STALE: an answer to an earlier request of ours (TCP only). `why` names what was wrong. */
static inline frame_verdict_t frame_reply(const uint8_t *adu, size_t n, bool rtu, uint16_t transaction, uint8_t unit,
                                          const uint8_t **pdu, size_t *pdu_len, const char **why) {
  if (rtu) {
    if (n < 1 + 2 + CRC_SIZE || n > 1 + PDU_MAX + CRC_SIZE) return *why = "length", FRAME_BAD;
    uint16_t crc = crc16(adu, n - CRC_SIZE);
    if (adu[n - 2] != (uint8_t)crc || adu[n - 1] != (uint8_t)(crc >> 8)) return *why = "crc", FRAME_BAD;
    if (adu[0] != unit) return *why = "unit", FRAME_BAD;
    *pdu = adu + 1;
    *pdu_len = n - 1 - CRC_SIZE;
    return FRAME_OK;
  }
  if (n < MBAP_SIZE + 2 || n > MBAP_SIZE + PDU_MAX) return *why = "length", FRAME_BAD;
  if (get16(adu + 2) != 0) return *why = "protocol", FRAME_BAD;
  if ((size_t)get16(adu + 4) + 6 != n) return *why = "length", FRAME_BAD;
  uint16_t age = (uint16_t)(transaction - get16(adu));
  if (age) return *why = "transaction", age < 64 ? FRAME_STALE : FRAME_BAD;
  if (adu[6] != unit) return *why = "unit", FRAME_BAD;
  *pdu = adu + MBAP_SIZE;
  *pdu_len = n - MBAP_SIZE;
  return FRAME_OK;
}
#endif

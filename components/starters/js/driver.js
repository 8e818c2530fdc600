// @NAME@: a driver. It reads and writes holding registers of one Modbus device, over TCP or a serial line.
//
// `configure` is called first; then `readSensor` at each poll. There is one instance for each device. An error of the
// contract is thrown as { tag, val }; anything else that is thrown ends the component with a fault.
//
// Sources: MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b; MODBUS over Serial Line V1.02.
import { now } from "twinloop:gateway/clock@0.2.0";
import { receive, reset, transact } from "twinloop:gateway/fieldbus@0.2.0";

const POINTS_MAX = 1000;
const LATE_MAX = 4;
const LATE_AGE_MAX = 63;
const HOUR_NS = 3_600_000_000_000;
const UNITS_NS = { ns: 1, us: 1_000, ms: 1_000_000, s: 1_000_000_000 };
const U64_MAX = 2n ** 64n - 1n;
const I64_MIN = -(2n ** 63n);
const [READ, WRITE_ONE, WRITE_MANY] = [3, 6, 16];

// OPC UA status codes; | 0: QuickJS takes 32-bit numbers as signed ones, StarlingMonkey takes both
const GOOD = 0;
const BAD_COMMUNICATION = 0x80050000 | 0;
const BAD_TIMEOUT = 0x800a0000 | 0;
const BAD_NOT_CONNECTED = 0x808a0000 | 0;
const BAD_DEVICE = 0x808b0000 | 0;
const BAD_SENSOR = 0x808c0000 | 0;
const BAD_NO_DATA = 0x809b0000 | 0;

// Of 64 bits a raw value is a BigInt, else a number; those with `low` and `high` are integers.
const TYPES = {
  u16: { registers: 1, low: 0, high: 65535, get: (view) => view.getUint16(0), set: (view, raw) => view.setUint16(0, raw) },
  i16: { registers: 1, low: -32768, high: 32767, get: (view) => view.getInt16(0), set: (view, raw) => view.setInt16(0, raw) },
  u32: { registers: 2, low: 0, high: 4294967295, get: (view) => view.getUint32(0), set: (view, raw) => view.setUint32(0, raw) },
  i32: { registers: 2, low: -2147483648, high: 2147483647, get: (view) => view.getInt32(0), set: (view, raw) => view.setInt32(0, raw) },
  f32: { registers: 2, get: (view) => view.getFloat32(0), set: (view, raw) => view.setFloat32(0, raw) },
  u64: { registers: 4, low: 0n, high: U64_MAX, get: (view) => view.getBigUint64(0), set: (view, raw) => view.setBigUint64(0, raw) },
  i64: { registers: 4, low: I64_MIN, high: -1n - I64_MIN, get: (view) => view.getBigInt64(0), set: (view, raw) => view.setBigInt64(0, raw) },
};

// StarlingMonkey gives and takes 64-bit numbers as BigInt, exact. QuickJS (where there is no console) does so as plain
// numbers, which are rounded beyond 2**53; and it gives the highest u64 as negative numbers, from -(2**31), exact.
const isQuick = typeof console === "undefined";
const wide = isQuick ? Number : BigInt;

let device = null; // not configured
let transaction = 0;
let polls = 0;
let errors = 0;
let failing = false;

// ---- settings -------------------------------------------------------------------------------------------------------
function trimmed(text) {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

// A number of digits up to `most`, or null.
function integer(text, most) {
  return /^[0-9]+$/.test(text) && Number(text) <= most ? Number(text) : null;
}

// "200 ms" in nanoseconds: above 0 and at most an hour; or null.
function duration(text) {
  const [, digits, unit] = /^([0-9]+)[ \t]*(ns|us|ms|s)$/.exec(text) ?? [];
  const count = unit ? integer(digits, HOUR_NS / UNITS_NS[unit]) : null;
  return count ? count * UNITS_NS[unit] : null;
}

// "holding:40:f32:be": where a value is and how it is coded; or null.
function pointOf({ id, address, scale, offset, sentinels }) {
  const [area, at, name = "u16", order = "be", ...more] = address.split(":");
  const type = Object.hasOwn(TYPES, name) ? TYPES[name] : null;
  if (area !== "holding" || at === undefined || at.length > 5 || !type || order !== "be" || more.length || scale === 0) return null;
  const register = integer(at, 65536 - type.registers);
  const narrow = type.registers < 4; // then numbers hold the bits
  const bits = Array.from(sentinels, (sentinel) => (narrow ? Number(sentinel) : sentinel));
  if (register === null || (narrow && bits.some((one) => one < 0 || one >= 2 ** (16 * type.registers)))) return null;
  const plain = scale === 1 && offset === 0;
  return { id, register, type, scale, offset, sentinels: bits, plain, whole: plain && !narrow };
}

function setOption(found, name, value) {
  if (name === "protocol") {
    found.rtu = value === "modbus-rtu";
    return found.rtu || value === "modbus-tcp";
  }
  found[name] = name === "unit" ? integer(value, 255) : duration(value);
  return found[name] !== null;
}

function deviceOf({ points, options }) {
  if (points.length > POINTS_MAX) throw { tag: "too-many-points", val: POINTS_MAX };
  const found = { rtu: false, unit: 1, timeout: 1_000_000_000, points: [] };
  for (const [name, value] of options) {
    if (!["protocol", "unit", "timeout"].includes(name)) throw { tag: "unknown-option", val: name };
    if (!setOption(found, name, trimmed(value))) throw { tag: "bad-option", val: name };
  }
  for (const config of points) {
    const point = pointOf(config);
    if (point === null) throw { tag: "bad-address", val: config.address };
    found.points.push(point);
  }
  return found;
}

// ---- one exchange ---------------------------------------------------------------------------------------------------
function malformed(what) {
  return { tag: "malformed", val: what };
}

function viewOf(bytes, from = 0) {
  return new DataView(bytes.buffer, bytes.byteOffset + from, bytes.byteLength - from);
}

function crc16(bytes) {
  let crc = 0xffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return [crc & 0xff, crc >> 8]; // it travels low byte first
}

function two(value) {
  return [value >> 8, value & 0xff];
}

// The PDU in a reply on a serial line.
function unwrappedRtu(adu) {
  if (adu.length < 5 || adu.length > 256) throw malformed("length");
  const [low, high] = crc16(adu.subarray(0, -2));
  if (adu.at(-2) !== low || adu.at(-1) !== high) throw malformed("crc");
  if (adu[0] !== device.unit) throw malformed("unit");
  return adu.slice(1, -2);
}

// The PDU in a reply; null for a late reply to an earlier request.
function unwrappedTcp(adu) {
  if (adu.length < 9 || adu.length > 260) throw malformed("length");
  const head = viewOf(adu);
  if (head.getUint16(2) !== 0) throw malformed("protocol");
  if (head.getUint16(4) + 6 !== adu.length) throw malformed("length");
  const age = (transaction - head.getUint16(0)) & 0xffff;
  if (age >= 1 && age <= LATE_AGE_MAX) return null;
  if (age !== 0) throw malformed("transaction");
  if (adu[6] !== device.unit) throw malformed("unit");
  return adu.slice(7);
}

// One use of the bus; its error is handed on as the driver's.
function onBus(use) {
  try {
    return Uint8Array.from(use(wide(device.timeout)));
  } catch (error) {
    throw { tag: "bus", val: error.payload ?? error };
  }
}

// A request's PDU to its reply's.
function answered(pdu) {
  if (device.rtu) {
    const body = [device.unit, ...pdu];
    const request = Uint8Array.from([...body, ...crc16(body)]);
    return unwrappedRtu(onBus((timeout) => transact(request, { tag: "silence" }, timeout)));
  }
  const framing = { tag: "length-field", val: { offset: 4, size: 2, bigEndian: true, adjust: 0 } };
  const request = Uint8Array.from([...two(transaction), 0, 0, ...two(pdu.length + 1), device.unit, ...pdu]);
  let adu = onBus((timeout) => transact(request, framing, timeout));
  for (let late = 0; ; late++) {
    const reply = unwrappedTcp(adu);
    if (reply !== null) return reply;
    if (late === LATE_MAX) throw malformed("transaction");
    adu = onBus((timeout) => receive(framing, timeout));
  }
}

function exchange(pdu) {
  transaction = (transaction + 1) & 0xffff;
  const reply = answered(pdu);
  if (reply.length === 2 && reply[0] === (pdu[0] | 0x80)) throw { tag: "rejected", val: reply[1] };
  if (reply[0] !== pdu[0]) throw malformed("function");
  return reply;
}

// The point's registers.
function read({ register, type }) {
  const reply = exchange([READ, ...two(register), ...two(type.registers)]);
  const size = 2 * type.registers;
  if (reply.length !== 2 + size || reply[1] !== size) throw malformed("byte count");
  return viewOf(reply, 2);
}

// The registers' bits, as a sentinel of the same bits is given.
function bitsOf(registers) {
  if (registers.byteLength === 2) return registers.getUint16(0);
  if (registers.byteLength === 4) return registers.getUint32(0);
  const bits = registers.getBigUint64(0);
  return isQuick && U64_MAX - bits < 2n ** 31n ? Number(BigInt.asIntN(64, bits)) : wide(bits);
}

// What a point's registers say; the value of a whole point is a BigInt.
function shown({ type, scale, offset, sentinels, whole }, registers) {
  const raw = type.get(registers);
  const value = whole ? raw : Number(raw) * scale + offset;
  if (sentinels.length > 0 && sentinels.includes(bitsOf(registers))) return { value: 0, status: BAD_NO_DATA };
  if (!whole && !Number.isFinite(value)) return { value: 0, status: BAD_SENSOR };
  return { value, status: GOOD };
}

// The nearest whole number, halves to even.
function rounded(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

// The registers of a raw value, a number; null when the type can't hold it.
function encoded(type, raw) {
  const value = type.low === undefined ? Math.fround(raw) : rounded(raw);
  return Number.isFinite(value) ? placed(type, value) : null;
}

// The registers of a raw value that needs no rounding, a number or a BigInt; null when the type can't hold it.
function placed(type, value) {
  if (value < type.low || value > type.high) return null;
  const bytes = new Uint8Array(2 * type.registers);
  type.set(viewOf(bytes), type.registers < 4 ? Number(value) : BigInt(value));
  return bytes;
}

// The registers of what is to be written; null when the point can't hold it.
function registersOf({ type, scale, offset, plain }, { tag, val }) {
  if (tag === "text") return null;
  if (tag === "real") return encoded(type, (val - offset) / scale);
  const { tag: sign, val: integer } = val;
  // QuickJS may give an unsigned number as a negative one, StarlingMonkey a signed one as its bits.
  const raw = (sign === "unsigned" ? BigInt.asUintN : BigInt.asIntN)(64, BigInt(integer));
  if (!plain || type.low === undefined) return encoded(type, (Number(raw) - offset) / scale);
  const isRounded = isQuick && !Number.isSafeInteger(integer); // perhaps
  return isRounded ? null : placed(type, raw);
}

function write({ register, type }, registers) {
  const many = [WRITE_MANY, ...two(register), ...two(type.registers), 2 * type.registers];
  const head = type.registers === 1 ? [WRITE_ONE, ...two(register)] : many;
  const pdu = [...head, ...registers];
  const reply = exchange(pdu);
  if (reply.length !== 5 || reply.some((byte, at) => byte !== pdu[at])) throw malformed("echo");
}

// What still comes after a failure can't be trusted: the connection is dropped.
function dropLineAfter(error) {
  const timeout = error.tag === "bus" && error.val.tag === "timeout";
  if (error.tag === "malformed" || (timeout && !device.rtu)) reset();
}

function statusOf(error) {
  if (error.tag === "rejected") return BAD_DEVICE;
  if (error.tag !== "bus") return BAD_COMMUNICATION;
  return error.val.tag === "timeout" ? BAD_TIMEOUT : BAD_NOT_CONNECTED;
}

// ---- what the gateway calls -----------------------------------------------------------------------------------------
function requireConfigured() {
  if (device === null) throw { tag: "not-configured" };
}

export const driver = {
  configure(settings) {
    device = null;
    failing = false;
    device = deviceOf(settings);
  },

  readSensor() {
    requireConfigured();
    polls++;
    let first = null;
    let silent = null; // a silent device is asked once a poll, not once a point
    let good = 0;
    const readings = [];
    const integers = [];
    for (const point of device.points) {
      let value = 0;
      let status;
      let error = silent;
      if (silent === null) {
        try {
          ({ value, status } = shown(point, read(point)));
          good++;
        } catch (failure) {
          if (failure.tag === undefined) throw failure;
          error = failure;
          dropLineAfter(error);
          if (error.tag === "bus") silent = error;
        }
      }
      first ??= error;
      const reading = { point: point.id, value, status: error ? statusOf(error) : status, measured: now() };
      if (!point.whole) readings.push(reading);
      else integers.push({ ...reading, value: { tag: point.type.low < 0 ? "signed" : "unsigned", val: wide(value) } });
    }
    failing = first !== null;
    if (failing) errors++;
    if (failing && good === 0) throw first;
    return { readings, texts: [], integers };
  },

  writeRegister(id, value) {
    requireConfigured();
    const point = device.points.find((one) => one.id === id);
    if (point === undefined) throw { tag: "no-such-point", val: id };
    const registers = registersOf(point, value);
    if (registers === null) throw { tag: "other", val: "value does not fit the register's type" };
    try {
      write(point, registers);
    } catch (error) {
      if (error.tag !== undefined) {
        dropLineAfter(error);
        errors++;
      }
      throw error;
    }
  },

  getStatus() {
    const [health, detail] =
      device === null ? ["failed", "not configured"] : failing ? ["degraded", "last poll failed"] : ["ok", ""];
    return { health, polls: wide(polls), errors: wide(errors), detail };
  },
};

// @NAME@: a transform. Values are held within their point's limits and multiplied by the option `factor`.
//
// `configure` is called first; then `transformReadings` for each batch. One instance serves a whole gateway. An error of
// the contract is thrown as { tag, val }; anything else that is thrown ends the component with a fault.

const UNITS_EXCEEDED = 0x40940000; // OPC UA: UncertainEngineeringUnitsExceeded
const NUMBER = /^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$/;
const LONGEST = 39;

let settings = null; // not configured

// StarlingMonkey gives a status as 0 to 2**32 - 1, QuickJS as a signed number: the highest bit says Bad.
function isBad(status) {
  return status >>> 31 === 1;
}

function trimmed(text) {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

// A finite decimal number, or null.
function number(text) {
  text = trimmed(text);
  const value = text.length <= LONGEST && NUMBER.test(text) ? Number(text) : NaN;
  return Number.isFinite(value) ? value : null;
}

function pointOf({ point }) {
  const found = settings.points.get(point);
  if (found === undefined) throw { tag: "bad-input", val: "unknown point" };
  return found;
}

// The limit that the value is beyond, or null.
function passed(value, { low, high }) {
  if (low != null && value < low) return low;
  return high != null && value > high ? high : null;
}

// The double that is nearest to an integer. StarlingMonkey gives its `val` as a BigInt, exact; QuickJS as a number, which
// is rounded beyond 2**53, and negative where it means one of the highest u64.
function nearest({ tag, val }) {
  const value = Number(val);
  return tag === "unsigned" && value < 0 ? 2 ** 64 + value : value;
}

export const transform = {
  configure({ points, options }) {
    settings = null;
    let factor = 1;
    for (const [name, value] of options) {
      if (name !== "factor") throw { tag: "unknown-option", val: name };
      factor = number(value);
      if (factor === null) throw { tag: "bad-option", val: name };
    }
    settings = { factor, points: new Map(points.map((point) => [point.id, point])) };
  },

  transformReadings(source, batch) {
    if (settings === null) throw { tag: "not-configured" };
    const { factor } = settings;
    const { readings, texts } = batch;
    for (const reading of readings) {
      const point = pointOf(reading);
      if (isBad(reading.status)) continue;
      const limit = passed(reading.value, point);
      if (limit !== null) {
        reading.value = limit;
        reading.status = UNITS_EXCEEDED;
      }
      reading.value *= factor;
    }
    const integers = batch.integers.filter((integer) => {
      const point = pointOf(integer);
      const value = nearest(integer.value);
      if (typeof integer.value.val === "number") integer.value.val = value; // QuickJS takes no negative u64
      if (isBad(integer.status)) return true;
      if (passed(value, point) !== null) integer.status = UNITS_EXCEEDED;
      if (factor === 1) return true;
      readings.push({ point: integer.point, value: value * factor, status: integer.status, measured: integer.measured });
      return false;
    });
    return { readings, texts, integers };
  },
};

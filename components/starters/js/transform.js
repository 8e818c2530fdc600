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
    for (const reading of batch.readings) {
      const point = settings.points.get(reading.point);
      if (point === undefined) throw { tag: "bad-input", val: "unknown point" };
      if (isBad(reading.status)) continue;
      if (point.low != null && reading.value < point.low) {
        reading.value = point.low;
        reading.status = UNITS_EXCEEDED;
      } else if (point.high != null && reading.value > point.high) {
        reading.value = point.high;
        reading.status = UNITS_EXCEEDED;
      }
      reading.value *= settings.factor;
    }
    return batch;
  },
};

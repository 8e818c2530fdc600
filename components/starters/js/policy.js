// @NAME@: a routing policy. Batches go out while the uplink is up, and are kept while it isn't; a point above its high
// limit is an alert.
//
// `configure` is called first; then `decide` for each batch. One instance serves a whole gateway. An error of the
// contract is thrown as { tag, val }; anything else that is thrown ends the component with a fault.

const LANE = 1;

let highOf = null; // point -> limit; not configured

// StarlingMonkey gives a status as 0 to 2**32 - 1, QuickJS as a signed number: the highest bit says Bad.
function isBad(status) {
  return status >>> 31 === 1;
}

// The double that is nearest to an integer. StarlingMonkey gives its `val` as a BigInt, exact; QuickJS as a number, which
// is rounded beyond 2**53, and negative where it means one of the highest u64.
function nearest({ tag, val }) {
  const value = Number(val);
  return tag === "unsigned" && value < 0 ? 2 ** 64 + value : value;
}

function isHot({ point, status }, value) {
  return !isBad(status) && Number.isFinite(value) && value > highOf.get(point);
}

export const policy = {
  configure({ points, options }) {
    highOf = null;
    for (const [name] of options) throw { tag: "unknown-option", val: name };
    highOf = new Map(points.filter((point) => point.high != null).map((point) => [point.id, point.high]));
  },

  decide(source, batch, uplink) {
    if (highOf === null) throw { tag: "not-configured" };
    const hot = [
      ...batch.readings.filter((reading) => isHot(reading, reading.value)),
      ...batch.integers.filter((integer) => isHot(integer, nearest(integer.value))),
    ];
    const alerts = hot.map(({ point }) => ({ point, verdict: { tag: "alert", val: "above its high limit" } }));
    return { verdict: { tag: uplink.up ? "forward" : "cache", val: LANE }, except: alerts };
  },
};

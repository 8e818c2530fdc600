// js-wasi: a transform that does to WASI, through what StarlingMonkey offers, what its options say.
//
// `do`: names parted by spaces, done in each call in their order; what happened stands in a text reading in place of the
// batch's first reading. `when`: call, or configure. `text`: what is written. JavaScript has no files here, no arguments
// and no environment. "sleep" waits by a promise, which a call of the contract can't: it tells what comes of that.

const OPTIONS = { do: "", when: "call", text: "hello", milliseconds: "2500" };
let options = null;
let told = "";

function deeper(count) {
  return deeper(count + 1) + 1;
}

const CAUGHT = {
  stdout: () => (console.log(options.text), "ok"),
  stderr: () => (console.error(options.text), "ok"),
  random: () => {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    return `${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")} ${Math.random()}`;
  },
  clocks: () => `wall ${Date.now()} monotonic ${performance.now()}`,
  sleep: () => {
    let over = false;
    setTimeout(() => (over = true), Number(options.milliseconds));
    return over ? "over" : "not over when the call returns";
  },
  spin: () => {
    const until = performance.now() + Number(options.milliseconds);
    let turns = 0;
    while (performance.now() < until) turns++;
    return turns > 0 ? "ok" : "no turn";
  },
};
// what is meant to end the component
const ENDS = {
  throw: () => {
    throw new Error("as asked");
  },
  recurse: () => String(deeper(0)),
  loop: () => {
    for (;;);
  },
  grow: () => {
    const kept = [];
    for (;;) kept.push(new Uint8Array(1 << 20).fill(1));
  },
};

function act() {
  const said = [];
  for (const name of options.do.split(" ").filter(Boolean)) {
    if (ENDS[name]) ENDS[name]();
    try {
      said.push(`${name} ${CAUGHT[name]()}`);
    } catch (error) {
      said.push(`${name} ${error}`);
    }
  }
  told = said.join("; ");
}

export const transform = {
  configure(settings) {
    options = null;
    const taken = { ...OPTIONS };
    for (const [name, value] of settings.options) {
      if (!Object.hasOwn(taken, name)) throw { tag: "unknown-option", val: name };
      taken[name] = value;
    }
    const known = (name) => Object.hasOwn(CAUGHT, name) || Object.hasOwn(ENDS, name);
    if (!taken.do.split(" ").filter(Boolean).every(known)) throw { tag: "bad-option", val: "do" };
    options = taken;
    if (options.when === "configure") act();
  },

  transformReadings(source, batch) {
    if (options === null) throw { tag: "not-configured" };
    if (options.when === "call") act();
    const [first, ...readings] = batch.readings;
    const text = { point: first.point, value: told, status: 0, measured: first.measured };
    return { ...batch, readings, texts: [...batch.texts, text] };
  },
};

// node's V8: node runner.mjs MODULE. What it is asked and answers: benchmarks/runtimes/runners.py.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const bytes = readFileSync(process.argv[2]);
const compile = () => new WebAssembly.Module(bytes);
const module = compile();
const instantiate = () => new WebAssembly.Instance(module, {});
const instance = instantiate();

/** CPU time of this process with all its threads: V8 compiles in threads of its own. */
const cpuNs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};

const sizes = () => {
  globalThis.gc();
  const [addresses, resident] = readFileSync("/proc/self/statm", "utf8").split(" ").map(Number);
  return [addresses * 4096, resident * 4096]; // x86-64 and most of ARM64 have such pages
};

const answer = (line) => {
  const words = line.trim().split(/\s+/);
  const count = Number(words.at(-1));
  const began = cpuNs();
  let word = 0;
  switch (words[0]) {
    case "version":
      return `${process.version} (V8 ${process.versions.v8})`;
    case "compile":
      for (let i = 0; i < count; i++) compile();
      break;
    case "instantiate":
      for (let i = 0; i < count; i++) instantiate();
      break;
    case "calls": {
      const { empty } = instance.exports;
      for (let i = 0; i < count; i++) word = empty(7);
      break;
    }
    case "kernel":
      word = instance.exports[words[1]](count);
      break;
    case "memory": {
      const before = sizes();
      const kept = [];
      for (let i = 0; i < count; i++) {
        const one = instantiate();
        one.exports[words[1]](1);
        kept.push(one);
      }
      const after = sizes();
      if (kept.length !== count) throw new Error("instances were lost");
      return `${after[0] - before[0]} ${after[1] - before[1]}`;
    }
    default:
      throw new Error(`unknown question ${line}`);
  }
  return `${cpuNs() - began} ${word >>> 0}`;
};

for await (const line of createInterface({ input: process.stdin })) console.log(answer(line));

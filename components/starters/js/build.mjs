// node build.mjs ENGINE SOURCE WORLD.wit OUT: builds a component. ENGINE: starling (componentize-js), qjs or qjs-async.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const [engine, source, world, out] = process.argv.slice(2);

// The component's own world, and the contract as a package within the same text: both tools take that.
const contract = readdirSync("wit")
  .filter((name) => name.endsWith(".wit"))
  .sort()
  .map((name) => readFileSync(`wit/${name}`, "utf8").replace(/^package .*;/m, ""));
const wit = `${readFileSync(world, "utf8")}\npackage twinloop:gateway@0.2.0 {\n${contract.join("\n")}\n}\n`;

if (engine === "starling") {
  const { componentize } = await import("@bytecodealliance/componentize-js");
  const { component } = await componentize(readFileSync(source, "utf8"), wit, { disableFeatures: ["http", "fetch-event"] });
  writeFileSync(out, component);
} else {
  writeFileSync("world.tmp.wit", wit);
  try {
    const tool = "node_modules/.bin/componentize-qjs";
    const sync = engine === "qjs" ? ["--sync"] : []; // its default, async, costs more a call
    execFileSync(tool, [...sync, "--wit", "world.tmp.wit", "--js", source, "--output", out], { stdio: "inherit" });
  } finally {
    rmSync("world.tmp.wit");
  }
}

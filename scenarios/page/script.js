// Reads values off the pictures: by pointer, by arrow keys, or as a table. Nothing is drawn here but a cursor, nothing is fetched.
"use strict";
const page = JSON.parse(document.getElementById("data").textContent);

function duration(ns) {
  for (const [unit, scale] of [["h", 36e11], ["min", 6e10], ["s", 1e9], ["ms", 1e6], ["us", 1e3]])
    if (Math.abs(ns) >= scale * (scale > 1e9 ? 2 : 1)) return `${+(ns / scale).toPrecision(4)} ${unit}`;
  return ns ? `${ns} ns` : "0 s";
}

function shown(value, unit) {
  if (value === null) return "nothing";
  if (value === "never") return "never";
  if (unit === "ns") return duration(value);
  if (unit === "ratio") return `${+(100 * value).toPrecision(4)} %`;
  if (unit !== "bytes") return `${value}`;
  for (const [word, scale] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]])
    if (value >= scale) return `${+(value / scale).toPrecision(4)} ${word}`;
  return `${value} B`;
}

for (const figure of document.querySelectorAll("figure.chart")) {
  const ranks = figure.id === "ranks";
  const chart = ranks ? page.ranks : page.charts[figure.id];
  const [svg, output] = [figure.querySelector("svg"), figure.querySelector("output")];
  const [places, cursor] = [svg.dataset.x.split(",").map(Number), svg.querySelector(".cursor")];
  const head = ranks ? "percentile" : chart.head ?? "at";
  const where = (i) => ranks ? `p${chart.permille[i] / 10}` : chart.at ? chart.at[i] : `at ${duration(chart.at_ns[i])}`;
  const unit = ranks ? "ns" : chart.unit;
  const names = chart.at ? ["measured", ...(chart.low ? ["p5", "p95"] : []), "verdict"] : chart.lines.map((line) => line.name);
  const cells = (i) => chart.at
    ? [...[chart.values, chart.low, chart.high].filter(Boolean).map((values) => shown(values[i], unit)), chart.verdicts[i]]
    : chart.lines.map((line) => shown(line.values[i], unit));
  let at = -1;
  const show = (i) => {
    at = Math.max(0, Math.min(places.length - 1, i));
    cursor.setAttribute("x1", places[at]);
    cursor.setAttribute("x2", places[at]);
    output.textContent = `${chart.at ? `${head} ` : ""}${where(at)}: ` + cells(at).map((text, i) => `${names[i]} ${text}`).join(", ");
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    let nearest = 0;
    places.forEach((place, i) => { if (Math.abs(place - x) < Math.abs(places[nearest] - x)) nearest = i; });
    show(nearest);
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(at + step);
  });
  const details = document.createElement("details");
  details.append(Object.assign(document.createElement("summary"), { textContent: "Values as a table" }));
  details.addEventListener("toggle", () => {
    if (details.querySelector("table")) return;
    const table = document.createElement("table");
    const row = (into, tag, texts) => {
      const tr = into.insertRow();
      texts.forEach((text, i) => {
        const cell = document.createElement(tag === "th" || i === 0 ? "th" : "td");
        cell.scope = tag === "th" ? "col" : "row";
        cell.textContent = text;
        tr.append(cell);
      });
    };
    row(table.createTHead(), "th", [head, ...names]);
    const body = table.createTBody();
    places.forEach((_, i) => row(body, "td", [where(i), ...cells(i)]));
    const frame = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
    frame.append(table);
    details.append(frame);
  });
  figure.append(details);
}

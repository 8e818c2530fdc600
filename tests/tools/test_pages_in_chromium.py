"""Each kind of report page in a real browser: no error in its console, nothing wider than a phone, pictures
that are there, labels that don't lie on one another.

A frame as wide as a phone holds the page; the document around it measures, and writes what it found where
``--dump-dom`` shows it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.page.evidence.made import entry, failed
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.summary import Asked, summary
from twinloop.scenarios.page.evidence.seeds import seeds_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium: apt install chromium")
PHONE, DESK = 390, 1280
KINDS = ("run", "seeds", "seeds-mixed", "sweep", "heat", "size", "diff", "devices", "trouble")
MEASURE = """<!DOCTYPE html><body><iframe id="page" src="PAGE" style="border:0;width:WIDEpx;height:900px"></iframe>
<pre id="found"></pre><script>
addEventListener("load", () => {
  const page = document.getElementById("page").contentDocument, found = {};
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  setTimeout(() => {
    found.wide = page.documentElement.scrollWidth;
    found.ground = getComputedStyle(page.body).backgroundColor;
    const pictures = [...page.querySelectorAll('svg[role="img"]')];
    const size = (one) => one.getBoundingClientRect().width * one.getBoundingClientRect().height;
    found.pictures = pictures.length;
    found.empty = pictures.filter((one) => !size(one) || ![...one.children].some((part) => size(part))).length;
    const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
    found.overlaps = pictures.flatMap((one) => {
      const texts = [...one.querySelectorAll("text:not(.letter):not(.limit-text)")];
      const boxes = texts.map((text) => text.getBoundingClientRect());
      return texts.flatMap((a, i) => texts.slice(i + 1).filter((_, j) => overlap(boxes[i], boxes[i + 1 + j])).map((b) => `${a.textContent}|${b.textContent}`));
    });
    found.cut = pictures.flatMap((one) => [...one.querySelectorAll("text")].filter((text) => {
      const [a, b] = [text.getBoundingClientRect(), one.getBoundingClientRect()];
      return a.left < b.left - 2 || a.right > b.right + 2;
    }).map((text) => text.textContent));
    const figures = [...page.querySelectorAll("figure.chart")];
    found.figures = figures.length;
    found.read = figures.filter((one) => {
      one.querySelector("svg").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
      return /\\w+: .+ /.test(one.querySelector("output").textContent) && one.querySelector("details table td");
    }).length;
    document.getElementById("found").textContent = JSON.stringify(found);
  }, 500);
});
</script>"""
PLANT = """\
format: 2
name: seen
duration: 10 s
grace: 5 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 10, poll: 1 s, link: plant, gateway: gw, driver: reader}
links:
  plant: {delay: 1 ms, loss: 1 %}
  cloud: {delay: 10 ms, jitter: 4 ms}
components:
  reader: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], with: {timeout: 150 ms, retries: "0"}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
timeline:
  - {at: 4 s, cut: cloud, for: 2 s}
expect:
- count(samples.missed) <= 10
- p95(latency.gateway) <= 20 ms
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    file = folder / "seen.yaml"
    file.write_text(PLANT, encoding="utf-8")

    def made(kind: str, *arguments: str) -> None:
        assert main([*arguments, "--html", str(folder / f"{kind}.html")]) in (0, 1)

    many = ["run", str(file), "--seeds", "1..8"]
    made("run", "run", str(file))
    made(
        "devices", "run", str(file), "--set", "fleets.presses.count=5000", "--set", "fleets.presses.poll=5 s"
    )
    made("trouble", "run", "chaos-and-heal")
    made("seeds", *many, "--json", str(folder / "a.json"))
    main([*many, "--set", "links.plant.delay=3 ms", "--json", str(folder / "b.json")])
    made("diff", "diff", str(folder / "a.json"), str(folder / "b.json"))
    values = ", ".join(f"{number} ms" for number in range(100, 141))
    made("sweep", "sweep", str(file), "--set", "duration=2 s", "--vary", f"links.plant.delay=[{values}]")
    boards = "gateways.gw.board=[raspberry-pi-4, raspberry-pi-3, beaglebone-black]"
    made("heat", "sweep", str(file), "--vary", boards, "--vary", "fleets.presses.count=[1, 10, 20]")
    made(
        "size",
        "size",
        str(file),
        "--vary",
        "fleets.presses.count",
        "--from",
        "1",
        "--to",
        "40",
        "--while",
        "count(samples.missed) <= 20",
    )
    mixed = [
        failed(seed, 130 if seed % 2 else 71)
        if seed % 31 == 0
        else entry(seed, None if seed % 17 == 0 else seed % 13, "never" if seed % 23 == 0 else 3_000_000)
        for seed in range(1, 201)
    ]
    (folder / "seeds-mixed.html").write_text(
        seeds_page(summary(mixed, Asked("1..200")), mixed), encoding="utf-8"
    )
    return folder


def seen(page: Path, wide: int, dark: bool, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """What was measured, and what the console had to say."""
    around = folder / "around.html"
    around.write_text(MEASURE.replace("PAGE", page.name).replace("WIDE", str(wide)), encoding="utf-8")
    done = subprocess.run(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files",
            f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}", f"--window-size={DESK},1000",
            "--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom", around.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    told = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    measured: dict[str, Any] = json.loads(
        found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    return measured, told


@pytest.mark.parametrize(("wide", "dark"), [(PHONE, True), (DESK, False)], ids=["phone-dark", "desk-light"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens(pages: Path, kind: str, wide: int, dark: bool) -> None:
    found, told = seen(pages / f"{kind}.html", wide, dark, pages)
    assert told == []
    assert found["wide"] <= wide
    assert found["ground"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert found["empty"] == 0
    assert found["overlaps"] == []
    assert found["cut"] == []
    assert found["read"] == found["figures"]
    assert found["figures"] >= (0 if kind in ("heat", "diff") else 1)
    assert found["pictures"] >= (0 if kind == "heat" else 1)


def test_an_error_would_be_seen(pages: Path, tmp_path: Path) -> None:
    """Of the measurement itself: a broken script, a wide line, an address that the page's policy forbids."""
    text = (pages / "seeds.html").read_text(encoding="utf-8")
    broken = text.replace(
        "<main>", f'<main><p><b class="n">{"x" * 600}</b></p><img src="https://127.0.0.1/x.png">'
    )
    broken = broken.replace('"use strict";', '"use strict"; missing();')
    (pages / "broken.html").write_text(broken, encoding="utf-8")
    found, told = seen(pages / "broken.html", PHONE, False, pages)
    assert found["wide"] > PHONE
    assert found["read"] == 0
    assert any("Content Security Policy" in line for line in told)

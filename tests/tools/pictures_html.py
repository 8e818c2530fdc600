"""Pictures of report pages for the documentation: ``make pictures-html`` writes docs/pictures/page-*.png.

Belongs here: which pages, and how large. The scenarios are those that the pages of docs/ show. It needs
Chromium (``apt install chromium``).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twinloop.scenarios.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"
SIZE_MAX = 150_000
COMMANDS = {
    "run": ["run", "quickstart"],
    "seeds": ["run", "luck.yaml", "--seeds", "1..40"],
    "sweep": [
        "sweep", "luck.yaml", "--vary", "links.plant.loss=[0 %, 0.5 %, 1 %, 2 %, 3 %]", "--seeds", "1..10",
    ],
    "heat": [
        "sweep", "luck.yaml", "--vary", "links.plant.loss=[0 %, 1 %, 2 %, 4 %]", "--vary",
        "fleets.presses.poll=[500 ms, 1 s, 2 s]", "--seeds", "1..5",
    ],
    "size": ["size", "line.yaml", "--vary", "fleets.meters.poll", "--from", "4 s", "--to", "1 s", "--step", "100 ms"],
    "diff": ["diff", "main.json", "candidate.json"],
}  # fmt: skip
"""page -> the command that writes it; --html is added"""
HIGH = {"run": 900, "seeds": 1000, "sweep": 1060, "heat": 640, "size": 760, "diff": 880}
AT = {"run": "latency", "diff": "scenario-0"}
"""the section that a picture begins with, where that isn't the head of the page"""
WIDE = 980


def scenarios(folder: Path) -> None:
    """Those of the documentation, as files; and both sides of its comparison."""
    for page in ("many-runs.md", "diff.md"):
        text = (DOCS / page).read_text(encoding="utf-8")
        for name, scenario in re.findall(
            r"^```yaml\n# (\S+): \S+\n(.*?)^```", text, re.MULTILINE | re.DOTALL
        ):
            (folder / name).write_text(scenario, encoding="utf-8")
    gate = ["run", "gate.yaml", "--seeds", "1..8"]
    main([*gate, "--json", "main.json"])
    main([*gate, "--set", "links.plant.delay=300 us", "--json", "candidate.json"])


AROUND = """<!DOCTYPE html><body style="margin:0;overflow:hidden">
<iframe id="page" src="NAME.html" style="border:0;width:100%;height:20000px"></iframe><script>
addEventListener("load", () => {
  const frame = document.getElementById("page"), section = frame.contentDocument.getElementById("AT");
  frame.style.marginTop = section ? `${-section.getBoundingClientRect().top}px` : "0";
});
</script>"""
"""a page in a frame that is moved up to a section"""


def shoot(browser: str, name: str, folder: Path) -> None:
    """A picture of a page, from its head or a section on."""
    target = DOCS / "pictures" / f"page-{name}.png"
    around = folder / f"around-{name}.html"
    around.write_text(AROUND.replace("NAME", name).replace("AT", AT.get(name, "none")), encoding="utf-8")
    subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--allow-file-access-from-files",
            "--blink-settings=preferredColorScheme=1", "--virtual-time-budget=2000", f"--screenshot={target}",
            f"--window-size={WIDE},{HIGH[name]}", around.as_uri(),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    size = target.stat().st_size
    print(f"{target.name}: {size // 1000} kB", file=sys.stderr)
    if size > SIZE_MAX:
        raise SystemExit(f"{target} is larger than {SIZE_MAX} bytes")


def write() -> None:
    """All of them."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("there is no Chromium: apt install chromium")
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(sys.stderr):
        folder = Path(name)
        os.chdir(folder)
        scenarios(folder)
        for page, command in COMMANDS.items():
            main([*command, "--html", f"{page}.html"])
            shoot(browser, page, folder)


if __name__ == "__main__":
    write()

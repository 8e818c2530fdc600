"""Captures of a real terminal: each screen draws the same today without one, no head is cut, figures are
those of ``--json`` at that instant."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input

from tests.tui.captures import FOLDER, SIZES, WAY, path
from tests.tui.scene import SCENARIO, inline, settled, text_of, until, with_app
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.tui.screens import device, gateway, plant
from twinloop.tui.screens.fleet_table import HEADS as FLEET
from twinloop.tui.screens.fleet_table import NARROW, WIDTHS, FleetTable
from twinloop.tui.terminal.app import Twinloop

NAMES = [text for what, text in WAY if what == "show"]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_each_screen_is_what_was_captured(host: Host, file: Path, size: tuple[int, int]) -> None:
    """``python -m tests.tui.captures`` makes them anew, when a change is meant."""
    shown: dict[str, str] = {}

    async def body(app: Twinloop, pilot: Any) -> None:
        for what, text in WAY:
            if what == "show":
                await settled(pilot, app)
                await until(
                    pilot,
                    lambda: (
                        app.shown != "fleet"
                        or (
                            app.view is not None
                            and [one.index for one in app.view.rows]
                            == list(app.base.query_one(FleetTable).seen())
                        )
                    ),
                )
                app.redraw()
                await pilot.pause()
                shown[text] = text_of(app)
            elif what == "wait":
                await until(pilot, lambda text=text: text in text_of(app).partition("\n")[0])  # type: ignore[misc]
            elif what == "type":
                app.base.query_one("#ask", Input).value = text
            else:
                await pilot.press(text)

    with_app(file, body, size, inline(host))
    for name in NAMES:
        assert shown[name] == path(name, size).read_text(encoding="utf-8"), (
            f"{name}: python -m tests.tui.captures"
        )


def test_there_is_one_of_each_and_no_other() -> None:
    assert sorted(one.name for one in FOLDER.iterdir()) == sorted(
        path(name, size).name for name in NAMES for size in SIZES
    )


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_no_head_is_cut(size: tuple[int, int]) -> None:
    """Of a table every column's name is there in full, in its order; nothing is wider or higher than the
    window."""
    lately = ("lately",) if size[0] >= 200 else ()
    plant_heads = (*plant.HEADS[:2], *lately, *plant.HEADS[2:])
    heads = {
        "overview": plant_heads,
        "outage": plant_heads,
        "fleet": tuple(
            name
            for name, cells in zip(FLEET, NARROW if size[0] < 100 else WIDTHS, strict=True)
            if name and cells
        ),
        "device": device.HEADS,
        "gateway": (
            *(name.strip() for name, _ in gateway.TABLE),
            *(("share of cpu time",) if size[0] >= 120 else ()),
        ),
        "latency": ("stage", "p50", "p95", "p99", "0 to 50 ms"),
    }
    for name in NAMES:
        lines = path(name, size).read_text(encoding="utf-8").splitlines()
        assert len(lines) == size[1], name
        assert max(len(line) for line in lines) <= size[0], name
        assert "…" not in lines[0] + lines[1] + lines[-1], name
        if name in heads:
            pattern = r"[▾▴]?\s+".join(re.escape(head) for head in heads[name])
            assert any(re.search(rf"│\s*{pattern}\s*│", line) for line in lines), (name, heads[name])
    assert path("outage", size).read_text(encoding="utf-8").count("cloud ✗") == 1, (
        "the gateway's way to the cloud is cut"
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("json")
    (folder / "seen.yaml").write_text(SCENARIO, encoding="utf-8")
    assert main(["run", str(folder / "seen.yaml"), "--json", str(folder / "r.json")]) == 0
    found: dict[str, Any] = json.loads((folder / "r.json").read_text(encoding="utf-8"))["results"][0]
    return found


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_figures_are_those_of_the_json_at_that_instant(result: dict[str, Any], size: tuple[int, int]) -> None:
    """Counts, percentiles, verdicts, and who spent what: of the run's end, as the captured screen and
    ``twinloop run --json`` have them."""
    from twinloop.scenarios.text.units import show_duration
    from twinloop.tui.drawing.text import count_text

    text = path("overview", size).read_text(encoding="utf-8")
    ledger, latency = result["ledger"], result["latency"]
    assert f"{ledger['due']} due  {ledger['open']} open  backlog 0  {ledger['delivered']} delivered" in text
    assert result["verdict"] in text.splitlines()[0]
    for name in ("gateway", "cloud"):
        found = re.search(rf"{name} (\S+ \S+) p50 .*?(\S+ \S+) p99", text)
        assert found is not None
        assert found.groups() == tuple(show_duration(latency[name][rank]) for rank in ("p50_ns", "p99_ns"))
    for one in result["expectations"]:
        first, *rest = one["expression"].split()
        assert f"✓ {first}" in text, one
        assert all(word in text for word in rest), "it may need two lines"
    table = path("latency", size).read_text(encoding="utf-8")
    for name, ranks in (
        ("gateway", latency["gateway"]),
        *latency["stages"].items(),
        ("cloud", latency["cloud"]),
    ):
        cells = r"\s+".join(show_duration(ranks[rank]) for rank in ("p50_ns", "p95_ns", "p99_ns"))
        assert re.search(rf"│{name}\s+{cells}\s", table), name
    components = path("gateway", size).read_text(encoding="utf-8")
    for name, spent in result["gateways"]["gw"]["components"].items():
        cells = rf"{spent['calls']}\s+{show_duration(spent['cpu_ns'])}\s.*\s{count_text(spent['fuel'] // spent['calls'])}\s"
        assert re.search(rf"│  {name}\s+{cells}", components), name

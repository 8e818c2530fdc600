"""What screens show, as pure functions of a plan, a view and a size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import processes
from tests.tui.scene import S, engine, go, view
from twinloop.components.host.host import Host
from twinloop.tui.drawing.text import clock_text, count_text, curve, fit, rate_text, sparkline
from twinloop.tui.engine.messages import RunTo
from twinloop.tui.screens import device, gateway, heat, latency, overview, strip, trouble


@pytest.mark.parametrize("size", [(40, 12), (60, 20), (80, 24), (200, 60)])
def test_panes_hold_their_size_and_cut_no_label(host: Host, file: Path, size: tuple[int, int]) -> None:
    """Pure functions of a view: no more lines than there are, heads are whole from 80 cells on, and figures
    are those of the snapshot."""
    one = engine(host, file)
    for at_ns in (0, 7 * S, 10 * S):
        one.handle(RunTo(at_ns))
        go(one)
        seen, width, height = view(one, 1, levels="quality", loads=True), size[0] - 2, size[1] - 5
        shown = {
            "plant": overview.plant_lines(one.plan, seen, width, height),
            "expect": overview.expectations(one.plan, seen, width, height),
            "log": overview.log_lines(one.plan, seen, width, height),
            "gateways": gateway.gateways(one.plan, seen, width, height),
            "load": gateway.load(one.plan, seen, width, height),
            "components": gateway.components(one.plan, seen, width, height),
            "stages": latency.stages(one.plan, seen, width, height),
            "percentiles": latency.over_time(one.plan, seen, width, height),
            "cloud": latency.over_time(one.plan, seen, width, height, cloud=True),
            "slowest": latency.slowest(one.plan, seen, width, height),
            "done": trouble.done(one.plan, seen, width, height),
            "coming": trouble.coming(one.plan, seen, width, height),
            "points": device.points(one.plan, seen, width, height, 1, 0),
            "trend": device.trend(one.plan, seen, width, height, 1, 0),
            "frames": device.frames(one.plan, seen, width, height, 1),
            "heat": heat.lines(one.plan, seen, width, height),
            "strip": strip.lines(one.plan, seen, width, height),
        }
        for name, lines in shown.items():
            assert 0 < len(lines) <= height, name
            for line in lines if width >= 78 else []:
                assert line.cell_len <= width, (name, line.plain)
                assert "…" not in line.plain or "bold" not in str(line.style), (name, line.plain)
        text = "\n".join(line.plain for line in shown["plant"])
        assert f"{seen.snapshot.due} due" in text
        assert ("cloud ✗" in text) is (at_ns == 7 * S)
    one.world.close()


def test_figures_are_those_of_the_json_at_the_same_instant(host: Host, file: Path, tmp_path: Path) -> None:
    one = engine(host, file)
    one.handle(RunTo(1 << 62))
    go(one)
    seen = view(one)
    with processes.twinloop("run", str(file), "--json", str(tmp_path / "r.json")) as run:
        run.communicate()
    assert run.returncode == 0
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"][0]
    assert seen.digest == result["digest"]
    ranks = dict(seen.snapshot.latency)
    for name in ("gateway", "cloud"):
        assert ranks[name] == tuple(result["latency"][name][rank] for rank in ("p50_ns", "p95_ns", "p99_ns"))
    assert {one.component: one.fuel for one in seen.instances} == {
        name: figures["fuel"] for name, figures in result["gateways"]["gw"]["components"].items()
    }
    one.world.close()


def test_words_bars_and_curves() -> None:
    assert [count_text(count) for count in (0, 9999, 10_000, 123_456, 2_500_000, 10**12)] == [
        "0",
        "9999",
        "10 k",
        "123 k",
        "2.5 M",
        "1000 G",
    ]
    assert [rate_text(per_s) for per_s in (0.0, 0.25, 199.96, 20_000.0)] == ["0", "0.25", "200", "20 k"]
    assert clock_text(3_723_456_000_000) == "1:02:03.456"
    assert fit("abcdef", 4) == "abc…"
    assert sparkline([0.0, 1.0], 4) == "  ▁█"
    assert curve([0.0, 1.0, float("nan")], 3, 2) == [" █ ", "▁█ "]
    assert curve([], 3, 2) == ["   ", "   "]

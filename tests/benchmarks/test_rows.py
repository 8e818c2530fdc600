"""Each row of ``make bench`` can be measured: its probe runs, with counts that are much too small to say
anything.

Belongs here: that they run. Never: bounds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from benchmarks import once, paired, ratios, redraws, starting, steps, wire
from twinloop.components.host.host import Host


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host as the benchmarks have it, and tiny counts."""
    for module, name, value in (
        (ratios, "SAMPLES", 1),
        (ratios, "CALLS", 10),
        (ratios, "DEVICES", 10),
        (ratios, "MANY_DEVICES", 20),
        (ratios, "OPCUA_SERVERS", 2),
        (redraws, "FEW", 2),
        (redraws, "MANY", 4),
        (steps, "STEPS", 5),
        (wire, "LASTS_S", 1),
        (once, "WARM_UP_S", 1),
        (starting, "PAIRS", 1),
        (starting, "SEEDS", 1),
        (once, "REQUESTS", 10),
    ):
        assert isinstance(getattr(module, name), int)
        monkeypatch.setattr(module, name, value)
    made = Host(fibers=False)
    yield made
    made.close()


@pytest.mark.parametrize(
    "measure",
    [ratios.typed_calls, ratios.trouble_cost, ratios.growth, ratios.seen, ratios.redrawn],
    ids=lambda f: f.__name__,
)
def test_a_row_over_the_host(host: Host, measure: Callable[[Host], ratios.Row | list[ratios.Row]]) -> None:
    measured = measure(host)
    assert all(row.value > 0 for row in (measured if isinstance(measured, list) else [measured]))


@pytest.mark.parametrize("measure", [ratios.opcua, ratios.stepped], ids=lambda f: f.__name__)
def test_another_row(host: Host, measure: Callable[[], ratios.Row | list[ratios.Row]]) -> None:
    measured = measure()
    assert all(row.value > 0 for row in (measured if isinstance(measured, list) else [measured]))


def test_the_served_field(host: Host) -> None:
    said = ratios.wire()
    assert "round trip" in said or "not measured" in said


@pytest.mark.parametrize("kind", paired.BOUNDS)
def test_what_is_compared_with_an_older_commit(
    host: Host, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(once.gc, "freeze", lambda: None)
    monkeypatch.setattr(once.gc, "set_threshold", lambda *counts: None)
    monkeypatch.setattr(
        once,
        "FLEETS",
        {
            name: (fleet.replace("count: 1000", "count: 10"), driver, 2)
            for name, (fleet, driver, _) in once.FLEETS.items()
        },
    )
    monkeypatch.setattr(once.sys, "stdin", io.StringIO("\n\n"))
    once.main(kind)
    ready, *costs = capsys.readouterr().out.split()
    assert ready == "ready"
    assert len(costs) == 2
    assert min(map(float, costs)) > 0


@pytest.mark.parametrize("measure", [starting.help_, starting.run, starting.seed], ids=lambda f: f.__name__)
def test_a_row_of_the_start(host: Host, measure: Callable[[], starting.Figure]) -> None:
    assert measure().value > 0


def test_a_start_that_fails_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        starting.cpu_s("raise SystemExit(3)", {})

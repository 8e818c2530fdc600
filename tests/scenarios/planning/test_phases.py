"""Phases: where they lie, whose samples are whose, that trouble ends, and that what doesn't come back is
named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.runner import Options, run
from twinloop.sim.kernel.clock import S
from twinloop.sim.model.spec import PhaseSpec

PHASES = "phases:\n  - {name: calm, for: 10 s}\n  - {name: chaos, for: 20 s}\n  - {name: heal, for: 20 s, recover-within: 10 s}\n"
LONG = TINY.replace("duration: 5 s", "duration: 60 s")


def text(
    *entries: str, expect: tuple[str, ...] = (), faults: tuple[str, ...] = (), phases: str = PHASES
) -> str:
    timeline = "timeline:\n" + "".join(f"  - {{{entry}}}\n" for entry in entries) if entries else ""
    random = "random-faults:\n" + "".join(f"  - {{{entry}}}\n" for entry in faults) if faults else ""
    expected = "expect:\n" + "".join(f"  - {line}\n" for line in expect or ("count(samples.lost) >= 0",))
    return LONG[: LONG.index("expect:")] + phases + timeline + random + expected


def judged(
    host: Host, *entries: str, expect: tuple[str, ...] = (), faults: tuple[str, ...] = ()
) -> dict[str, Any]:
    result = run(load_text(text(*entries, expect=expect, faults=faults), Path("t.yaml")), Options(), host)
    return {one.expectation.text: (one.verdict.value, one.measured, one.why) for one in result.judged}


def test_phases_follow_one_another_and_the_rest_is_in_none(host: Host) -> None:
    spec = Planner(load_text(text(), Path("t.yaml")), host).world()
    assert spec.phases == (
        PhaseSpec("calm", 0, 10 * S),
        PhaseSpec("chaos", 10 * S, 30 * S),
        PhaseSpec("heal", 30 * S, 50 * S, heals=True),
    )


def test_an_entrys_times_count_from_its_phase(host: Host) -> None:
    entries = (
        "phase: chaos, at: 2 s, restart: gw",
        "phase: chaos, every: 6 s, restart: gw",
        "phase: heal, every: 5 s, after: 1 s, times: 2, restart: gw",
    )
    spec = Planner(load_text(text(*entries), Path("t.yaml")), host).world()
    assert [action.at_ns // S for action in spec.timeline] == [12, 16, 22, 28, 31, 36]


def test_random_trouble_keeps_to_its_phase_and_out_of_the_healing(host: Host) -> None:
    block = "mtbf: 200 ms, actions: [{restart: gw}]"
    chaos = (
        Planner(load_text(text(faults=(f"phase: chaos, {block}",)), Path("t.yaml")), host).world().timeline
    )
    free = Planner(load_text(text(faults=(block,)), Path("t.yaml")), host).world().timeline
    assert all(10 * S <= action.at_ns < 30 * S for action in chaos)
    assert len(chaos) > 50
    assert all(action.at_ns < 30 * S for action in free)
    assert any(action.at_ns < 10 * S for action in free)


def test_samples_and_latencies_are_counted_by_the_phase_in_which_they_were_due(host: Host) -> None:
    expect = (
        "count(samples.due{phase=calm}) == 300",
        "count(samples.due{phase=chaos}) == 600",
        "count(samples.missed{phase=calm}) == 0",
        "count(samples.missed{phase=chaos,cause=timeout}) >= 100",
        "ratio(samples.missed{phase=chaos,device=presses/2}) >= 90 %",
        "max(latency.gateway{phase=heal}) <= 50 ms",
        "p99(latency.gateway{phase=chaos}) <= 50 ms",
        "count(latency.cloud{phase=calm}) == 300",
    )
    found = judged(host, "phase: chaos, at: 0 s, device-fault: presses/2, kind: silent", expect=expect)
    verdicts = {line: found[line][0] for line in expect}
    assert verdicts.pop(expect[6]) == "FAIL"
    assert dict.fromkeys(verdicts.values()) == {"PASS": None}
    assert "200 samples never got there, most of them missed{timeout}" in found[expect[6]][2]
    assert found["stuck == 0 within 10 s after phase heal"][0] == "PASS"


def test_what_stands_ends_when_the_healing_begins(host: Host) -> None:
    """A cut without an end, a gateway that is off, a fault, a throttle: all of it."""
    entries = (
        "phase: chaos, at: 1 s, cut: cloud",
        "phase: chaos, at: 2 s, shutdown: gw",
        "phase: chaos, at: 1 s, device-fault: presses, kind: silent",
        "phase: chaos, at: 1 s, throttle: gw, speed: 1 %",
    )
    found = judged(host, *entries, expect=("count(samples.missed{phase=heal}) <= 60", "stuck == 0"))
    assert [verdict for verdict, _, _ in found.values()] == ["PASS"] * 3
    assert found["stuck == 0 within 10 s after phase heal"][1] <= 10 * S


def test_what_does_not_come_back_is_named(host: Host) -> None:
    died = tuple(f"phase: chaos, at: {i} s, fault-component: gw/transform" for i in range(1, 6))
    found = judged(host, *died, "phase: heal, at: 1 s, cut: plant", expect=("stuck == 0", "never stuck > 0"))
    verdict, _, why = found["stuck == 0 within 10 s after phase heal"]
    assert verdict == "FAIL"
    assert why == "stuck: gw/transform is quarantined; link plant is cut or degraded"
    assert found["stuck == 0"][:2] == ("FAIL", 2)
    assert found["never stuck > 0"][0] == "FAIL"
    assert found["never stuck > 0"][2].startswith("first at 11")


def test_the_healing_makes_events_that_may_be_waited_for(host: Host) -> None:
    entries = (
        "phase: chaos, at: 1 s, cut: cloud",
        "phase: chaos, at: 2 s, crash: gw",
        "after: heal cloud, write: presses/1, point: setpoint, value: 1.0",
    )
    found = judged(
        host,
        *entries,
        expect=(
            "stuck == 0 within 20 s after heal cloud",
            "stuck == 0 within 20 s after restart gw",
            "count(commands.issued) == 1",
        ),
    )
    assert [verdict for verdict, _, _ in found.values()] == ["PASS"] * 4


def test_after_a_heal_without_phases(host: Host) -> None:
    found = judged(host, "at: 5 s, cut: cloud, for: 5 s", expect=("stuck == 0 within 30 s after heal cloud",))
    assert found["stuck == 0 within 30 s after heal cloud"][0] == "PASS"


MISTAKES = {
    "two of one name": (text(phases=PHASES + "  - {name: calm, for: 1 s}\n"), 'a second phase "calm"'),
    "longer than the run": (
        text(phases=PHASES.replace("20 s, recover", "40 s, recover")),
        "ends 10 s after the run's duration",
    ),
    "a converge longer than its phase": (
        text(phases=PHASES.replace("recover-within: 10 s", "recover-within: 21 s")),
        "is longer than the phase itself",
    ),
    "an unknown phase": (
        text("phase: chaso, at: 1 s, restart: gw"),
        'unknown phase "chaso"; did you mean "chaos"?',
    ),
    "a phase of none": (
        text("phase: chaos, at: 1 s, restart: gw", phases=""),
        'unknown phase "chaos"; the scenario has no phases',
    ),
    "beyond the phase": (text("phase: chaos, at: 21 s, restart: gw"), "lies after the end of phase chaos"),
    "at the very end of a phase": (
        text("phase: chaos, at: 20 s, cut: cloud"),
        "lies after the end of phase chaos",
    ),
    "a memory that is filled": (
        text("at: 1 s, fill: gw, leave: 1 KiB").replace(
            "store: {capacity: 1 MiB}", "store: {preset: greengrass}"
        ),
        "gateway gw has no store on flash",
    ),
    "a phase of an event": (
        text("phase: chaos, after: phase heal, restart: gw"),
        '"phase" goes with "at" and "every"',
    ),
    "from in a phase": (
        text(faults=("phase: chaos, from: 1 s, mtbf: 1 s, actions: [{restart: gw}]",)),
        '"from" does not go with "phase"',
    ),
    "a phase in an expectation": (
        text(expect=("count(samples.missed{phase=chaso}) == 0",)),
        'unknown phase "chaso"; did you mean "chaos"?',
    ),
    "a phase of a stage": (
        text(expect=("p99(latency.stage{stage=bus,phase=chaso}) <= 1 s",)),
        'unknown phase "chaso"; did you mean "chaos"?',
    ),
    "a statistic of stuck": (text(expect=("max(stuck) == 0",)), "max does not go with stuck (a gauge)"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_exit_3_and_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, message = MISTAKES[name]
    file = tmp_path / "t.yaml"
    file.write_text(content)
    assert main(["check", str(file)]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "t.yaml:" in err

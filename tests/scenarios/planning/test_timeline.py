"""Timeline and random trouble of a scenario file: what they become, and that mistakes are named."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import LIBRARY, load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.planning.timeline import possible_events
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import Action, WorldSpec
from twinloop.sim.trouble.links import Degrade
from twinloop.sim.trouble.verb import Verb
from twinloop.sim.trouble.verbs import VERBS, act, all_keys

LINE = "  line: {serial: 9600 Bd}\n"
METERS = "  meters: {device: energy-meter, protocol: modbus-rtu, count: 2, poll: 1 s, link: line, gateway: gw, driver: modbus-driver}\n"
FULL = TINY.replace("links:\n", f"{METERS}links:\n{LINE}")


def text(*entries: str, faults: tuple[str, ...] = ()) -> str:
    blocks = "".join(f"  - {{{entry}}}\n" for entry in entries)
    random = "".join(f"  - {{{entry}}}\n" for entry in faults)
    return FULL.replace(
        "expect:",
        (f"timeline:\n{blocks}" if blocks else "")
        + (f"random-faults:\n{random}" if random else "")
        + "expect:",
    )


def plan(host: Host, *entries: str, faults: tuple[str, ...] = (), seed: int | None = None) -> WorldSpec:
    return Planner(load_text(text(*entries, faults=faults), Path("t.yaml")), host, seed).world()


def test_a_verb_is_one_class_from_which_the_entry_of_a_file_follows() -> None:
    fields = {field.alias: field.description for field in schema.Deed.model_fields.values()}
    assert fields == {
        **{name: verb.help() for name, verb in VERBS.items()},
        **{key.name: key.help for key in all_keys()},
    }
    for name, verb in VERBS.items():
        assert verb.begin is not Verb.begin, name
        assert verb.check is not Verb.check, name
        assert verb.targets is not Verb.targets, name
    assert all(
        key.example != key.other or (key.name, name) == ("point", "write")
        for name, verb in VERBS.items()
        for key in verb.own_keys()
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("at: 1 s, cut: cloud, direction: up, leg: gw, for: 2 s", act(S, "cut", "cloud", 3 * S, up=True, leg="gw")),
        ("at: 1 s, flap: plant, down: 5 ms, up: 10 ms, for: 1 s", act(S, "flap", "plant", 2 * S, down_ns=5 * MS, up_ns=10 * MS)),
        ("at: 1 s, degrade: line, to: {loss: 5 %}", act(S, "degrade", "line", None, changes=(("loss", 0.05),))),
        ("at: 0 s, shutdown: gw, for: 1 s", act(0, "shutdown", "gw", S)),
        ("at: 0 s, power-cut: gw", act(0, "power-cut", "gw")),
        ("at: 0 s, throttle: gw, speed: 25 %", act(0, "throttle", "gw", amount=0.25)),
        ("at: 0 s, limit-memory: gw, leave: 1 MiB", act(0, "limit-memory", "gw", size_bytes=1 << 20)),
        ("at: 0 s, fill: gw, leave: 0 B, for: 1 s", act(0, "fill", "gw", S, size_bytes=0)),
        ("at: 0 s, clock-step: gw, by: -2 h", act(0, "clock-step", "gw", shift_ns=-7200 * S)),
        ("at: 0 s, clock-skew: gw, skew: -150 ppm", act(0, "clock-skew", "gw", ppb=-150_000)),
        ("at: 0 s, fault-component: gw/policy", act(0, "fault-component", "gw/policy", kind="unreachable")),
        ("at: 0 s, fault-component: gw/driver/presses/2, cause: out-of-fuel", act(0, "fault-component", "gw/driver/presses/2", kind="out-of-fuel")),
        ("at: 0 s, device-fault: presses, kind: slow, delay: 30 ms", act(0, "device-fault", "presses", kind="slow", delay_ns=30 * MS)),
        ("at: 0 s, device-fault: meters/1, kind: bad-crc, share: 10 %", act(0, "device-fault", "meters/1", kind="bad-crc", share=0.1)),
        (
            "at: 0 s, device-fault: presses/1, kind: drift, point: force, value: -2.5",
            act(0, "device-fault", "presses/1", kind="drift", point="force", value=-2.5),
        ),
        ("at: 0 s, set-poll: presses/3, poll: 20 ms, for: 1 s", act(0, "set-poll", "presses/3", S, period_ns=20 * MS)),
        ("at: 0 s, write: presses/3, point: setpoint, value: 1.5", act(0, "write", "presses/3", point="setpoint", value=1.5)),
    ],
)  # fmt: skip
def test_an_entry_is_an_action(host: Host, entry: str, expected: Action) -> None:
    assert plan(host, entry).timeline == (expected,)


def test_a_preset_is_all_its_figures_and_the_entrys_own_on_top(host: Host) -> None:
    (action,) = plan(host, "at: 1 s, degrade: plant, to: {preset: lte, loss: 0 %}").timeline
    assert isinstance(action.deed, Degrade)
    changes = dict(action.deed.changes)
    assert changes["loss"] == 0.0
    assert changes["delay_ns"] == 30 * MS or changes["delay_ns"] > MS
    assert len(changes) == 10


def test_after_an_event_is_a_reaction(host: Host) -> None:
    spec = plan(
        host,
        "at: 1 s, cut: cloud, for: 1 s",
        "after: heal cloud + 1500 ms, crash: gw, for: 2 s, times: 3",
        "after: restart gw, restart: gw",
    )
    one, other = spec.reactions
    assert (one.event, one.delay_ns, one.times, one.for_ns, one.action.verb) == (
        "heal cloud",
        1500 * MS,
        3,
        2 * S,
        "crash",
    )
    assert (other.event, other.delay_ns, other.times, other.for_ns) == ("restart gw", 0, 1, None)


def test_any_is_drawn_by_the_seed(host: Host) -> None:
    entry = "every: 100 ms, times: 40, write: presses/any, point: setpoint, value: 1.0"
    targets = [action.target for action in plan(host, entry).timeline]
    assert sorted(dict.fromkeys(targets)) == ["presses/1", "presses/2", "presses/3"]
    assert targets == [action.target for action in plan(host, entry).timeline]
    assert targets != [action.target for action in plan(host, entry, seed=99).timeline]
    assert (
        plan(host, "at: 0 s, fault-component: gw/driver/presses/any")
        .timeline[0]
        .target.startswith("gw/driver/presses/")
    )


def test_random_trouble_is_drawn_by_the_seed_and_ends_before_the_next_begins(host: Host) -> None:
    block = "mtbf: 100 ms, mttr: 50 ms, from: 1 s, until: 4 s, actions: [{cut: cloud}, {device-fault: presses/any, kind: silent}]"
    drawn = plan(host, faults=(block,)).timeline
    assert drawn == plan(host, faults=(block,)).timeline != plan(host, faults=(block,), seed=2).timeline
    assert len(drawn) > 8
    assert all(S <= action.at_ns < 4 * S and action.until_ns is not None for action in drawn)
    assert all(
        one.until_ns < other.at_ns for one, other in itertools.pairwise(drawn) if one.until_ns is not None
    )
    assert dict.fromkeys(action.verb for action in drawn).keys() == {"cut", "device-fault"}


def test_random_trouble_comes_as_often_as_it_says(host: Host) -> None:
    block = "mtbf: 5 ms, actions: [{write: presses/1, point: setpoint, value: 1.0}]"
    instants = [action.at_ns for action in plan(host, faults=(block,)).timeline]
    assert 900 < len(instants) < 1100, "5 s at one in 5 ms"


def test_events_are_named_for_what_can_happen() -> None:
    loaded = load_text(
        text(
            "at: 0 s, device-fault: presses/any, kind: silent, for: 1 s",
            "at: 0 s, power-cut: gw, for: 1 s",
            "at: 0 s, cut: cloud",
        ),
        Path("t.yaml"),
    )
    assert possible_events(loaded) == [
        "device-fault presses/1",
        "heal presses/1",
        "device-fault presses/2",
        "heal presses/2",
        "device-fault presses/3",
        "heal presses/3",
        "power-cut gw",
        "restart gw",
        "cut cloud",
    ]


MISTAKES = {
    "two verbs": ("at: 0 s, cut: cloud, crash: gw", "expected exactly one of cut, flap, partition, degrade"),
    "no verb": ("at: 0 s", "got none"),
    "a key of another verb": (
        "at: 0 s, cut: cloud, speed: 10 %",
        '"speed" does not go with cut (with it go: direction, leg, gateway)',
    ),
    "a key that is missing": ("at: 0 s, throttle: gw", 'throttle needs "speed"'),
    "a flap without end": ("at: 0 s, flap: cloud, down: 1 s, up: 1 s", 'flap needs "for"'),
    "an end of a restart": (
        "at: 0 s, restart: gw, for: 1 s",
        '"for" does not go with restart: it has no end',
    ),
    "a leg": ("at: 0 s, cut: plant, leg: presses/4", 'unknown leg of plant "presses/4"; did you mean'),
    "a leg of a line": ("at: 0 s, cut: line, leg: meters/1", "is a serial line: one pair of wires"),
    "a way of a line": ("at: 0 s, cut: line, direction: up", "is a serial line"),
    "a preset": ("at: 0 s, degrade: plant, to: {preset: ltee}", 'unknown preset "ltee"; did you mean "lte"?'),
    "a preset of a line": ("at: 0 s, degrade: line, to: {preset: lte}", "a serial line has no preset"),
    "a gateway": ("at: 0 s, shutdown: gv", 'unknown gateway "gv"; did you mean "gw"?'),
    "a standing CPU": ("at: 0 s, throttle: gw, speed: 0 %", 'expected 0.01 % to 100 %, got "0 %"'),
    "a step of nothing": ("at: 0 s, clock-step: gw, by: 0 s", "expected a duration other than 0"),
    "a skew without unit": ("at: 0 s, clock-skew: gw, skew: 5", "expected a clock's skew with a unit"),
    "a flap without a pause": (
        "at: 0 s, flap: cloud, down: 1 ns, up: 1 ns, for: 1 s",
        "expected at least 1 ms",
    ),
    "a slot": ("at: 0 s, fault-component: gw/transfrom", "$.timeline[0].fault-component"),
    "a driver of another gateway": ("at: 0 s, fault-component: gx/driver/presses/1", 'unknown gateway "gx"'),
    "a cause": ("at: 0 s, fault-component: gw/policy, cause: tired", 'unknown cause "tired"'),
    "a fault": (
        "at: 0 s, device-fault: presses, kind: sticky",
        'unknown fault "sticky"; did you mean "stuck"?',
    ),
    "a fault's point": ("at: 0 s, device-fault: presses, kind: stuck", 'fault stuck needs "point"'),
    "a point that doesn't exist": (
        "at: 0 s, device-fault: presses, kind: stuck, point: presure",
        'unknown point of press-sensor "presure"; did you mean "pressure"?',
    ),
    "a fault's amount": (
        "at: 0 s, device-fault: presses, kind: drift, point: force",
        'fault drift needs "value"',
    ),
    "a point of a silent device": (
        "at: 0 s, device-fault: presses, kind: silent, point: force",
        '"point" does not go with device-fault silent',
    ),
    "a CRC over TCP": (
        "at: 0 s, device-fault: presses, kind: bad-crc",
        "bad-crc is a fault of modbus-rtu and modbus-ascii and modbus-rtu-over-tcp, presses speaks modbus-tcp",
    ),
    "a transaction on a line": (
        "at: 0 s, device-fault: meters, kind: wrong-transaction",
        "is a fault of modbus-tcp",
    ),
    "a device": (
        "at: 0 s, device-fault: presses/9, kind: silent",
        'unknown device "presses/9"; known: presses/1 to presses/3',
    ),
    "a fleet": ("at: 0 s, set-poll: press, poll: 1 s", 'unknown fleet "press"; did you mean "presses"?'),
    "a write to a fleet": (
        "at: 0 s, write: presses, point: setpoint, value: 1.0",
        'expected one device, e.g. "presses/1" or "presses/any"',
    ),
    "a write to a sensor": (
        "at: 0 s, write: presses/1, point: force, value: 1.0",
        "force of press-sensor can't be written; writable: setpoint",
    ),
    "after nothing that happens": ("after: heal cloud, crash: gw", 'unknown event "heal cloud"'),
    "after a duration alone": ("after: 5 s, crash: gw", 'expected an event, e.g. "heal cloud"'),
    "after a wrong delay": ("after: crash gw + 5, crash: gw", 'expected a duration, e.g. "50 ms"'),
    "after and at": ("at: 1 s, after: crash gw, crash: gw", 'or stands alone with an event; not with "at"'),
    "every after an event": ("every: 1 s, after: crash gw, crash: gw", 'expected a duration, e.g. "50 ms"'),
    "neither at nor every": ("crash: gw", 'expected "at", or "every"'),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_exit_3_and_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    entry, message = MISTAKES[name]
    file = tmp_path / "t.yaml"
    file.write_text(text(entry))
    assert main(["check", str(file)]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "t.yaml:" in err
    assert "$.timeline[0]" in err
    assert "Traceback" not in err


RANDOM_MISTAKES = {
    "nothing to do": ("mtbf: 1 s, actions: []", "$.random-faults[0].actions"),
    "a repair of a write": (
        "mtbf: 1 s, mttr: 1 s, actions: [{write: presses/1, point: setpoint, value: 1.0}]",
        '"mttr" does not go with write',
    ),
    "a flap without repair": ("mtbf: 1 s, actions: [{flap: cloud, down: 1 s, up: 1 s}]", 'flap needs "mttr"'),
    "no time left": (
        "mtbf: 1 s, from: 3 s, until: 2 s, actions: [{restart: gw}]",
        "no time is left between from and until",
    ),
    "too often": ("mtbf: 1 us, actions: [{restart: gw}]", "expected at least 1 ms"),
    "a deed's mistake": (
        "mtbf: 1 s, actions: [{cut: clod}]",
        '$.random-faults[0].actions[0]: unknown link "clod"; did you mean "cloud"?',
    ),
    "an only deed's key": (
        "mtbf: 1 s, actions: [{throttle: gw, speed: 0.5}]",
        '$.random-faults[0].actions[0].speed: expected a percentage, e.g. "0.1 %", got 0.5\n',
    ),
    "a time in a deed": ("mtbf: 1 s, actions: [{at: 1 s, restart: gw}]", 'unknown key "at"'),
}


@pytest.mark.parametrize("name", RANDOM_MISTAKES)
def test_a_mistake_in_random_trouble(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    block, message = RANDOM_MISTAKES[name]
    file = tmp_path / "t.yaml"
    file.write_text(text(faults=(block,)))
    assert main(["check", str(file)]) == 3
    assert message in capsys.readouterr().err


ONE_MISTAKE = {
    "timeline": (
        "timeline:\n  - {at: 1 s, cut: clod, for: 1 s}\n  - {after: heal cloud, cut: plant, for: 1 s}\n",
        'unknown link "clod"; did you mean "cloud"?',
    ),
    "random faults": (
        "random-faults:\n  - {mtbf: 1 s, mttr: 1 s, actions: [{cut: clod}]}\n",
        'unknown link "clod"; did you mean "cloud"?',
    ),
    "key": ("timeline:\n  - {at: 1 s, cut: cloud, point: force, for: 1 s}\n", '"point" does not go with cut'),
}


@pytest.mark.parametrize("name", ONE_MISTAKE)
@pytest.mark.parametrize("command", ["check", "run"])
def test_an_entry_that_is_wrong_makes_no_mistake_of_what_waits_for_it(
    name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks, message = ONE_MISTAKE[name]
    file = tmp_path / "x.yaml"
    file.write_text(
        TINY.replace("expect:\n", f"{blocks}expect:\n  - backlog == 0 within 10 s after heal cloud\n")
    )
    assert main([command, str(file)]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_pair_that_is_wrong_makes_no_mistake_of_what_waits_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (LIBRARY / "failover-hot.yaml").read_text()
    of = re.search(r"of: ([a-z0-9-]+)", text)
    assert of is not None
    file = tmp_path / "x.yaml"
    changed = text.replace(of[0], "of: nobody").replace(
        "expect:\n", f"expect:\n  - backlog == 0 within 10 s after promote {of[1]}\n", 1
    )
    file.write_text(changed)
    assert main(["check", str(file)]) == 3
    err = capsys.readouterr().err
    assert 'unknown gateway "nobody"' in err
    assert "unknown event" not in err

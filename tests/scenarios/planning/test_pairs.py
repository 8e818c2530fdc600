"""Pairs in a scenario file: what is refused, what is foreseen, how a result tells of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.shipped_runs import ShippedRuns
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import LIBRARY, load_text
from twinloop.scenarios.planning.feasibility import warnings
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.planning.timeline import possible_events
from twinloop.sim.kernel.clock import MS, S

TEXT = (LIBRARY / "failover-hot.yaml").read_text()
STANDBY = (
    "{of: gw, mode: hot, heartbeat: {link: beat, every: 200 ms, misses: 3}, arbiter: cloud, handover: 5 s}"
)
ENTRY = "{at: 40.05 s, crash: gw, for: 30 s}"
LINE = "  line:    {serial: 9600 Bd}\n"

MISTAKES: dict[str, tuple[str, str, str]] = {
    "stands by for nobody": (
        "of: gw,",
        "of: gx,",
        '$.gateways.gw-b.standby.of: unknown gateway "gx"; did you mean "gw"?',
    ),
    "stands by for itself": ("of: gw,", "of: gw-b,", '$.gateways.gw-b.standby.of: unknown gateway "gw-b"'),
    "a mode": ("mode: hot", "mode: luke", "$.gateways.gw-b.standby.mode"),
    "an unknown link": ("link: beat,", "link: bete,", 'unknown link "bete"; did you mean "beat"?'),
    "heartbeats over a serial line": (
        "link: beat,",
        "link: line,",
        "heartbeats need a network link, this one is serial",
    ),
    "heartbeats beside an uplink": (
        "link: beat,",
        "link: cloud-a,",
        'heartbeats need a link of their own, "cloud-a" is that of the uplink of gw',
    ),
    "heartbeats beside the field": ("link: beat,", "link: plant,", '"plant" is that of fleet presses'),
    "no heartbeat": (
        ", heartbeat: {link: beat, every: 200 ms, misses: 3}",
        "",
        '$.gateways.gw-b.standby: missing key "heartbeat"',
    ),
    "no misses": ("misses: 3", "misses: 0", "$.gateways.gw-b.standby.heartbeat.misses"),
    "a lease that nobody grants": (
        "arbiter: cloud,",
        "arbiter: none, lease: 2 s,",
        "a lease needs an arbiter that grants it",
    ),
    "a handover of what isn't read": (
        "mode: hot",
        "mode: warm",
        "a warm standby reads nothing that it could hand over",
    ),
    "a fleet at the standby": (
        "gateway: gw,",
        "gateway: gw-b,",
        'name the gateway that it stands by for, "gw"',
    ),
    "a partition of one": (ENTRY, "{at: 1 s, partition: gx}", 'unknown gateway of a pair "gx"'),
    "a leg of the field that is none": (
        ENTRY,
        "{at: 1 s, cut: plant, gateway: gx}",
        'unknown gateway that polls over plant "gx"',
    ),
    "a driver of neither": (ENTRY, "{at: 1 s, fault-component: gx/driver/presses/1}", 'unknown gateway "gx"'),
    "an event that pairs don't have": (
        ENTRY,
        "{after: promote gx, crash: gw}",
        'unknown event "promote gx"; did you mean "promote gw',
    ),
    "a metric": ("max(failover.gap)", "max(failover.gaps)", 'did you mean "failover.gap"?'),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_exit_3_and_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, message = MISTAKES[name]
    assert old in TEXT
    file = tmp_path / "t.yaml"
    file.write_text(TEXT.replace(old, new).replace("  beat: ", LINE + "  beat: "))
    assert main(["check", str(file)]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "t.yaml:" in err
    assert "Traceback" not in err


def test_a_standby_has_no_standby_and_a_gateway_only_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    third = (
        TEXT[TEXT.index("  gw-b:") : TEXT.index("timeline:")]
        .replace("gw-b:", "gw-c:")
        .replace("cloud-b", "cloud-a")
    )
    file = tmp_path / "t.yaml"
    file.write_text(TEXT.replace("timeline:", third + "timeline:"))
    assert main(["check", str(file)]) == 3
    assert (
        '"gw-c" already stands by for "gw"' in capsys.readouterr().err
        or '"gw-b" already' in capsys.readouterr().err
    )
    file.write_text(TEXT.replace("timeline:", third.replace("of: gw,", "of: gw-b,") + "timeline:"))
    assert main(["check", str(file)]) == 3
    assert '"gw-b" stands by itself' in capsys.readouterr().err


def test_a_pair_without_a_standby_can_not_be_partitioned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        (LIBRARY / "quickstart.yaml")
        .read_text()
        .replace("timeline:", "timeline:\n  - {at: 1 s, partition: gw}")
    )
    assert main(["check", str(file)]) == 3
    assert "the scenario has no standby" in capsys.readouterr().err


def test_what_is_not_said_has_a_default_that_works(host: Host) -> None:
    short = TEXT.replace(STANDBY, "{of: gw, heartbeat: {link: beat}}")
    world = Planner(load_text(short, Path("t.yaml")), host).world()
    standby = world.gateways[1].standby
    assert standby is not None
    assert (standby.mode, standby.arbiter, standby.every_ns, standby.misses, standby.preempt) == (
        "hot",
        "cloud",
        500 * MS,
        3,
        False,
    )
    assert standby.lease_ns == 3 * S
    assert standby.handover_ns == 5 * S
    assert not [text for text in warnings(world) if "gw-b" in text]


@pytest.mark.parametrize(("new", "message"), [
    (STANDBY.replace("arbiter: cloud", "arbiter: cloud, lease: 700 ms"), "a promise of the standby may come after the lease has ended"),
    (STANDBY.replace("arbiter: cloud", "arbiter: cloud, lease: 80 ms"), "is renewed late: it will be given up again and again"),
    (STANDBY.replace("handover: 5 s", "handover: 1 s"), "a handover of 1 s is no longer than a takeover may take, 1.2 s"),
    (STANDBY.replace("every: 200 ms", "every: 2 s"), "a handover of 5 s is no longer than a takeover may take, 12 s"),
])  # fmt: skip
def test_check_foresees(new: str, message: str, host: Host) -> None:
    world = Planner(load_text(TEXT.replace(STANDBY, new), Path("t.yaml")), host).world()
    assert any(message in text for text in warnings(world))


def test_events_of_a_pair_are_known() -> None:
    events = possible_events(load_text(TEXT, Path("t.yaml")))
    assert [one for one in events if one.split()[0] in ("promote", "step-down", "split-brain")] == [
        "promote gw", "step-down gw", "promote gw-b", "step-down gw-b", "split-brain gw",
    ]  # fmt: skip


def test_a_result_has_the_pair_with_its_takeovers(shipped_runs: ShippedRuns) -> None:
    result = shipped_runs("failover-hot").data
    pair = result["pairs"]["gw"]
    assert pair["gateways"] == ["gw", "gw-b"]
    assert pair["leaders"] == ["gw-b"]
    (takeover,) = pair["takeovers"]
    assert (takeover["from"], takeover["to"], takeover["gone_ns"]) == ("gw", "gw-b", 40_050_000_000)
    assert takeover["gone_ns"] < takeover["led_ns"] <= takeover["first_ns"]
    assert takeover["led_ns"] - takeover["gone_ns"] < 2 * S
    members = pair["members"]
    assert members["gw-b"]["role"] == "active"
    assert members["gw-b"]["handover"]["sent"] > 20
    assert members["gw"]["heartbeats_sent"] > 300
    split = shipped_runs("failover-split-brain").data
    assert split["pairs"]["gw"]["splits"][0]["duplicates"] == split["ledger"]["duplicates"]

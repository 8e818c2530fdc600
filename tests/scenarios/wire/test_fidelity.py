"""``run --clock wire``: the same scenario over real sockets and in simulated time. No figure here depends on
how fast this machine is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenarios.wire.test_attach import SCENARIO
from tests.steady import steady
from twinloop.components.host.host import Host
from twinloop.devices.live.loopback import plain_round_trip_ns
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.wire.fidelity import over_loopback


@steady
def test_both_clocks_are_held_beside_one_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every protocol over its wire; the trouble of the field happens in the process that serves it, at its
    instant."""
    text = (
        SCENARIO + "timeline:\n  - {at: 1 s, device-fault: presses/2, kind: exception, code: 4, for: 1 s}\n"
    )
    text = text.replace("p99(latency.gateway)", "p50(latency.gateway)").replace(
        "count(samples.missed) == 0", "count(samples.lost) <= 0"
    )
    (tmp_path / "s.yaml").write_text(
        text, encoding="utf-8"
    )  # a machine that stands still for half a second may miss samples
    code = main(
        [
            "run",
            str(tmp_path / "s.yaml"),
            "--clock",
            "wire",
            "--json",
            str(tmp_path / "r.json"),
            "--out",
            str(tmp_path / "out"),
        ]
    )
    out = capsys.readouterr().out
    assert code == 0, out
    assert "real devices" not in out
    assert "fidelity  wire less virtual; the loopback takes " in out
    document = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert document == json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    result = document["results"][0]
    assert result["clock"] == "wire"
    assert result["reproduce"].endswith("--clock wire")
    assert result["truth"]["asked_elsewhere"] >= 200
    assert (result["truth"]["wrong"], result["truth"]["commands_wrong"]) == (0, 0)
    fidelity = result["fidelity"]
    assert fidelity["loopback_ns"] > 0
    assert list(fidelity["stages"]) == [
        "gateway",
        "queue",
        "driver",
        "bus",
        "transform",
        "policy",
        "uplink",
        "cloud",
    ]
    for ranks in fidelity["stages"].values():
        for rank in ("p50_ns", "p99_ns"):
            wire, virtual = ranks[rank]["wire"], ranks[rank]["virtual"]
            assert ranks[rank]["difference"] == (None if wire is None or virtual is None else wire - virtual)
    assert fidelity["stages"]["transform"]["p50_ns"]["difference"] == 0, "modelled in both"
    assert fidelity["stages"]["bus"]["p50_ns"]["virtual"] > 1_000_000
    missed = result["ledger"]["missed"]
    assert missed["rejected"] <= 50, "four polls in a second, give or take one"
    assert missed["rejected"] + sum(count for cause, count in missed.items() if cause != "rejected") >= 30
    assert fidelity["delivered"]["due"] - fidelity["delivered"]["virtual"] == 40


def test_the_loopback_is_added_to_the_network_only(host: Host) -> None:
    spec = Planner(load_text(SCENARIO, Path("s.yaml")), host).world()
    slower = {link.name: link.model.delay_ns for link in over_loopback(spec, 100_000).links}
    before = {link.name: link.model.delay_ns for link in spec.links}
    assert {name: slower[name] - before[name] for name in before} == {"plant": 50_000, "line": 0, "cloud": 0}
    assert plain_round_trip_ns() > 0


def test_what_does_not_go_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    for arguments, message in (
        (["--clock", "wire", "--check"], "no two runs over real sockets are equal"),
        (["--clock", "wire", "--speed", "2"], "real sockets have the wall's pace"),
        (["--clock", "wired"], 'did you mean "wire"'),
    ):
        assert main(["run", str(tmp_path / "s.yaml"), *arguments]) == 3
        assert message in capsys.readouterr().err
    published = SCENARIO.replace(
        "  meters: {device: meter, protocol: modbus-rtu, count: 2, poll: 500 ms, link: line, gateway: gw, driver: modbus-driver}\n",
        "",
    )
    published = published.replace(
        "  tanks: {device: tank, protocol: opcua, count: 2, sampling: 500 ms, link: plant, gateway: gw, driver: opcua-driver}\n",
        "",
    )
    published = (
        published.replace("modbus-tcp", "mqtt")
        .replace("poll: 250 ms", "publish: 250 ms")
        .replace("modbus-driver", "mqtt-driver")
    )
    (tmp_path / "m.yaml").write_text(
        published.replace("  opcua-driver: {wasm: opcua-driver.wasm, grants: [fieldbus, clock, log]}\n", ""),
        encoding="utf-8",
    )
    assert main(["run", str(tmp_path / "m.yaml"), "--clock", "wire"]) == 3
    assert "no device of it is reached over a wire" in capsys.readouterr().err

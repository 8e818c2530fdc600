"""A check shows every mistake at once: of one block, of several of a kind, of all kinds."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.cases import scenario
from twinloop.scenarios.checking import checked


def places(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "wrong.yaml"
    file.write_text(text, encoding="utf-8")
    return [error.path for error in checked(file).errors]


def test_a_fleet_with_four_wrong_names(tmp_path: Path) -> None:
    text = scenario(
        tmp_path, fleet={"device": "pres-sensor", "link": "plants", "gateway": "gateway", "driver": "driver"}
    )
    found = places(tmp_path, text)
    assert found[:4] == ["$.fleets.m.device", "$.fleets.m.link", "$.fleets.m.gateway", "$.fleets.m.driver"]


def test_two_fleets_two_entries_and_two_keys_of_a_gateway(tmp_path: Path) -> None:
    base = {
        "device": "press-sensor",
        "protocol": "modbus-tcp",
        "poll": "1 s",
        "link": "plant",
        "gateway": "gw",
        "driver": "modbus-driver",
    }
    uplink = {"link": "sky"}
    text = scenario(
        tmp_path,
        fleets={"a": {**base, "device": "x"}, "b": {**base, "poll": None, "link": "y"}, "c": base},
        gateways={
            "gw": {
                "board": "z",
                "transform": "normalise",
                "policy": "route",
                "uplink": uplink,
                "store": {"preset": "big"},
            }
        },
        timeline=[
            {"at": "1 s", "cut": "no-link"},
            {"at": "99 s", "cut": "plant", "for": "1 s"},
            {"at": "2 s", "crash": "nobody"},
        ],
        **{
            "random-faults": [
                {"mtbf": "1 s", "actions": [{"crash": "who"}]},
                {"mtbf": "1 s", "actions": [{"cut": "what"}]},
            ]
        },
        expect=["count(samples.lost) == 0", "count(sample.lost) == 0", "max(latency.gateway) <= 1"],
    )
    found = places(tmp_path, text)
    assert set(found) >= {
        "$.fleets.a.device",
        "$.fleets.b.link",
        "$.fleets.b",
        "$.gateways.gw.board",
        "$.gateways.gw.uplink.link",
        "$.gateways.gw.transform",
        "$.gateways.gw.store.preset",
        "$.timeline[0]",
        "$.timeline[1].at",
        "$.timeline[2]",
        "$.random-faults[0].actions[0]",
        "$.random-faults[1].actions[0]",
        "$.expect[1]",
        "$.expect[2]",
    }, found
    assert len(found) == len(set(found)), "each once"


def test_two_components(tmp_path: Path) -> None:
    from tests.scenarios.cases import COMPONENTS

    wrong = {name: {**component, "wasm": f"{name}-not.wasm"} for name, component in COMPONENTS.items()}
    assert places(tmp_path, scenario(tmp_path, components=wrong)) == [
        f"$.components.{name}.wasm" for name in wrong
    ]

"""What a scenario grants a component of WASI, from the file's words to what the component finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, scenario
from tests.wasi_guest import GUEST, Told, run
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.model.spec import WorldSpec


def planned(tmp_path: Path, host: Host, do: str, grants: list[Any], **more: Any) -> WorldSpec:
    """A scenario whose transform is c-wasi."""
    for name, text in (("motd", "be kind\n"), ("ssl/ca", "x")):
        file = tmp_path / "folder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    block = {
        "wasm": str(GUEST),
        "grants": ["log", *grants],
        "with": {"do": do, **more.pop("options", {})},
        **more,
    }
    gateways = {
        "gw": {
            "board": "raspberry-pi-4",
            "transform": "c-wasi",
            "policy": "route",
            "uplink": {"link": "cloud"},
        }
    }
    used = {name: COMPONENTS[name] for name in ("modbus-driver", "route")}
    text = scenario(
        tmp_path, components={**used, "c-wasi": block}, gateways=gateways, duration="2 s", expect=None
    )
    return Planner(load_text(text, tmp_path / "case.yaml"), host).world()


def found(tmp_path: Path, host: Host, do: str, grants: list[Any], **more: Any) -> Told:
    """What came of it."""
    return run(host, planned(tmp_path, host, do, grants, **more))


def test_folders_environment_and_arguments_are_what_the_file_says(tmp_path: Path, host: Host) -> None:
    folders = {
        "/data": {"quota": "1 KiB"},
        "/etc": "read-only",
        "/cfg": {"from": "folder", "read-only": True},
        "/own": {"from": "folder"},
    }
    told = found(
        tmp_path, host, "preopens read write env args", ["wasi:clocks", {"wasi:filesystem": folders}],
        options={"path": "/cfg/ssl/../motd"}, env={"A": "b"}, args=["x"],
    )  # fmt: skip
    assert told.first == ["/data,/etc,/cfg,/own", "be kind\n", "errno 69", "A=b", "c-wasi,x"]
    wasi = told.slot.imports.wasi
    assert wasi is not None
    assert wasi.files.content() == {
        "/cfg/motd": b"be kind\n", "/cfg/ssl/ca": b"x", "/own/motd": b"be kind\n", "/own/ssl/ca": b"x",
    }  # fmt: skip
    quotas = {tree.folder.path: (tree.folder.quota_bytes, tree.folder.read_only) for tree in wasi.files.trees}
    assert quotas["/data"] == (1024, False)
    assert quotas["/etc"][1] is True


def test_without_a_grant_there_is_nothing(tmp_path: Path, host: Host) -> None:
    assert found(tmp_path, host, "preopens env args", []).first == ["none", "", "c-wasi"]
    denied = found(tmp_path, host, "sleep", [])
    assert {*denied.faults} == {"denied"}
    assert "add wasi:clocks to the grants of c-wasi" in denied.ends[0].message


@pytest.mark.parametrize(
    ("grants", "words"),
    [
        (["wasi:clock"], "wasi:clocks"), (["wasi:filesystem"], "needs to say what of it"),
        ([{"wasi:filesystem": {"data": "read-only"}}], "absolute path"), ([{"wasi:filesystem": {"/a/../b": "read-only"}}], "absolute path"),
        ([{"wasi:filesystem": {"/data": "readonly"}}], "read-only"), ([{"wasi:filesystem": {"/data": {"from": "nowhere"}}}], "no folder"),
        ([{"wasi:filesystem": {"/data": {"from": "../x"}}}], "not beside the scenario"),
        ([{"wasi:filesystem": {"/data": {"from": "folder", "quota": "100 B"}}}], "needs 137 bytes of 100"),
    ],
)  # fmt: skip
def test_what_cant_be_granted_is_refused_at_its_place(
    tmp_path: Path, host: Host, grants: list[Any], words: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        planned(tmp_path, host, "sleep", grants)
    assert words in str(refused.value)

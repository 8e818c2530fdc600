"""A scenario sent to a machine without its files is the same one there."""

from __future__ import annotations

import dataclasses
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.evidence.plant import scenario
from tests.scenarios.file.test_boards import text as board_text
from twinloop.components.host.host import Host
from twinloop.scenarios.evidence.remote.parcel import Unpacked, packed
from twinloop.scenarios.file.load import LIBRARY, Loaded, library_names, load
from twinloop.scenarios.file.settings import parse_setting
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.report.result import scenario_digest
from twinloop.scenarios.text.errors import ScenarioError

NORMALIZE = LIBRARY.parents[1] / "components" / "wasm" / "normalize.wasm"


def sent(loaded: Loaded) -> Unpacked:
    """As it arrives elsewhere."""
    return Unpacked(pickle.loads(pickle.dumps(packed((loaded,)))))


def digests(loaded: Loaded, host: Host) -> tuple[str, dict[str, Any]]:
    """What a plan has read."""
    spec = Planner(loaded, host, 1, {}).world()
    offers = [(one.release, one.data) for one in spec.offers]
    return scenario_digest(loaded), {"files": loaded.models.digests, "offers": offers}


NAMING = [
    name
    for name in library_names()
    if any(word in (LIBRARY / f"{name}.yaml").read_text() for word in ("recording/", "nodeset/", "registry"))
]


@pytest.mark.parametrize("name", NAMING)
def test_a_shipped_scenario_is_planned_alike_there(name: str, host: Host) -> None:
    loaded = load(LIBRARY / f"{name}.yaml")
    there = sent(loaded)
    try:
        assert digests(there.scenarios[0], host) == digests(loaded, host)
    finally:
        there.remove()


def test_there_are_some() -> None:
    assert len(NAMING) >= 4


@pytest.mark.parametrize(
    "name", ["x.wasm", "../x.wasm", "../../x.wasm", "a/../x.wasm", "../plants/x.wasm", "../other/x.wasm"]
)
def test_names_lead_where_they_lead_here(tmp_path: Path, name: str, host: Host) -> None:
    for folder in ("site/plants/a", "site/other"):
        (tmp_path / folder).mkdir(parents=True)
    file = tmp_path / "site" / "plants" / "lucky.yaml"
    shutil.copy(NORMALIZE, file.parent / name)
    file.write_text(scenario().replace("normalize.wasm", name), encoding="utf-8")
    there = sent(load(file))
    (tmp_path / "site").rename(tmp_path / "gone")
    try:
        Planner(there.scenarios[0], host, 1, {}).world()
        assert (there.scenarios[0].file.parent / name).read_bytes() == NORMALIZE.read_bytes()
    finally:
        there.remove()
    assert not there.scenarios[0].file.parent.exists()


def test_folders_travel_with_the_empty_ones(tmp_path: Path, host: Host) -> None:
    file = tmp_path / "lucky.yaml"
    grants = "grants: [log, {'wasi:filesystem': {/data: {read-only: true, quota: 1 MiB, from: tables}}}]"
    (tmp_path / "tables" / "empty").mkdir(parents=True)
    (tmp_path / "tables" / "limits.csv").write_text("a,b\n")
    file.write_text(scenario().replace("grants: [log]", grants, 1), encoding="utf-8")
    there = sent(load(file))
    try:
        home = there.scenarios[0].file.parent
        assert (home / "tables" / "empty").is_dir()
        assert digests(there.scenarios[0], host) == digests(load(file), host)
        assert list(there.scenarios[0].models.digests) == ["tables/limits.csv"]
    finally:
        there.remove()


def test_settings_travel(tmp_path: Path) -> None:
    file = tmp_path / "lucky.yaml"
    file.write_text(scenario(), encoding="utf-8")
    loaded = load(file, [parse_setting("fleets.presses.count=7")])
    there = sent(loaded)
    there.remove()
    assert there.scenarios[0].scenario == loaded.scenario
    assert there.scenarios[0].document == dataclasses.replace(
        loaded.document, file=there.scenarios[0].document.file
    )


def test_texts_name_the_files_of_who_sent_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plants").mkdir()
    file = Path("plants/lucky.yaml")
    file.write_text(scenario(), encoding="utf-8")
    there = sent(load(file))
    there.remove()
    home = there.scenarios[0].file.parent
    found = {"error": f"{home}/lucky.yaml:3: no {home}/model/x.yaml", "count": 3, "all": [str(home)]}
    told = {"error": "plants/lucky.yaml:3: no plants/model/x.yaml", "count": 3, "all": ["plants"]}
    assert there.as_sent(0, found) == told
    monkeypatch.chdir(home.parents[1])  # whose paths are shown as below the working folder
    assert there.as_sent(0, {"error": f"{home.relative_to(home.parents[1])}/lucky.yaml: no"}) == {
        "error": "plants/lucky.yaml: no"
    }


def test_an_absolute_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lucky.yaml"
    shutil.copy(NORMALIZE, tmp_path / "x.wasm")
    file.write_text(scenario().replace("normalize.wasm", str(tmp_path / "x.wasm")), encoding="utf-8")
    with pytest.raises(ScenarioError, match="is an absolute name"):
        packed((load(file),))


def test_a_board_file_of_the_command_line_is_sent_too(tmp_path: Path, host: Host) -> None:
    file = tmp_path / "lucky.yaml"
    file.write_text(scenario(), encoding="utf-8")
    (tmp_path / "own.yaml").write_text(board_text(), encoding="utf-8")
    loaded = load(file)
    boards = dict.fromkeys(loaded.scenario.gateways, "./own.yaml")
    there = Unpacked(pickle.loads(pickle.dumps(packed((loaded,), boards.values()))))
    (tmp_path / "own.yaml").unlink()
    try:
        spec = Planner(there.scenarios[0], host, 1, boards).world()
    finally:
        there.remove()
    assert {gateway.board.title for gateway in spec.gateways} == {"A board of round numbers"}

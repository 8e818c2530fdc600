"""``run --watch``: each file that a run reads is looked at, a change of any makes it run again with what stands
there now, and nothing else does."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest

from tests import processes
from tests.scenarios.evidence.plant import scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import LIBRARY, load
from twinloop.scenarios.interrupts import interruptible
from twinloop.scenarios.judging.verdict import ABORTED, SCENARIO_ERROR
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.watching import Watch, again_and_again

WASM = LIBRARY.parents[1] / "components" / "wasm"
FAILED = 1


class Hands:
    """Somebody who changes files while nothing runs: in place of the clock's sleep. Each step is taken once,
    after two looks that saw nothing; then Ctrl-C."""

    def __init__(self, *steps: Callable[[], Any]) -> None:
        self._steps, self._looks = list(steps), 0

    def sleep(self, seconds: float) -> None:
        self._looks += 1
        if self._looks % 4:
            return
        if not self._steps:
            raise KeyboardInterrupt
        self._steps.pop(0)()


def rewritten(file: Path, old: str, new: str) -> Callable[[], None]:
    def change() -> None:
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    return change


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    file = tmp_path / "plant.yaml"
    text = scenario(loss="0 %").replace("duration: 20 s", "duration: 3 s")
    file.write_text(text.replace("wasm: normalize.wasm", "wasm: mine.wasm"), encoding="utf-8")
    shutil.copy(WASM / "normalize.wasm", tmp_path / "mine.wasm")
    return file


def codes_of(file: Path, *steps: Callable[[], Any]) -> list[int]:
    """The exit codes of the runs that these changes lead to, the first before any."""
    codes: list[int] = []

    def once() -> int:
        codes.append(main(["run", str(file)]))
        return codes[-1]

    assert again_and_again(Watch([file]), once, Hands(*steps).sleep) == codes[-1]
    return codes


def test_a_change_is_run_with_what_stands_there_now(plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scenario, a component's bytes, a file that goes and comes again."""
    mine = plant.with_name("mine.wasm")
    kept = mine.read_bytes()
    codes = codes_of(
        plant,
        rewritten(plant, "ratio(samples.delivered) >= 50 %", "ratio(samples.delivered) <= 50 %"),
        rewritten(plant, "ratio(samples.delivered) <= 50 %", "ratio(samples.delivered) >= 51 %"),
        lambda: shutil.copy(WASM / "route.wasm", mine),  # no transform
        mine.unlink,
        lambda: mine.write_bytes(kept),
        rewritten(plant, "format: 2", "format: 2\nformat: 2"),
        rewritten(plant, "format: 2\nformat: 2", "format: 2"),
    )
    assert codes == [0, FAILED, 0, SCENARIO_ERROR, SCENARIO_ERROR, 0, SCENARIO_ERROR, 0]
    told = capsys.readouterr().err
    assert told.count(f"changed: {mine}\n") == 3
    assert told.count(f"changed: {plant}\n") == 4
    assert told.count("; Ctrl-C ends\n") == len(codes)


def test_what_is_the_same_is_not_run_again(plant: Path) -> None:
    neighbour = plant.with_name("notes.txt")
    assert codes_of(plant, lambda: neighbour.write_text("a change of no file of it")) == [0]


def test_a_file_that_is_still_being_written_is_waited_for(plant: Path) -> None:
    """It changes at each look for a while: one run, of what stands there in the end."""
    mine = plant.with_name("mine.wasm")
    whole = mine.read_bytes()
    growing = iter(range(1, 9))
    codes: list[int] = []

    def once() -> int:
        codes.append(main(["run", str(plant)]))
        return codes[-1]

    def sleep(seconds: float) -> None:
        part = next(growing, None)
        if part is None:
            if len(codes) == 2:
                raise KeyboardInterrupt
            return
        mine.write_bytes(whole[: len(whole) * part // 8])

    assert again_and_again(Watch([plant]), once, sleep) == 0
    assert codes == [0, 0]


def test_a_change_during_a_run_is_none_that_is_missed(plant: Path) -> None:
    ran: list[str] = []

    def once() -> int:
        ran.append(plant.read_text(encoding="utf-8"))
        if len(ran) == 1:
            rewritten(plant, "name: lucky", "name: other")()
        return 0

    again_and_again(Watch([plant]), once, Hands().sleep)
    assert len(ran) == 2
    assert ran[0] != ran[1]


def test_scenarios_that_come_to_a_folder_are_run(plant: Path) -> None:
    other = plant.with_name("other.yaml")
    codes = codes_of(
        plant.parent, lambda: other.write_text(plant.read_text().replace("samples.lost) == 0", "samples.lost) > 0"))
    )  # fmt: skip
    assert codes == [0, FAILED]


def test_what_the_command_writes_is_no_change(plant: Path) -> None:
    """Beside the scenarios, in a folder that is looked at."""
    page, out = plant.with_name("page.yaml"), plant.with_name("out")
    out.mkdir()
    codes: list[int] = []

    def once() -> int:
        page.write_text(f"written for the {len(codes)}th time")
        (out / "more.yaml").write_text(f"{len(codes)}")
        codes.append(0)
        return 0

    assert again_and_again(Watch([plant.parent], (), [page, out]), once, Hands().sleep) == 0
    assert codes == [0]


def test_a_signal_ends_it_whatever_the_exit_code(plant: Path) -> None:
    def once() -> int:
        with interruptible() as interrupts:
            interrupts.over()
            os.kill(os.getpid(), signal.SIGINT)
        return 71  # the receiver of what was interrupted

    def never(seconds: float) -> None:
        raise AssertionError

    assert again_and_again(Watch([plant]), once, never) == 71


def test_a_command_that_was_broken_off_ends(plant: Path) -> None:
    def never(seconds: float) -> None:
        raise AssertionError

    assert again_and_again(Watch([plant]), lambda: ABORTED, never) == ABORTED


def test_a_scenario_error_of_the_command_is_told_and_waited_for(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def once() -> int:
        raise ScenarioError("plant", None, "", "no scenario in this folder")

    assert again_and_again(Watch([plant]), once, Hands().sleep) == SCENARIO_ERROR
    assert "error: plant: no scenario in this folder\n" in capsys.readouterr().err


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Each file that Python opens to read, whoever does it."""
    found: list[Path] = []
    real = io.open

    def noting(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if isinstance(file, str | os.PathLike) and not set(mode) & set("wax+"):
            found.append(Path(os.fsdecode(file)).resolve())
        return real(file, mode, *rest, **more)

    monkeypatch.setattr(io, "open", noting)
    monkeypatch.setattr(builtins, "open", noting)
    return found


@pytest.mark.parametrize("name", ["mixed-plant-troubles", "upgrade-rolled-back", "hostile-devices"])
def test_each_file_that_a_plan_reads_is_looked_at(
    name: str, tmp_path: Path, opened: list[Path], host: Host
) -> None:
    """A copy of the shipped scenarios, so that each file of it is the user's own."""
    home = tmp_path / "library"
    shutil.copytree(LIBRARY, home)
    shutil.copytree(WASM, tmp_path / "wasm")
    file = home / f"{name}.yaml"
    text = file.read_text(encoding="utf-8").replace("wasm: ", "wasm: ../wasm/")
    file.write_text(text, encoding="utf-8")
    watch = Watch([file])
    watch.begin()
    opened.clear()
    Planner(load(file), host, 1, {}).world()
    read = {each for each in opened if each.is_relative_to(tmp_path)}
    assert len(read) >= 4
    assert not read - {each.resolve() for each in watch.seen}


def test_files_of_every_kind_are_looked_at(tmp_path: Path) -> None:
    """Grants' folders, policies in Rego, twins, models: what named_files knows of, told once more."""
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "limits.csv").write_text("a\n")
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "p.rego").write_text("package twinloop\n")
    text = scenario().replace(
        "grants: [log]", "grants: [log, {'wasi:filesystem': {/data: {read-only: true, quota: 1 MiB, from: tables}}}]", 1
    )  # fmt: skip
    text = text.replace("{wasm: route.wasm, grants: [log]}", "{rego: policy}")
    assert "board: raspberry-pi-4" in text
    text = text.replace("board: raspberry-pi-4", "board: ./own.yaml")
    (tmp_path / "own.yaml").write_text("format: 1\n")
    file = tmp_path / "plant.yaml"
    file.write_text(text, encoding="utf-8")
    watch = Watch([file])
    watch.begin()
    told = {str(each.relative_to(tmp_path)) for each, state in watch.seen.items() if state is not None}
    assert told == {"plant.yaml", "tables/limits.csv", "policy/p.rego", "own.yaml"}


def test_on_a_command_line(plant: Path) -> None:
    """The real clock, a real Ctrl-C while it waits: the exit code is that of the last run."""
    with processes.twinloop("run", str(plant), "--watch") as process:
        assert first_line(process.stderr) == "watching"
        rewritten(plant, "ratio(samples.delivered) >= 50 %", "ratio(samples.delivered) <= 50 %")()
        assert first_line(process.stderr) == "changed:"
        assert first_line(process.stderr) == "watching"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == FAILED


def first_line(stream: TextIO) -> str:
    """The first word of the next line."""
    return stream.readline().partition(" ")[0]

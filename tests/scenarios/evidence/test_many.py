"""``twinloop run --seeds`` as a user has it: in this process, in several, in shards, interrupted, killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest

from tests.scenarios.evidence.plant import scenario
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence import workers
from twinloop.scenarios.file.load import load
from twinloop.scenarios.report.document import SCHEMA
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import MachineError

SEEDS = list(range(1, 9))
TASKS = [(0, seed) for seed in SEEDS]
EXCEPTED = ("wall_s", "speedup")


def plain(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries without what may differ between two runs of the same (result.py says what)."""
    return [
        {**entry, "run": {k: v for k, v in entry["run"].items() if k not in EXCEPTED}}
        if "run" in entry
        else entry
        for entry in entries
    ]


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """Of its seeds 1 to 8 some miss no sample."""
    file = tmp_path / "lucky.yaml"
    file.write_text(scenario(), encoding="utf-8")
    return file


def document(path: Path) -> dict[str, Any]:
    """A result file that keeps its own schema."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(data, json.loads(SCHEMA.read_text(encoding="utf-8")))
    return data


def test_each_seed_is_the_run_that_it_is_alone(plant: Path, tmp_path: Path) -> None:
    """The oracle: each seed by itself, by the front door."""
    assert (
        main(["run", str(plant), "--seeds", "1..8", "--jobs", "1", "--json", str(tmp_path / "r.json")]) == 1
    )
    data = document(tmp_path / "r.json")
    alone = [run(load(plant), Options(seed=seed)) for seed in SEEDS]
    assert [entry["digest"] for entry in data["results"]] == [one.digest for one in alone]
    assert [entry["verdict"] for entry in data["results"]] == [one.verdict for one in alone]
    (told,) = data["seeds"]
    held = sum(one.passed for one in alone)
    assert 0 < held < len(SEEDS)
    assert (told["verdict"], told["held"], told["seeds"]) == ("UNSTABLE", held, 8)
    missed = [float(one.judged[0].measured or 0) for one in alone]
    assert told["expectations"][0]["worst"] == max(missed)
    assert told["expectations"][0]["median"] == sorted(missed)[3]
    assert told["worst_seed"] == SEEDS[missed.index(next(one for one in missed if one > 0))]


def test_processes_change_nothing(plant: Path, tmp_path: Path) -> None:
    for jobs in ("1", "3"):
        file = str(tmp_path / f"{jobs}.json")
        assert main(["run", str(plant), "--seeds", "1..8", "--jobs", jobs, "--json", file]) == 1
    one, three = document(tmp_path / "1.json"), document(tmp_path / "3.json")
    assert plain(one["results"]) == plain(three["results"])
    assert one["seeds"] == three["seeds"]


def test_shards_merge_to_the_whole(plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, merged = str(tmp_path / "whole.json"), str(tmp_path / "merged.json")
    assert main(["run", str(plant), "--seeds", "1..8", "--jobs", "1", "--json", whole]) == 1
    parts = [str(tmp_path / f"{number}.json") for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        argv = ["run", str(plant), "--seeds", "1..8", "--jobs", "1", "--shard", f"{number}/3", "--json", part]
        assert main(argv) in (0, 1)
    capsys.readouterr()
    assert main(["merge", *reversed(parts), "--json", merged]) == 1
    assert document(Path(merged))["seeds"] == document(Path(whole))["seeds"]
    assert plain(document(Path(merged))["results"]) == plain(document(Path(whole))["results"])
    assert main(["merge", parts[0], parts[2]]) == 3
    assert "3 seeds of " in (err := capsys.readouterr().err)
    assert "have no result: 2, 5, 8; missing shard 2/3" in err
    assert main(["merge", *parts, parts[1]]) == 3
    assert "seed 2 of " in capsys.readouterr().err


def test_shards_of_another_scenario_are_refused(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    main(["run", str(plant), "--seeds", "1..2", "--shard", "1/2", "--json", a])
    plant.write_text(scenario(missed=5), encoding="utf-8")
    main(["run", str(plant), "--seeds", "1..2", "--shard", "2/2", "--json", b])
    capsys.readouterr()
    assert main(["merge", a, b]) == 3
    assert "scenario_digest differs" in capsys.readouterr().err


def test_shards_on_other_boards_or_of_another_twinloop_are_refused(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    main(["run", str(plant), "--seeds", "1..2", "--shard", "1/2", "--json", str(a)])
    argv = ["run", str(plant), "--seeds", "1..2", "--shard", "2/2", "--json", str(b)]
    main([*argv, "--board", "gw=raspberry-pi-3"])
    capsys.readouterr()
    assert main(["merge", str(a), str(b)]) == 3
    assert "board differs" in capsys.readouterr().err
    main(argv)
    data = document(b)
    data["results"][0]["versions"]["wasmtime"] = "1.0"
    b.write_text(json.dumps(data), encoding="utf-8")
    capsys.readouterr()
    assert main(["merge", str(a), str(b)]) == 3
    assert "version of wasmtime differs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "expected what twinloop run --seeds … --json writes"),
        ("nonsense", "it is no JSON"),
        ('{"format": 1, "results": []}', "it is the result of single runs"),
    ],
)
def test_what_can_not_be_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    assert main(["merge", str(file)]) == 3
    assert words in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "absent.json")]) == 3


def test_the_report(plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", str(plant), "--seeds", "1..8", "--jobs", "1"])
    out = capsys.readouterr().out
    assert "UNSTABLE  " in out
    assert "8 seeds of 1..8" in out
    assert "count(samples.missed) <= 0" in out
    assert "worst seed " in out
    assert "twinloop run " in out.split("worst seed ")[1]


def test_a_required_share_decides(plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all hold 8 seeds show 67.5 %."""
    plant.write_text(scenario(missed=100), encoding="utf-8")
    assert main(["run", str(plant), "--seeds", "1..8", "--jobs", "1", "--require", "60 %"]) == 0
    assert "60 % are required, and at least 67.5 % hold" in capsys.readouterr().out
    plant.write_text(scenario(), encoding="utf-8")
    assert main(["run", str(plant), "--seeds", "1..8", "--jobs", "1", "--require", "60 %"]) == 1
    assert "FAIL  60 % are required" in capsys.readouterr().out


def test_junit_tells_what_the_exit_code_does(plant: Path, tmp_path: Path) -> None:
    file = tmp_path / "j.xml"
    assert main(["run", str(plant), "--seeds", "1..8", "--jobs", "1", "--junit", str(file)]) == 1
    suite = ET.parse(file).getroot()[0]
    failed = [case.get("name") for case in suite.findall("testcase") if case.find("failure") is not None]
    assert failed == ["seeds 1..8", "count(samples.missed) <= 0"]
    assert suite.get("failures") == "2"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--seed", "3"], "--seed and --seeds don't go together"),
        (["--check"], "--check and --seeds don't go together"),
        (["--clock", "paced"], "--clock and --seeds don't go together"),
    ],
)
def test_flags_that_do_not_go_together(
    plant: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert main(["run", str(plant), "--seeds", "1..2", *flags]) == 3
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("flag", [["--jobs", "2"], ["--require", "90 %"], ["--shard", "1/2"]])
def test_flags_of_many_seeds_alone(plant: Path, capsys: pytest.CaptureFixture[str], flag: list[str]) -> None:
    assert main(["run", str(plant), *flag]) == 3
    assert f"{flag[0]} goes with --seeds" in capsys.readouterr().err


def test_a_mistake_in_the_scenario_is_told_once(plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant.write_text(scenario().replace("normalize.wasm", "absent.wasm"), encoding="utf-8")
    assert main(["run", str(plant), "--seeds", "1..8", "--jobs", "2"]) == 3
    text = capsys.readouterr()
    assert (text.out + text.err).count("absent.wasm") <= 5


def test_each_seed_has_a_folder(plant: Path, tmp_path: Path) -> None:
    assert main(["run", str(plant), "--seeds", "1..2", "--out", str(tmp_path / "o")]) in (0, 1)
    assert sorted(one.name for one in (tmp_path / "o").iterdir()) == ["seed-1", "seed-2"]


def test_a_killed_process_loses_and_doubles_nothing(
    plant: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process that gets seed 5 first kills itself in the middle of it, as the kernel would when memory is
    short."""
    mark, plain_one = tmp_path / "killed", workers.Work.one

    def one(self: workers.Work, task: workers.Task, host: Any) -> Any:
        if task == (0, 5) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return plain_one(self, task, host)

    monkeypatch.setattr(workers.Work, "one", one)
    found: list[workers.Entry] = []
    work = workers.Work((load(plant),), Options())
    workers.in_processes(work, TASKS, 2, lambda _, entry: found.append(entry), lambda: False)
    assert mark.exists()
    assert sorted(entry["seed"] for entry in found) == SEEDS
    assert "a process that ran seeds was killed" in capfd.readouterr().err
    monkeypatch.undo()
    unhurt: list[workers.Entry] = []
    workers.here(work, TASKS, lambda _, entry: unhurt.append(entry), lambda: False)
    assert plain(sorted(found, key=lambda entry: int(entry["seed"]))) == plain(unhurt)


def test_processes_that_always_die_are_this_machines_fault(
    plant: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.Work, "one", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    work = workers.Work((load(plant),), Options())
    with pytest.raises(MachineError, match="killed before any seed had ended, 3 times in a row"):
        workers.in_processes(work, TASKS, 2, lambda *_: None, lambda: False)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_has_ended_is_kept_when_it_is_interrupted(plant: Path, tmp_path: Path, jobs: str) -> None:
    plant.write_text(scenario(count=20), encoding="utf-8")
    file = tmp_path / "r.json"
    command = "from twinloop.scenarios.cli.start import script; script()"
    argv = [sys.executable, "-c", command, "run", str(plant), "--jobs", jobs]
    argv += ["--seeds", "1..400", "--json", str(file), "--out", str(tmp_path / "o")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if len(list((tmp_path / "o").glob("seed-*/result.json"))) >= 3:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    (told,) = document(file)["seeds"]
    assert told["verdict"] == "ABORTED"
    assert sum(told["verdicts"].values()) >= 3
    assert told["seeds"] == 400
    assert "Traceback" not in err

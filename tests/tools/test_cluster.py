"""``twinloop run --seeds --cluster``: equal to a run without it, whatever workers do. Scheduler and workers are
processes of their own, in folders of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.evidence.plant import scenario
from tests.scenarios.evidence.test_many import document
from twinloop.scenarios.cli.main import main

pytest.importorskip(
    "distributed", reason="Dask isn't installed: make test-tools, or pip install 'twinloop[cluster]'"
)

from tests.tools.cluster import ROOT, Processes, processes

EXCEPTED = re.compile(r'"(wall_s|speedup)": [^,\n]+')
COMMAND = [sys.executable, "-c", "from twinloop.scenarios.cli.start import script; script()"]


def plain(file: Path) -> str:
    """A result document, byte for byte, without what may differ between two runs of the same."""
    document(file)
    return EXCEPTED.sub(r'"\1": 0', file.read_text(encoding="utf-8"))


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """Of its seeds some miss no sample."""
    (tmp_path / "plants").mkdir()
    file = tmp_path / "plants" / "lucky.yaml"
    file.write_text(scenario(), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """With two workers, which no test kills."""
    with processes(tmp_path_factory.mktemp("dask") / "cluster") as found:
        found.worker("a")
        found.worker("b")
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Processes]:
    """Of one test alone."""
    with processes(tmp_path / "cluster") as found:
        yield found


def run(plant: Path | str, seeds: str, tmp_path: Path, *flags: str) -> tuple[int, Path]:
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
    return main(["run", str(plant), "--seeds", seeds, "--json", str(file), *flags]), file


TELLER = """\
import os
from twinloop.scenarios.evidence import workers
plain = workers.Work.one
def one(self, task, host):
    with open(os.environ["BEGUN"], "a") as file:
        print(task[1], file=file, flush=True)
    return plain(self, task, host)
workers.Work.one = one
"""
"""what a worker loads beside: it writes down which seeds it begins"""


def telling(own: Processes, name: str, tmp_path: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """A worker, and the file in which it writes down which seeds it begins."""
    (tmp_path / "teller.py").write_text(TELLER)
    search = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    begun = tmp_path / f"begun-{name}"
    begun.touch()
    return own.worker(name, "--preload", "teller", env={"PYTHONPATH": search, "BEGUN": str(begun)}), begun


def until_begun(begun: Path, seeds: int) -> None:
    """It has begun so many, and is at the last of them."""
    for _ in range(12_000):
        if begun.read_text().count("\n") >= seeds:
            return
        time.sleep(0.01)
    raise AssertionError("it began no seeds")


def test_a_killed_worker_and_a_late_one_change_nothing(
    own: Processes, plant: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """40 seeds on three workers; one is killed when it has had some, another joins after that."""
    plant.write_text(scenario(count=12), encoding="utf-8")
    first, begun = telling(own, "a", tmp_path)
    late: list[Path] = []
    for name in ("b", "c"):
        own.worker(name)
    for name in ("a", "b", "c"):
        own.until(name, "Registered to")

    def trouble() -> None:
        until_begun(begun, 3)
        first.send_signal(signal.SIGKILL)
        late.append(telling(own, "late", tmp_path)[1])

    killer = threading.Thread(target=trouble)
    killer.start()
    code, there = run(plant, "1..40", tmp_path, "--cluster", own.address)
    killer.join()
    err = capfd.readouterr().err
    assert re.search(r"worker tcp://\S+ was lost; seeds? [\d, ]+, which it had, (is|are) run again", err), err
    assert late[0].read_text(), "the late one had no seeds"
    here = run(plant, "1..40", tmp_path, "--jobs", "2")
    assert code == here[0]
    assert plain(there) == plain(here[1])
    assert [entry["seed"] for entry in document(there)["results"]] == list(range(1, 41))


def test_who_joins_when_all_are_gone_does_the_rest(
    own: Processes, plant: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was with the only worker waits, and isn't forgotten: the late one has all that is left."""
    plant.write_text(scenario(count=12), encoding="utf-8")
    first, begun = telling(own, "a", tmp_path)

    def trouble() -> None:
        until_begun(begun, 2)
        first.send_signal(signal.SIGKILL)
        time.sleep(2)
        own.worker("late")

    killer = threading.Thread(target=trouble)
    killer.start()
    code, there = run(plant, "1..12", tmp_path, "--cluster", own.address)
    killer.join()
    assert "was lost" in capfd.readouterr().err
    here = run(plant, "1..12", tmp_path, "--jobs", "1")
    assert code == here[0]
    assert plain(there) == plain(here[1])


def test_workers_of_its_own(plant: Path, tmp_path: Path) -> None:
    code, there = run(plant, "1..6", tmp_path, "--cluster", "local", "--jobs", "2")
    here = run(plant, "1..6", tmp_path, "--jobs", "1")
    assert code == here[0] == 1
    assert plain(there) == plain(here[1])


def test_files_above_and_beside_the_scenario_travel(cluster: Processes, plant: Path, tmp_path: Path) -> None:
    """Workers run in folders where these names lead nowhere."""
    shipped = ROOT / "components" / "wasm"
    shutil.copy(shipped / "normalize.wasm", tmp_path / "above.wasm")
    (plant.parent / "parts").mkdir()
    shutil.copy(shipped / "route.wasm", plant.parent / "parts" / "way.wasm")
    text = scenario().replace("wasm: normalize.wasm", "wasm: ../above.wasm")
    plant.write_text(text.replace("wasm: route.wasm", "wasm: parts/way.wasm"), encoding="utf-8")
    code, there = run(
        plant, "1..3", tmp_path, "--cluster", cluster.address, "--set", "fleets.presses.count=3"
    )
    here = run(plant, "1..3", tmp_path, "--jobs", "1", "--set", "fleets.presses.count=3")
    assert code == here[0]
    assert plain(there) == plain(here[1])
    assert "twinloop-seeds-" not in there.read_text()


@pytest.mark.parametrize(
    "flags", [["mixed-plant", "--set", "duration=5 s"], ["upgrade"]], ids=lambda one: one[0]
)
def test_shipped_scenarios(cluster: Processes, tmp_path: Path, flags: list[str]) -> None:
    """One with a recording and a NodeSet, one with a registry."""
    name, *settings = flags
    code, there = run(name, "1", tmp_path, "--cluster", cluster.address, *settings)
    here = run(name, "1", tmp_path, "--jobs", "1", *settings)
    assert code == here[0]
    assert plain(there) == plain(here[1])
    assert document(there)["results"][0]["kind"] == "result"


def test_a_mistake_in_the_scenario_is_told_as_without_a_cluster(plant: Path, tmp_path: Path) -> None:
    plant.write_text(scenario().replace("normalize.wasm", "absent.wasm"), encoding="utf-8")
    code, there = run(plant, "1..3", tmp_path, "--cluster", "tcp://127.0.0.1:1")
    here = run(plant, "1..3", tmp_path, "--jobs", "1")
    assert code == here[0] == 3
    assert plain(there) == plain(here[1])


def test_an_error_of_a_run_names_the_users_file(cluster: Processes, plant: Path, tmp_path: Path) -> None:
    """What a driver refuses at its first boot, the plan can't know."""
    plant.write_text(scenario().replace("timeout: 150 ms", "timeout: nonsense"), encoding="utf-8")
    code, there = run(plant, "1..2", tmp_path, "--cluster", cluster.address)
    here = run(plant, "1..2", tmp_path, "--jobs", "1")
    assert code == here[0] == 3
    assert plain(there) == plain(here[1])
    assert str(plant) in document(there)["results"][0]["error"]


def test_a_scheduler_that_is_not_there(plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert main(["run", str(plant), "--seeds", "1..4", "--cluster", "tcp://127.0.0.1:9"]) == 71
    assert time.monotonic() - began < 10
    err = capsys.readouterr().err
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in err
    assert "Traceback" not in err


def test_another_twinloop_is_refused(
    own: Processes, plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("twinloop", "numpy"):
        info = tmp_path / "old" / f"{package}-0.0.9.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.9\n")
    search = os.pathsep.join([str(tmp_path / "old"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    own.worker("old", env={"PYTHONPATH": search})
    own.worker("new")
    for name in ("old", "new"):
        own.until(name, "Registered to")
    assert main(["run", str(plant), "--seeds", "1..4", "--cluster", own.address]) == 71
    err = capsys.readouterr().err
    assert "workers have another twinloop, so that their results would differ" in err
    assert re.search(r"^this machine +0\.1\.0 ", err, re.MULTILINE)
    assert len(re.findall(r"^tcp://\S+ +0\.0\.9 .* 0\.0\.9 ", err, re.MULTILINE)) == 1


def test_another_numpy_is_told_and_allowed(
    own: Processes, plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "old" / "numpy-0.0.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.9\n")
    search = os.pathsep.join([str(tmp_path / "old"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    own.worker("old", env={"PYTHONPATH": search})
    assert run(plant, "1..2", tmp_path, "--cluster", own.address)[0] in (0, 1)
    assert "note: workers have another numpy, which is allowed" in capsys.readouterr().err


def test_a_worker_with_more_than_one_thread_is_refused(
    own: Processes, plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own.worker("wide", threads=4)
    assert main(["run", str(plant), "--seeds", "1..4", "--cluster", own.address]) == 71
    assert "it has 4 threads, and twinloop runs in one: start it with --nthreads 1" in capsys.readouterr().err


KILLER = """\
import os, signal
from twinloop.scenarios.evidence import workers
plain = workers.Work.one
def one(self, task, host):
    if task[1] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, task, host)
workers.Work.one = one
"""
"""what a worker loads beside: its seed 3 kills it, as the kernel would when memory is short"""


def test_a_seed_that_always_kills_its_worker_is_named(
    own: Processes, plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    search = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    workers = 8  # four losses are counted; the scheduler may hand the seed on before it is taken back
    for number in range(workers):
        own.worker(f"w{number}", "--preload", "killer", env={"PYTHONPATH": search})
    for number in range(workers):
        own.until(f"w{number}", "Registered to")
    code, there = run(plant, "1..6", tmp_path, "--cluster", own.address)
    err = capsys.readouterr().err
    assert code == 71, err
    assert "seed 3 kills its worker again and again" in err
    results = document(there)["results"]
    assert [entry["seed"] for entry in results] == [1, 2, 3, 4, 5, 6]
    assert [entry["kind"] for entry in results].count("error") == 1
    assert results[2]["code"] == 71


def test_what_has_ended_is_kept_when_it_is_interrupted(
    cluster: Processes, plant: Path, tmp_path: Path
) -> None:
    plant.write_text(scenario(count=10), encoding="utf-8")
    file = tmp_path / "r.json"
    argv = [*COMMAND, "run", str(plant), "--seeds", "1..2000", "--json", str(file)]
    began = cluster.log("a").count("Starting Worker plugin")
    with subprocess.Popen(
        [*argv, "--cluster", cluster.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while cluster.log("a").count("Starting Worker plugin") == began and process.poll() is None:
            time.sleep(0.1)
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    (told,) = document(file)["seeds"]
    assert told["verdict"] == "ABORTED"
    assert told["seeds"] == 2000
    assert 1 <= sum(told["verdicts"].values()) < 2000
    assert "Traceback" not in err


def test_a_terminals_interrupt_is_heard_by_the_command_alone(plant: Path, tmp_path: Path) -> None:
    """It reaches the whole group, workers of the command's own included."""
    plant.write_text(scenario(count=10), encoding="utf-8")
    file = tmp_path / "r.json"
    argv = [*COMMAND, "run", str(plant), "--seeds", "1..2000", "--json", str(file)]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        [*argv, "--cluster", "local", "--jobs", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as process:  # fmt: skip
        while not list(temporary.glob("*/*/*/twinloop-seeds-*/0")) and process.poll() is None:
            time.sleep(0.1)
        time.sleep(6)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    (told,) = document(file)["seeds"]
    assert 1 <= sum(told["verdicts"].values()) < 2000, out
    assert list(temporary.rglob("twinloop-seeds-*")) == []


def test_a_late_worker_that_does_not_fit_gets_nothing(
    own: Processes, plant: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plant.write_text(scenario(count=10), encoding="utf-8")
    own.worker("a")

    def join() -> None:
        own.until("a", "Starting Worker plugin twinloop-")
        own.worker("wide", threads=3)

    joiner = threading.Thread(target=join)
    joiner.start()
    code, there = run(plant, "1..40", tmp_path, "--cluster", own.address)
    joiner.join()
    assert re.search(r"worker tcp://\S+ isn't used: it has 3 threads", capfd.readouterr().err)
    assert code == 1
    assert {entry["kind"] for entry in document(there)["results"]} == {"result"}


def test_a_cluster_without_workers(
    own: Processes, plant: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinloop.scenarios.evidence.cluster.WORKERS_S", 1)
    assert main(["run", str(plant), "--seeds", "1..4", "--cluster", own.address]) == 71
    assert (
        f"has no workers; start some with: dask worker {own.address} --nthreads 1" in capsys.readouterr().err
    )


def test_a_scheduler_that_dies_leaves_what_has_ended(
    own: Processes, plant: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plant.write_text(scenario(count=10), encoding="utf-8")
    own.worker("a")

    def kill() -> None:
        own.until("a", "Starting Worker plugin twinloop-")
        time.sleep(4)
        own.scheduler.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    code, there = run(plant, "1..500", tmp_path, "--cluster", own.address)
    killer.join()
    assert code == 71
    results = document(there)["results"]
    assert [entry["seed"] for entry in results] == list(range(1, 501))
    assert {entry["kind"] for entry in results} == {"result", "error"}
    err = capfd.readouterr().err
    assert "the scheduler of the cluster is gone" in err
    assert "Traceback" not in err

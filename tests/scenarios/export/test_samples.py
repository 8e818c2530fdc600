"""``--parquet``: the rows of samples.parquet are what the result's books count."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli.test_cli import TINY
from tests.scenarios.export.traces import shipped
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.export import samples
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.sim.accounts.latency import STAGES

parquet: Any = pytest.importorskip("pyarrow.parquet", reason="needs twinloop[parquet]")
CASES = {
    "tiny": TINY,
    "outage": shipped("quickstart", duration="20 s", timeline=[{"at": "5 s", "cut": "cloud", "for": "5 s"}]),
    "crash": TINY + "timeline:\n  - {at: 2 s, power-cut: gw, for: 1 s}\n  - {at: 4 s, cut: plant}\n",
    "pair": shipped("failover-hot"),
    "lying": shipped("lying-sensors"),
    "opcua": shipped("opcua-subscriptions"),
    "mqtt": shipped("mqtt-troubles"),
}


def kept(host: Host, text: str, out: Path) -> Result:
    options = Options(out=out, watches=(samples.SamplesTable(),))
    return run(load_text(text, Path("x.yaml")), options, host)


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_rows_are_what_the_books_count(host: Host, text: str, tmp_path: Path) -> None:
    plain = run(load_text(text, Path("x.yaml")), Options(), host)
    result = kept(host, text, tmp_path / "out")
    assert (result.digest, result.data["run"]["events"]) == (plain.digest, plain.data["run"]["events"])
    rows = parquet.read_table(tmp_path / "out" / "samples.parquet").to_pylist()
    books = result.data["ledger"]
    assert len(rows) == books["due"] > 0
    assert len({(row["device"], row["k"], row["point"]) for row in rows}) == len(rows)
    ends = Counter((row["end"], row["cause"]) for row in rows)
    told = {(end, ""): books[end] for end in ("delivered", "cached") if books[end]}
    for end in ("dropped", "evicted", "missed", "lost"):
        told.update({(end, cause): count for cause, count in books[end].items() if count})
    assert ends == told
    for name, column in {"gateway": "gateway_ns", "cloud": "cloud_ns"}.items():
        values = [row[column] for row in rows if row[column] is not None]
        figures = result.data["latency"][name]
        assert (len(values), max(values)) == (figures["count"], figures["max_ns"]), name
    for row in rows:
        stages = [row[f"{stage}_ns"] for stage in STAGES]
        if row["gateway_ns"] is None:
            assert stages == [None] * len(STAGES)
        else:
            assert sum(stages) == row["gateway_ns"]
        assert row["end_ns"] >= row["due_ns"] >= 0
        assert (row["status"] is None) == (row["quality"] is None)


def test_statuses_are_the_ledger_s(host: Host, tmp_path: Path) -> None:
    result = kept(host, CASES["lying"], tmp_path / "out")
    rows = parquet.read_table(tmp_path / "out" / "samples.parquet").to_pylist()
    readings = result.data["quality"]["readings"]
    told = {"good": readings["good"], **{name: sum(readings[name].values()) for name in ("uncertain", "bad")}}
    counts = Counter(row["quality"] for row in rows)
    assert {name: counts[name] for name in told} == told


def test_row_groups_are_bounded(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "ROWS_PER_GROUP", 7)
    result = kept(host, TINY, tmp_path / "out")
    file = parquet.ParquetFile(tmp_path / "out" / "samples.parquet")
    sizes = [file.metadata.row_group(place).num_rows for place in range(file.metadata.num_row_groups)]
    assert set(sizes[:-1]) == {7}
    assert sum(sizes) == result.data["ledger"]["due"]
    schema = file.schema_arrow
    assert {field.name: field.metadata[b"meaning"].decode() for field in schema} == {
        name: meaning for name, (_, meaning) in samples.COLUMNS.items()
    }


def test_a_second_run_into_the_folder_replaces_it(tmp_path: Path) -> None:
    file, out = tmp_path / "tiny.yaml", tmp_path / "out"
    file.write_text(TINY)
    sizes = []
    for _ in range(2):
        assert main(["run", str(file), "--out", str(out), "--parquet"]) == 0
        sizes.append((out / "samples.parquet").read_bytes())
    assert sizes[0] == sizes[1]
    assert main(["run", str(file), "--out", str(out)]) == 0
    assert not (out / "samples.parquet").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_room_is_this_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "twinloop.scenarios.report.folder.Folder.further", lambda self, name: Path("/dev/full")
    )
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert main(["run", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out"), "--parquet"]) == 71
    told = capsys.readouterr().err
    assert "is there room for it?" in told
    assert "Traceback" not in told


REFUSED = {
    "": "it goes with --out DIR",
    "--out o --check": "--check runs a scenario twice",
    "--out o --clock wire": "--clock wire has times of real sockets",
    "--out o --seeds 1..3": "don't go together",
}


@pytest.mark.parametrize(("beside", "why"), REFUSED.items(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(
    beside: str,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "quickstart", "--parquet", *beside.split()]) == 3
    assert why in capsys.readouterr().err
    assert not (tmp_path / "o").exists()

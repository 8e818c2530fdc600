"""Without the packages: a line that names the flag, what is missing and the cure; and a run that asks for
nothing loads none of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.test_imports import modules_after
from twinloop.scenarios.cli.main import main

FLAGS = {
    "perfetto": (["--perfetto", "t"], ["perfetto", "perfetto.protos.perfetto.trace.perfetto_trace_pb2"]),
    "parquet": (["--parquet", "--out", "o"], ["pyarrow", "pyarrow.parquet"]),
}


@pytest.mark.parametrize("extra", FLAGS)
def test_a_missing_package_is_named_with_its_cure(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags, modules = FLAGS[extra]
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "quickstart", *flags]) == 3
    told = capsys.readouterr().err
    assert f'--{extra}: needs the Python package "{modules[0]}"' in told
    assert f'pip install "twinloop[{extra}]"' in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_asks_for_nothing_loads_nothing_of_it() -> None:
    code = (
        "from twinloop.scenarios.cli.main import main; main(['run', 'quickstart', '--set', 'duration=70s'])"
    )
    loaded = modules_after(code)
    assert not {"perfetto", "pyarrow"} & set(loaded)
    assert [name for name in loaded if name.startswith("twinloop.scenarios.export")] == [
        "twinloop.scenarios.export",
        "twinloop.scenarios.export.asked",
    ]


def test_plain_cores_know_of_no_watch() -> None:
    """The plain cores are a class of their own: nothing in them asks whether somebody watches."""
    from twinloop.sim.machine.cores import Cores

    assert isinstance(Cores.__dict__["free"], type(Cores.__dict__["count"]))
    assert not isinstance(Cores.__dict__["busy_ns"], property)

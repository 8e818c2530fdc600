"""Without the packages: a line that names the flag, what is missing and the cure. (That a run
which asks for nothing loads none of it: tests/test_imports.py.)"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from twinloop.scenarios.cli.main import main

FLAGS = {
    "perfetto": (["--perfetto", "t"], ["perfetto", "perfetto.protos.perfetto.trace.perfetto_trace_pb2"]),
    "parquet": (["--parquet", "--out", "o"], ["pyarrow", "pyarrow.parquet"]),
    "otlp": (["--otlp", "t"], ["opentelemetry", "opentelemetry.proto.common.v1.common_pb2"]),
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


def test_plain_cores_know_of_no_watch() -> None:
    """The plain cores are a class of their own: nothing in them asks whether somebody watches."""
    from twinloop.sim.machine.cores import Cores

    assert isinstance(Cores.__dict__["free"], type(Cores.__dict__["count"]))
    assert not isinstance(Cores.__dict__["busy_ns"], property)

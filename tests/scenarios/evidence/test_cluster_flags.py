"""``--cluster`` before anything of Dask is asked: these need no Dask (tests/tools has the others)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.evidence.plant import scenario
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.remote.versions import ASKED, SAME, TOLD, code_digest, differing, table

ADDRESS = "tcp://scheduler:8786"


@pytest.fixture
def plant(tmp_path: Path) -> str:
    file = tmp_path / "lucky.yaml"
    file.write_text(scenario(), encoding="utf-8")
    return str(file)


@pytest.fixture
def dask(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Whether Dask is installed, as far as anybody asks."""
    plain = importlib.util.find_spec

    def find(name: str, *more: Any) -> Any:
        return request.param if name == "distributed" else plain(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.usefixtures("dask")
@pytest.mark.parametrize("dask", [None], indirect=True)
def test_without_the_extra_the_cure_is_told(plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", plant, "--seeds", "1..2", "--cluster", ADDRESS]) == 3
    assert capsys.readouterr().err == (
        "error: --cluster: it needs Dask, which isn't installed: python -m pip install 'twinloop[cluster]'\n"
    )


@pytest.mark.usefixtures("dask")
@pytest.mark.parametrize("dask", [True], indirect=True)
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--cluster", "scheduler"], 'such as tcp://scheduler:8786, or local; got "scheduler"'),
        (["--cluster", "http://scheduler:8786"], 'got "http://scheduler:8786"'),
        (["--cluster", " "], "expected tcp://HOST:PORT or local, got nothing"),
        (["--cluster", ADDRESS, "--jobs", "2"], "a cluster has the workers that were started for it"),
        (["--cluster", ADDRESS, "--out", "o"], "--out and --cluster don't go together"),
    ],
)
def test_what_can_not_be_asked(
    plant: str, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert main(["run", plant, "--seeds", "1..2", *flags]) == 3
    assert words in capsys.readouterr().err


def test_it_goes_with_seeds(plant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", plant, "--cluster", "local"]) == 3
    assert "--cluster goes with --seeds" in capsys.readouterr().err


def test_who_has_what() -> None:
    ours = dict.fromkeys((*ASKED, "Python"), "1.0")
    workers = {"tcp://b:1": {**ours, "numpy": "2.0"}, "tcp://a:1": {**ours, "wasmtime": "0.9"}}
    assert differing(ours, workers, SAME) == ["wasmtime"]
    assert differing(ours, workers, TOLD) == ["numpy"]
    rows = [line.split() for line in table(ours, workers).splitlines()]
    assert rows == [
        ["twinloop", "wasmtime", "simpy", "numpy", "Python"],
        ["this", "machine", "1.0", "1.0", "1.0", "1.0", "1.0"],
        ["tcp://a:1", "1.0", "0.9", "1.0", "1.0", "1.0"],
        ["tcp://b:1", "1.0", "1.0", "1.0", "2.0", "1.0"],
    ]


def test_the_code_has_one_digest() -> None:
    assert code_digest() == code_digest()
    assert len(code_digest()) == 64

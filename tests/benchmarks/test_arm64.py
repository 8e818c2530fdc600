"""An ARM64 system is fetched once: again only when other packages are asked for, and as a whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks import arm64
from benchmarks.arm64 import CannotRun


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run; pip makes the folder that it was given, dpkg-deb the root."""
    ran: list[list[str]] = []

    def run(*command: str | Path, folder: Path = arm64.ROOT, **environment: str) -> str:
        words = [str(word) for word in command]
        ran.append(words)
        if "--target" in words:
            Path(words[words.index("--target") + 1]).mkdir()
        if words[0] == "apt-get" and words[-1] != "update":
            (folder / f"{words[-1]}.deb").touch()
        return ""

    monkeypatch.setattr(arm64, "run", run)
    return ran


def test_wheels_are_installed_once_and_anew_when_a_version_has_changed(
    commands: list[list[str]], tmp_path: Path
) -> None:
    folder = arm64.wheels(tmp_path, ["numpy==2.0.0"])
    (folder / "left").touch()
    assert arm64.wheels(tmp_path, ["numpy==2.0.0"]) == folder
    assert len(commands) == 1
    assert (folder / "left").exists()
    assert arm64.wheels(tmp_path, ["numpy==2.0.1"]) == folder
    assert len(commands) == 2
    assert not (folder / "left").exists(), "nothing of another version stays"
    assert commands[1][-1] == "numpy==2.0.1"
    assert "manylinux2014_aarch64" in commands[1]


def test_packages_are_unpacked_once_and_anew_when_others_are_asked_for(
    commands: list[list[str]], tmp_path: Path
) -> None:
    root = arm64.system(tmp_path, ["libc6"])
    assert arm64.system(tmp_path, ["libc6"]) == root
    assert [words[0] for words in commands] == ["apt-get", "apt-get", "dpkg-deb"]
    assert commands[2][1:] == ["-x", str(tmp_path / "apt/debs/libc6.deb"), str(root)]
    arm64.system(tmp_path, ["libc6", "zlib1g"])
    assert len(commands) == 6


def test_what_failed_to_be_fetched_is_fetched_the_next_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*command: object, **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 100, "", "E: Unable to locate package libc7\n")

    monkeypatch.setattr(subprocess, "run", fails)
    for _ in range(2):
        with pytest.raises(
            CannotRun, match=r"(?s)^apt-get ended with 100:\nE: Unable to locate package libc7$"
        ):
            arm64.system(tmp_path, ["libc7"])

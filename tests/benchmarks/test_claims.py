"""What make claims measures with tools: commands, and what is said where a tool is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims import containers, native, process


def test_a_runtime_that_is_not_there_is_said() -> None:
    assert containers.measure_one("no-such-runtime", 1) == {"missing": "no-such-runtime isn't installed"}


def test_commands_name_the_bundle_and_keep_their_state_in_it() -> None:
    folder = Path("/b")
    assert containers.command("runc", folder, "one") == [
        "runc",
        "--root",
        "/b/state",
        "run",
        "--bundle",
        "/b",
        "one",
    ]
    assert "--cgroup-manager=disabled" in containers.command("crun", folder, "one")


def test_a_container_that_cannot_start_is_said_in_its_runtimes_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(words: list[str], **_: Any) -> Any:
        if "run" in words:
            raise subprocess.CalledProcessError(1, words, stderr="no rights\n")
        return subprocess.CompletedProcess(words, 0, stdout="runc version 9\n")

    monkeypatch.setattr(containers.shutil, "which", lambda name: name)
    monkeypatch.setattr(containers, "bundle", lambda folder, runtime: None)
    monkeypatch.setattr(containers.subprocess, "run", refused)
    assert containers.measure_one("runc", 1) == {"missing": "runc can't start a container here: no rights"}


def test_without_a_compiler_there_is_no_native_code_and_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError("no compiler")

    monkeypatch.setattr(native.subprocess, "run", missing)
    assert native.measure(1, None, print)["missing"] == "the kernels can't be built here: no compiler"
    assert process.measure(1)["missing"].endswith("no compiler")

"""What the ARM64 machine is given: the versions that are installed here, of what twinloop needs to run."""

from __future__ import annotations

import tomllib
from importlib.metadata import version

from benchmarks.arm64 import ROOT
from tests.arm.machine import installed


def test_it_has_what_twinloop_needs_in_the_versions_of_this_machine() -> None:
    found = dict(line.split("==") for line in installed())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in (
        "wasmtime",
        "simpy",
        "pymodbus",
        "numpy",
        "pysunspec2",
        "pydantic",
        "asyncua",
        "cryptography",
    ):
        assert any(line.startswith(name) for line in project["dependencies"])
        assert found[name] == version(name)
    assert found["pydantic-core"] == version("pydantic-core"), "what they need in turn"
    assert "pytest" in found
    assert not {"twinloop", "ruff", "ziglang", "distributed"} & {*found}, "extras stay here"

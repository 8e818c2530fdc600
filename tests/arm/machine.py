"""An ARM64 machine in the emulator, with the Python packages that are installed here, in the same versions.
``python -m tests.arm.machine`` gets it ready below ``build/arm64``: once, and again when a version has changed.

Belongs here: what it has, and how a command is run in it. Never: what is compared (test_arm.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import arm64
from benchmarks.arm64 import DEBS, EMULATOR, PYTHON, ROOT, TOOLS, CannotRun

BUILD = ROOT / "build" / "arm64"
SYSTEM = (
    *DEBS, "libstdc++6", "libsqlite3-0", "libssl3", "libbz2-1.0", "liblzma5", "libuuid1", "libcrypt1",
)  # fmt: skip
"""Debian's packages: besides Python, the libraries of its own modules and of the wheels"""
NEEDED = ("twinloop", "pytest")
"""what is run there needs what these need; pytest, because the test modules whose devices are used import it"""
HERE = (sys.executable,)
ARM64 = {"platform_machine": "aarch64", "sys_platform": "linux", "extra": ""}


def installed() -> list[str]:
    """``NAME==VERSION`` of all that NEEDED needs at run time on ARM64, as it is installed here. Raises CannotRun."""
    found: dict[str, str] = {}
    waiting = [*NEEDED]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            one = distribution(name)
        except PackageNotFoundError as error:
            raise CannotRun(f"{name} isn't installed beside {sys.executable}; run make test-arm") from error
        found[name] = f"{name}=={one.version}"
        for text in one.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(dict(ARM64)):
                waiting.append(requirement.name)
    del found["twinloop"]  # these are its files
    return sorted(found.values())


def prepare() -> list[str]:
    """The words that run an ARM64 Python, before its own arguments; whatever isn't there is fetched. Raises CannotRun."""
    arm64.need(TOOLS, "make test-arm")
    BUILD.mkdir(parents=True, exist_ok=True)
    root, site = arm64.system(BUILD, SYSTEM), arm64.wheels(BUILD, installed())
    path = f"PYTHONPATH={ROOT}{os.pathsep}{site}"
    return [EMULATOR, "-L", str(root), "-E", path, str(root / "usr/bin" / PYTHON), "-s"]


def run(python: Sequence[str], *arguments: str, accepted: Sequence[int] = (0,)) -> str:
    """Standard output of ``python ARGUMENTS``; ``python`` is HERE, or what ``prepare`` gave. Raises AssertionError with
    the end of what it said when its exit code isn't ``accepted``."""
    done = subprocess.run([*python, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    said = f"{done.stdout[-1000:]}{done.stderr[-3000:]}"
    assert done.returncode in accepted, (
        f"{Path(python[0]).name}: exit code {done.returncode} of {arguments}\n{said}"
    )
    return done.stdout


if __name__ == "__main__":
    try:
        prepare()
    except CannotRun as cannot:
        raise SystemExit(str(cannot)) from cannot

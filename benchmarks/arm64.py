"""An ARM64 system on another machine: Debian's Python for ARM64 and wheels, run by qemu-user.

Belongs here: what is fetched and unpacked, and the commands that do it. Never: what is run in it
(hosts/ counts there, tests/arm compares).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "python3.11"
EMULATOR = "qemu-aarch64"
TOOLS = {
    EMULATOR: "apt-get install qemu-user",
    "apt-get": "run it on Debian",
    "dpkg-deb": "run it on Debian",
}
"""tool -> how it is had"""
DEBS = (
    f"{PYTHON}-minimal", f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib", "libc6", "zlib1g",
    "libexpat1", "libffi8", "libgcc-s1",
)  # fmt: skip
"""an ARM64 Python of Debian 12 that can load C libraries"""
WHEELS = ("manylinux_2_28_aarch64", "manylinux2014_aarch64")
"""platforms whose wheels run there: Debian 12 has glibc 2.36"""


class CannotRun(Exception):
    """A tool is missing or has failed; the message says which, and the cure."""


def run(*command: str | Path, folder: Path = ROOT, **environment: str) -> str:
    """Standard output of a command; raises CannotRun with the end of what it said when it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise CannotRun(f"{Path(command[0]).name} ended with {done.returncode}:\n{said}")
    return done.stdout


def need(tools: Mapping[str, str], what: str) -> None:
    """Raises CannotRun that names each tool which isn't there. ``what`` needs them."""
    missing = [f"{tool} ({cure})" for tool, cure in tools.items() if shutil.which(tool) is None]
    if missing:
        raise CannotRun(f"{what} needs {', '.join(missing)}")


def system(build: Path, debs: Sequence[str] = DEBS) -> Path:
    """The root of an ARM64 system with ``debs``: Debian's packages, from where this machine gets its own,
    unpacked below ``build`` unless they are there. No package of this machine is touched. Raises
    CannotRun."""
    build = build.resolve()
    root, apt, stamp = build / "root", build / "apt", build / "root.txt"
    if _is(stamp, debs):
        return root
    for left in (root, apt):
        shutil.rmtree(left, ignore_errors=True)
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64",
        "Dir::State": apt, "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists", "Dir::Cache": apt / "cache",
    }  # fmt: skip
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *options, "update")
    run("apt-get", *options, "download", *debs, folder=apt / "debs")
    for deb in sorted((apt / "debs").glob("*.deb")):
        run("dpkg-deb", "-x", deb, root)
    _stamp(stamp, debs)
    return root


def wheels(build: Path, requirements: Sequence[str]) -> Path:
    """A folder for PYTHONPATH with ``requirements`` (``NAME==VERSION``) and nothing that they need in turn,
    installed from wheels that run on ARM64, below ``build`` unless they are there. Raises CannotRun."""
    build = build.resolve()
    folder, stamp = build / "site", build / "site.txt"
    if _is(stamp, requirements):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    run(
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-compile", "--only-binary=:all:", "--python-version", PYTHON.removeprefix("python"),
        *(word for platform in WHEELS for word in ("--platform", platform)),
        "--target", folder, *requirements,
    )  # fmt: skip
    _stamp(stamp, requirements)
    return folder


def _is(stamp: Path, words: Sequence[str]) -> bool:
    return stamp.exists() and stamp.read_text(encoding="utf-8").split() == [*words]


def _stamp(stamp: Path, words: Sequence[str]) -> None:
    stamp.write_text("\n".join(words) + "\n", encoding="utf-8")

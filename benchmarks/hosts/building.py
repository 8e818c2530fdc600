"""The programs that are counted, built for ARM64 into ``build/hosts``, and what runs them here.

Belongs here: tools and commands. Never: cases, counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import wasmtime

from benchmarks.hosts.cases import HERE
from twinloop.scenarios.calibration.programs import SOURCES

ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "hosts"
TARGET = "aarch64-unknown-linux-gnu"
CROSS_CC = "aarch64-linux-gnu-gcc"
TOOLS = {
    "gcc": "apt-get install gcc",
    CROSS_CC: "apt-get install gcc-aarch64-linux-gnu",
    "qemu-aarch64": "apt-get install qemu-user",
    "cargo": "install rustup",
    "apt-get": "run it on Debian",
    "dpkg-deb": "run it on Debian",
}
"""tool -> how it is had"""
PYTHON = "python3.11"
DEBS = (
    f"{PYTHON}-minimal", f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib", "libc6", "zlib1g",
    "libexpat1", "libffi8", "libgcc-s1",
)  # fmt: skip
"""an ARM64 Python of Debian 12, and the C library that all three hosts run with"""
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")


class CannotCount(Exception):
    """A tool is missing or has failed; the message says which, and the cure."""


def run(*command: str | Path, folder: Path = ROOT, **environment: str) -> str:
    """Standard output of a command; raises CannotCount with the end of what it said when it fails."""
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
        raise CannotCount(f"{Path(command[0]).name} ended with {done.returncode}:\n{said}")
    return done.stdout


def need_tools() -> None:
    """Raises CannotCount that names each tool which isn't there."""
    missing = [f"{tool} ({cure})" for tool, cure in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        raise CannotCount(f"counting needs {', '.join(missing)}")


def library() -> Path:
    """The folder of wasmtime's ARM64 wheel in the version that is installed here."""
    wheels, folder = BUILD / "wheels", BUILD / "wasmtime"
    if not folder.exists():
        run(
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--platform", "manylinux2014_aarch64", f"wasmtime=={version('wasmtime')}", "--dest", wheels,
        )  # fmt: skip
        (wheel,) = wheels.glob("wasmtime-*aarch64.whl")
        shutil.unpack_archive(wheel, folder, "zip")
    return folder


def system() -> Path:
    """The root of an ARM64 system with Python: Debian's packages, from where this machine has its own,
    unpacked. No package of this machine is touched."""
    root, apt = BUILD / "root", BUILD / "apt"
    if (root / "usr/bin" / PYTHON).exists():
        return root
    for folder in ("lists/partial", "cache/archives/partial", "debs"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64",
        "Dir::State": apt, "Dir::State::status": apt / "status",
        "Dir::State::lists": apt / "lists", "Dir::Cache": apt / "cache",
    }  # fmt: skip
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    run("apt-get", *options, "update")
    run("apt-get", *options, "download", *DEBS, folder=apt / "debs")
    for deb in sorted((apt / "debs").glob("*.deb")):
        run("dpkg-deb", "-x", deb, root)
    return root


def plugin() -> Path:
    """The counter, for this machine."""
    made = BUILD / "plugin.so"
    run("gcc", *FLAGS, "-shared", "-fPIC", "-o", made, HERE / "c" / "plugin.c")
    return made


def probe() -> Path:
    """The component that only crosses."""
    made = BUILD / "probe.wasm"
    made.write_bytes(wasmtime.wat2wasm((HERE / "probe.wat").read_text()))
    return made


def commands() -> dict[str, list[str]]:
    """Build all; for each host the words that come before its arguments, run in ``system()``."""
    need_tools()
    BUILD.mkdir(parents=True, exist_ok=True)
    wheel, root = library(), system()
    shared = wheel / "wasmtime" / "linux-aarch64"
    c_host = BUILD / "c-api"
    run(
        CROSS_CC,
        *FLAGS,
        "-o",
        c_host,
        SOURCES / "host.c",
        shared / "_libwasmtime.so",
        f"-Wl,-rpath,{shared}",
    )
    cargo = ("cargo", "build", "--release", "--quiet", "--locked", "--target", TARGET)
    run(*cargo, folder=HERE / "rust", CARGO_TARGET_DIR=str(BUILD / "rust"))
    return {
        "c-api": [str(c_host)],
        "rust-typed": [str(BUILD / "rust" / TARGET / "release" / "typed-host")],
        "python": [str(root / "usr/bin" / PYTHON), "-S", str(SOURCES / "python_host.py")],
    }

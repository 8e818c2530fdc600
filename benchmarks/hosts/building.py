"""The programs that are counted, built for ARM64 into ``build/hosts``, and what runs them here.

Belongs here: tools and commands. Never: cases, counts.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import wasmtime

from benchmarks import arm64
from benchmarks.arm64 import PYTHON, ROOT, run
from benchmarks.hosts.cases import HERE
from twinloop.scenarios.calibration.programs import SOURCES

BUILD = ROOT / "build" / "hosts"
TARGET = "aarch64-unknown-linux-gnu"
CROSS_CC = "aarch64-linux-gnu-gcc"
TOOLS = {
    "gcc": "apt-get install gcc",
    CROSS_CC: "apt-get install gcc-aarch64-linux-gnu",
    "cargo": "install rustup",
    **arm64.TOOLS,
}
"""tool -> how it is had"""
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")


def need_tools() -> None:
    """Raises CannotRun that names each tool which isn't there."""
    arm64.need(TOOLS, "counting")


def library() -> Path:
    """The folder of wasmtime's ARM64 wheel in the version that is installed here."""
    return arm64.wheels(BUILD, [f"wasmtime=={version('wasmtime')}"])


def system() -> Path:
    """The root of an ARM64 system with Python and the C library that all three hosts run with."""
    return arm64.system(BUILD)


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

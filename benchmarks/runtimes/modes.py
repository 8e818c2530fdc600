"""Which runtimes are measured, in which modes, and what a profile says of each beside its figures.

Belongs here: names, how a runner is started, facts with where they were read. Never: figures (measured.json).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import wasmtime

from twinloop.components.probes.kernels import KERNELS_WASM

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / "build" / "runtimes"
LIBRARY = Path(wasmtime.__file__).parent / "linux-x86_64" / "_libwasmtime.so"
"""of the package that twinloop itself runs on; this measure is for Linux on x86-64"""
SMALL_RESERVATION = 64 << 20
"""bytes: what a gateway with few addresses would set in wasmtime"""
REFERENCE = "wasmtime"
"""the mode that the others are compared with: Cranelift, nothing metered"""

AARCH64, ARMV7, X86_64 = "aarch64", "armv7", "x86-64"
BOTH, ALL = (AARCH64, X86_64), (AARCH64, ARMV7, X86_64)


@dataclass(frozen=True)
class Mode:
    """One way to run a module. ``words``: what starts its runner; ``needs``: the file that must be built."""

    name: str
    words: tuple[str, ...]
    needs: Path
    plain: str = ""
    """of a metered mode: the name of the same one without"""


@dataclass(frozen=True)
class Profile:
    """What the simulator may choose: a mode, and facts that no measure on this machine gives."""

    name: str
    title: str
    """with its version as VERSION"""
    parts: int
    """of the version that a title has"""
    isas: tuple[str, ...]
    components: bool = False
    interpreter: bool = False
    lacks: str = ""


def _wasmtime(name: str, strategy: str, meter: str = "plain", reservation: int = -1, plain: str = "") -> Mode:
    runner = BUILT / "runner-wasmtime"
    words = (str(runner), str(KERNELS_WASM), str(LIBRARY), strategy, meter, str(reservation))
    return Mode(name, words, runner, plain)


def _rust(name: str, crate: str, *words: str, plain: str = "") -> Mode:
    runner = BUILT / f"runner-{crate}"
    return Mode(name, (str(runner), str(KERNELS_WASM), *words), runner, plain)


def _wazero(name: str, mode: str) -> Mode:
    runner = BUILT / "runner-wazero"
    return Mode(name, (str(runner), str(KERNELS_WASM), mode), runner)


_NODE = HERE / "node" / "runner.mjs"
MODES = (
    _wasmtime("wasmtime", "auto"),
    _wasmtime("wasmtime+fuel", "auto", "fuel", plain="wasmtime"),
    _wasmtime("wasmtime+64MiB", "auto", reservation=SMALL_RESERVATION),
    _wasmtime("wasmtime-winch", "winch"),
    _wasmtime("wasmtime-winch+fuel", "winch", "fuel", plain="wasmtime-winch"),
    _wasmtime("wasmtime-pulley", "pulley"),
    _wasmtime("wasmtime-pulley+fuel", "pulley", "fuel", plain="wasmtime-pulley"),
    _rust("wasmi", "wasmi", "plain"),
    _rust("wasmi+fuel", "wasmi", "fuel", plain="wasmi"),
    _rust("wasmer", "wasmer", "cranelift", "plain"),
    _rust("wasmer+fuel", "wasmer", "cranelift", "fuel", plain="wasmer"),
    _rust("wasmer-singlepass", "wasmer", "singlepass", "plain"),
    _rust("wasmer-singlepass+fuel", "wasmer", "singlepass", "fuel", plain="wasmer-singlepass"),
    _wazero("wazero", "compiler"),
    _wazero("wazero-interpreter", "interpreter"),
    Mode("node", ("node", "--expose-gc", str(_NODE), str(KERNELS_WASM)), _NODE),
)

_NO_METER = "a count of instructions"
_NO_COMPONENTS = "the component model"
PROFILES = (
    Profile("wasmtime", "wasmtime VERSION, Cranelift", 1, BOTH, components=True),
    Profile("wasmtime-winch", "wasmtime VERSION, Winch (baseline compiler)", 1, BOTH, components=True),
    Profile("wasmtime-pulley", "wasmtime VERSION, Pulley (interpreter)", 1, ALL, True, True),
    Profile("wasmi", "wasmi VERSION (interpreter)", 2, ALL, False, True, _NO_COMPONENTS),
    Profile("wasmer", "wasmer VERSION, Cranelift", 2, BOTH, lacks=_NO_COMPONENTS),
    Profile(
        "wasmer-singlepass", "wasmer VERSION, Singlepass (baseline compiler)", 2, BOTH, lacks=_NO_COMPONENTS
    ),
    Profile("wazero", "wazero VERSION, compiler", 2, BOTH, lacks=f"{_NO_COMPONENTS}, {_NO_METER}"),
    Profile(
        "wazero-interpreter",
        "wazero VERSION, interpreter",
        2,
        ALL,
        interpreter=True,
        lacks=f"{_NO_COMPONENTS}, {_NO_METER}",
    ),
    Profile("node", "node VERSION (V8)", 1, BOTH, lacks=f"{_NO_COMPONENTS}, {_NO_METER}"),
)
"""which instruction sets and what is lacked: docs/runtimes.md tells where that was read or tried"""

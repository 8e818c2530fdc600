"""What must be built before anything can be measured: the kernels' module and the runners.

Belongs here: commands of other tools. A runner whose toolchain isn't there is left out with a word; the
kernels' module is committed, so that everybody measures the same bytes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.runtimes.modes import BUILT, HERE, KERNELS_WASM
from twinloop.components.build import CFLAGS

SOURCES = ("kernels/bytes.c", "kernels/text.c", "kernels/values.c")


def kernels_command(into: Path) -> list[str]:
    """As components/build.py compiles guests, from this folder; without WIT a core module comes out."""
    return [sys.executable, "-m", "ziglang", "cc", *CFLAGS, "-o", str(into), *SOURCES]


def build_kernels(into: Path = KERNELS_WASM) -> None:
    """Compile the kernels; raises CalledProcessError with the compiler's words."""
    subprocess.run(kernels_command(into), check=True, cwd=HERE)
    into.chmod(0o644)


def _run(words: list[str], cwd: Path) -> None:
    subprocess.run(["nice", "-n", "10", *words], check=True, cwd=cwd)


def _wasmtime() -> None:
    compiler = [sys.executable, "-m", "ziglang", "cc", "-O2", "-fno-sanitize=all", "-Wall", "-Wextra"]
    _run([*compiler, "-o", str(BUILT / "runner-wasmtime"), "wasmtime/runner.c", "-ldl"], HERE)


def _rust(name: str) -> None:
    target = BUILT / "rust"
    words = ["cargo", "build", "--quiet", "--release", "--locked", "-p", f"runner-{name}"]
    _run([*words, "--target-dir", str(target)], HERE / "rust")
    shutil.copy2(target / "release" / f"runner-{name}", BUILT)


def _wazero() -> None:
    _run(["go", "build", "-trimpath", "-o", str(BUILT / "runner-wazero"), "."], HERE / "wazero")


RUNNERS: dict[str, tuple[str, Callable[[], None], tuple[str, ...]]] = {
    "runner-wasmtime": ("nice", _wasmtime, ("wasmtime/runner.c",)),
    "runner-wasmi": ("cargo", lambda: _rust("wasmi"), ("rust/protocol/src/lib.rs", "rust/wasmi/src/main.rs")),
    "runner-wasmer": (
        "cargo",
        lambda: _rust("wasmer"),
        ("rust/protocol/src/lib.rs", "rust/wasmer/src/main.rs"),
    ),
    "runner-wazero": ("go", _wazero, ("wazero/main.go", "wazero/go.mod")),
}
"""file -> what it is built by, how, from what"""


def build_runners() -> dict[str, str]:
    """Build what is missing or older than its source; file -> why it isn't there, of those that aren't."""
    BUILT.mkdir(parents=True, exist_ok=True)
    missing = {}
    for name, (tool, make, sources) in RUNNERS.items():
        made = BUILT / name
        newest = max((HERE / source).stat().st_mtime for source in sources)
        if made.exists() and made.stat().st_mtime >= newest:
            continue
        if shutil.which(tool) is None:
            missing[name] = f"{tool} isn't installed"
            continue
        print(f"building {name} with {tool} ...", flush=True)
        try:
            make()
        except subprocess.CalledProcessError as error:
            missing[name] = f"{tool} ended with exit code {error.returncode}"
    if shutil.which("node") is None:
        missing["runner.mjs"] = "node isn't installed"
    return missing

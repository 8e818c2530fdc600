"""Build ``template.wasm``: the component around any Rego policy, with a hollow policy in its place.

Belongs here: the commands, and nothing that a user needs. ``python -m twinloop.components.rego.template``
rebuilds, ``--check`` fails when the committed bytes differ. Three core modules: the memory that all share,
the policy (hollow here: splice.py puts the user's in its place), and shim.c, which stands between it and the
contract. The tools come from the extra ``guests``; no C library is linked.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from twinloop.components.build import _wasm_tools
from twinloop.components.rego.splice import TEMPLATE

HERE = Path(__file__).parent
BINDINGS = "../guests/bindings/routing_policy"
CFLAGS = ["-target", "wasm32-wasi", "-O2", "-ffreestanding", "-fno-builtin", "-fno-sanitize=all"]
CFLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]
LINK = ["--no-entry", "--no-stack-first", "-z", "stack-size=16384", "--global-base=1048576"]
LINK += ["--gc-sections", "-s"]
"""the policy's data and stack lie below 1 MiB, all of the shim's above"""

_BUILTIN_TYPES = "".join(
    f'\n    (func (export "opa_builtin{n}") (param{" i32" * (n + 2)}) (result i32) unreachable)'
    for n in range(5)
)
ENV = f"""\
  (core module $env
    (memory (export "memory") 17)
    (func (export "opa_abort") (param i32) unreachable){_BUILTIN_TYPES}
  )
"""
_HOLLOW = {
    "opa_malloc": "(param i32) (result i32)",
    "opa_json_parse": "(param i32 i32) (result i32)",
    "opa_json_dump": "(param i32) (result i32)",
    "builtins": "(result i32)",
    "entrypoints": "(result i32)",
    "opa_heap_ptr_get": "(result i32)",
    "opa_heap_ptr_set": "(param i32)",
    "opa_eval": "(param i32 i32 i32 i32 i32 i32 i32) (result i32)",
}
HOLLOW = (
    "  (core module $opa\n"
    + "".join(f'    (func (export "{name}") {kind} unreachable)\n' for name, kind in _HOLLOW.items())
    + "  )\n"
)
INSTANCES = """\
  (core instance $e (instantiate $env))
  (core instance $o (instantiate $opa (with "env" (instance $e))))
  (core instance $main (instantiate $main (with "opa" (instance $o)) (with "env" (instance $e))))"""


def build() -> bytes:
    """The template's bytes; raises CalledProcessError with the tool's words."""
    tools = _wasm_tools()
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        _module(into, "alone", ["-DTEMPLATE_STUBS"], [])
        _module(into, "shim", [], ["--import-memory"])
        alone, component = into / "alone.wasm", into / "component.wasm"
        subprocess.run([tools, "component", "new", str(alone), "-o", str(component)], check=True)
        text = _with_three_modules(_printed(component), _printed(into / "shim.wasm"))
        (into / "template.wat").write_text(text, encoding="utf-8")
        made = into / "template.wasm"
        subprocess.run([tools, "parse", str(into / "template.wat"), "-o", str(made)], check=True)
        subprocess.run([tools, "strip", "--all", str(made), "-o", str(made)], check=True)
        subprocess.run([tools, "validate", str(made)], check=True)
        return made.read_bytes()


def _module(into: Path, name: str, defines: list[str], link: list[str]) -> None:
    """Compile the shim and its bindings to ``into/NAME.wasm``."""
    zig = [sys.executable, "-m", "ziglang"]
    objects = []
    for source in ("shim.c", f"{BINDINGS}.c"):
        objects.append(str(into / f"{name}-{Path(source).stem}.o"))
        # Paths relative to this folder: none of the building machine can end up in the bytes.
        subprocess.run([*zig, "cc", *CFLAGS, *defines, "-c", "-o", objects[-1], source], check=True, cwd=HERE)
    linked = [*zig, "wasm-ld", *LINK, *link, "-o", str(into / f"{name}.wasm"), *objects]
    subprocess.run([*linked, f"{BINDINGS}_component_type.o"], check=True, cwd=HERE)


def _printed(path: Path) -> str:
    done = subprocess.run([_wasm_tools(), "print", str(path)], check=True, capture_output=True, text=True)
    return done.stdout


def _with_three_modules(component: str, shim: str) -> str:
    """The component's text with memory, hollow policy and shim in place of its one module."""
    lines = component.split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("  (core module $main"))
    last = next(i for i in range(first, len(lines)) if lines[i] == "  )")
    modules = ENV + HOLLOW + shim.rstrip().replace("(module", "  (core module $main", 1)
    text = "\n".join([*lines[:first], modules, *lines[last + 1 :]])
    for old, new in (
        ("  (core instance $main (;0;) (instantiate $main))", INSTANCES),
        ('(alias core export $main "memory"', '(alias core export $e "memory"'),
    ):
        if text.count(old) != 1:
            raise SystemExit(f"wasm-tools prints components in another way than expected: no {old!r}")
        text = text.replace(old, new)
    return text


def main() -> int:
    """Command line: write the template, or with ``--check`` compare it."""
    built = build()
    if sys.argv[1:] != ["--check"]:
        TEMPLATE.write_bytes(built)
        print(f"{TEMPLATE.name}: {len(built)} bytes")
        return 0
    if TEMPLATE.exists() and TEMPLATE.read_bytes() == built:
        return 0
    print(f"{TEMPLATE.name} differs from a build of shim.c; build it again", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())

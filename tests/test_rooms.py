"""The house as a test: which room may import from which, with imports for types counted like all others."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES_MAX = 20
"""of a folder of code"""
ROOMS = {
    "components": (
        "native",
        "binary",
        "contract",
        "wasi",
        "host",
        "probes",
        "compose",
        "releases",
        "",
        "rego",
    ),
    "devices": ("model", "modbus", "opcua", "mqtt", "catalogue", "live", ""),
    "sim": (
        "kernel",
        "network",
        "model",
        "accounts",
        "cloud",
        "libraries",
        "field",
        "truth",
        "machine",
        "wasi",
        "north",
        "wasi",
        "gateway",
        "redundancy",
        "upgrade",
        "trouble",
        "",
        "serving",
    ),
    "scenarios": (
        "text",
        "twin",
        "file",
        "planning",
        "judging",
        "report",
        "wire",
        "onlookers",
        "learning",
        "",
        "components",
        "calibration",
        "exchanges",
        "evidence",
        "testing",
        "page",
        "export",
        "claims",
        "cli",
    ),
    "tui": ("engine", "drawing", "screens", "terminal", "live", "web", ""),
}
"""each folder's rooms, from the ground up; "" is the folder itself"""


def modules() -> dict[str, Path]:
    """Name below ``twinloop`` -> file."""
    found = {}
    for top in ("components", "devices", "sim", "scenarios", "tui"):
        for path in (ROOT / top).rglob("*.py"):
            if not {"guests", "starters"} & {*path.parts}:
                found[
                    path.relative_to(ROOT)
                    .with_suffix("")
                    .as_posix()
                    .replace("/", ".")
                    .removesuffix(".__init__")
                ] = path
    return found


@cache
def imports() -> dict[str, dict[str, None]]:
    """Module -> the modules of ours that it names, in whatever block, for types or late."""
    known = modules()
    graph: dict[str, dict[str, None]] = {}
    for name, path in known.items():
        found = graph[name] = dict[str, None]()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twinloop."):
                module = (node.module or "").removeprefix("twinloop.")
                for alias in node.names:
                    target = f"{module}.{alias.name}" if f"{module}.{alias.name}" in known else module
                    found[target] = None
            elif isinstance(node, ast.Import):
                found.update(
                    (alias.name.removeprefix("twinloop."), None)
                    for alias in node.names
                    if alias.name.startswith("twinloop.")
                )
        found.pop(name, None)
    return graph


def circles(graph: dict[str, dict[str, None]]) -> list[list[str]]:
    """Groups of modules that import each other, round about: strongly connected components of more than one
    (Tarjan 1972)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 2 else ""


def test_rooms_import_downward() -> None:
    upward = [
        f"{name} imports {other}"
        for name, found in imports().items()
        for top in [name.partition(".")[0]]
        for other in found
        if other.startswith(f"{top}.") and ROOMS[top].index(room_of(other)) > ROOMS[top].index(room_of(name))
    ]
    assert upward == []


def test_no_modules_import_each_other_round_about() -> None:
    assert circles(imports()) == []


def test_a_circle_is_seen() -> None:
    """Of three, with one that leads into it and one that leads out."""
    graph = {name: dict.fromkeys(to) for name, to in {"a": "b", "b": "c", "c": "db", "d": ""}.items()}
    assert circles(graph) == [["b", "c"]]
    assert circles({**graph, "c": dict.fromkeys("ad")}) == [["a", "b", "c"]]


def test_no_folder_is_too_full() -> None:
    counts: dict[str, int] = {}
    for path in modules().values():
        if path.name != "__init__.py":
            folder = path.parent.relative_to(ROOT).as_posix()
            counts[folder] = counts.get(folder, 0) + 1
    assert {folder: count for folder, count in counts.items() if count > FILES_MAX} == {}


def test_nobody_imports_a_room_past_the_package() -> None:
    """``import sim`` would be another module than ``twinloop.sim``, and a user's own folder of that name."""
    for path in [*modules().values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        if path.name == "once.py":
            continue  # it runs in old trees, too
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not [
                one
                for one in names
                if one.split(".")[0] in ("components", "devices", "sim", "scenarios", "tui")
            ], path

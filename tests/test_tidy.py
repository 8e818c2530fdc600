"""The house style as a test: sizes, names, clocks, transcendentals, sockets, sets, dead files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("components", "devices", "sim", "scenarios", "tui")
FILE_LINES_MAX = 430
FUNCTION_LINES_MAX = 70
ATTRIBUTES_MAX = 20
BANNED_NAMES = ("utils", "util", "helpers", "helper", "manager", "common", "misc", "base")
TRANSCENDENTALS = {
    "sin",
    "cos",
    "tan",
    "exp",
    "log",
    "log2",
    "log10",
    "pow",
    "power",
    "arcsin",
    "arccos",
    "arctan",
    "arctan2",
    "sinh",
    "tanh",
}
CLOCKS = {"time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "now", "utcnow", "today", "sleep"}
SOCKETS = ("socket", "ssl", "selectors")
RANDOMNESS_HOMES = ("sim/kernel/random.py",)
CLOCK_HOMES = ("sim/kernel/pacer.py", "devices/live/")


def sources(rooms: tuple[str, ...] = ROOMS) -> list[Path]:
    return sorted(
        path
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        if not {"guests", "starters"} & {*path.parts}
    )


@cache
def tree(path: Path) -> ast.Module:
    """Read once: each rule looks at it."""
    return ast.parse(path.read_text())


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", sources(), ids=name)
def test_a_file_is_short_named_for_its_job_and_opens_with_its_rules(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES_MAX + 20, "longer than about 400 lines"
    assert path.stem not in BANNED_NAMES
    assert ast.get_docstring(tree(path)), "a module opens with what belongs in it"


@pytest.mark.parametrize("path", sources(), ids=name)
def test_functions_fit_on_a_screen(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            lines = (node.end_lineno or 0) - node.lineno
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


def calls(parsed: ast.AST) -> Iterator[tuple[str, str]]:
    """(module or object, attribute) of each attribute access on a plain name."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr


@pytest.mark.parametrize("path", sources(("sim", "devices")), ids=name)
def test_no_clock_no_randomness_no_transcendentals_in_simulated_rooms(path: Path) -> None:
    parsed = tree(path)
    found = list(calls(parsed))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(parsed)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {
        (node.module or "").split(".")[0] for node in ast.walk(parsed) if isinstance(node, ast.ImportFrom)
    }
    if not any(name(path).startswith(home) for home in CLOCK_HOMES):
        assert not [pair for pair in found if pair[0] in ("time", "datetime") and pair[1] in CLOCKS]
        assert "datetime" not in imported
        assert "time" not in imported
    assert "random" not in imported
    taken = {
        alias.name
        for node in ast.walk(parsed)
        if isinstance(node, ast.ImportFrom) and node.module == "math"
        for alias in node.names
    }
    assert "math" not in imported or taken == {"sqrt"}, (
        "IEEE 754 rounds a square root exactly; everything else in math is libm's"
    )
    assert not [pair for pair in found if pair[0] in ("np", "numpy") and pair[1] in TRANSCENDENTALS]
    if name(path) not in RANDOMNESS_HOMES:
        assert not [pair for pair in found if pair == ("np", "random")]


@pytest.mark.parametrize("path", sources(), ids=name)
def test_no_sockets_outside_live(path: Path) -> None:
    if "live" in path.parts:
        return
    for node in ast.walk(tree(path)):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [getattr(node, "module", None) or ""]
        )
        assert not [module for module in names if module.split(".")[0] in SOCKETS]


@pytest.mark.parametrize("path", sources(("sim", "devices", "scenarios", "components")), ids=name)
def test_no_set_is_iterated(path: Path) -> None:
    """Sets of text iterate in hash order; dict.fromkeys does the same job in creation order."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.For | ast.comprehension):
            iterated = node.iter
            assert not isinstance(iterated, ast.Set | ast.SetComp), f"line {iterated.lineno}"
            if isinstance(iterated, ast.Call) and isinstance(iterated.func, ast.Name):
                assert iterated.func.id not in ("set", "frozenset"), f"line {iterated.lineno}"


@pytest.mark.parametrize("path", sources(), ids=name)
def test_nothing_is_swallowed(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler):
            assert not (len(node.body) == 1 and isinstance(node.body[0], ast.Pass)), (
                f"line {node.lineno}: except: pass"
            )


def test_every_file_is_imported_by_something() -> None:
    others = [
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "benchmarks").rglob("*.py"),
        *(ROOT / "twinloop").glob("*.py"),
    ]
    texts = [path.read_text() for path in [*sources(), *others]]
    everything = "\n".join(texts) + (ROOT / "pyproject.toml").read_text() + (ROOT / "Makefile").read_text()
    named = dict.fromkeys(
        re.findall(r"[\w.]+", everything)
    )  # module.name, as a whole or at the head of a longer one
    for found in re.findall(r"from twinloop\.([\w.]+) import (\([^)]*\)|[^\n]*)", everything):
        named.update((f"twinloop.{found[0]}.{leaf}", None) for leaf in re.findall(r"\w+", found[1]))
    known = dict.fromkeys(
        ".".join(one.split(".")[:end]) for one in named for end in range(1, one.count(".") + 2)
    )
    for path in sources():
        module = name(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        assert f"twinloop.{module}" in known or module in known, f"{name(path)} is imported by nothing"


def attributes(node: ast.ClassDef) -> dict[str, None]:
    """What a class and its methods give an instance, its bases' left out."""
    found: dict[str, None] = {}
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            found[statement.target.id] = None
        elif isinstance(statement, ast.Assign):
            found.update(
                (target.id, None)
                for target in statement.targets
                if isinstance(target, ast.Name) and target.id not in ("__slots__", "unsaid")
            )
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(statement):
                if (
                    isinstance(inner, ast.Attribute)
                    and isinstance(inner.ctx, ast.Store)
                    and isinstance(inner.value, ast.Name)
                    and inner.value.id == "self"
                ):
                    found[inner.attr] = None
    return found


@pytest.mark.parametrize("path", sources(), ids=name)
def test_a_class_has_at_most_twenty_attributes(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            assert len(attributes(node)) <= ATTRIBUTES_MAX, f"{node.name}: {', '.join(attributes(node))}"


def test_attributes_are_counted() -> None:
    text = "class A:\n    x: int\n    y = 1\n    def f(self):\n        self.z, self.x = 1, 2\n        self.w.v = 3\n"
    assert list(
        attributes(next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)))
    ) == ["x", "y", "z"]

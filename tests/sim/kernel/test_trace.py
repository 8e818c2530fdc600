"""Every record that is written has a kind that the layout knows, and as many fields as that has."""

from __future__ import annotations

import ast
from pathlib import Path

from twinloop.sim.kernel.trace import KINDS

ROOT = Path(__file__).parents[3]


def written() -> list[tuple[str, int, str]]:
    """(kind, fields, where) of each ``trace.emit("kind", ...)`` and ``trace.add((now, "kind", ...))`` whose
    kind is spelled out; where many are written, ``add = trace.add`` stands for it."""
    found = []
    for file in [
        *(ROOT / "sim").rglob("*.py"),
        *(ROOT / "scenarios").rglob("*.py"),
        *(ROOT / "devices").rglob("*.py"),
    ]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            how = "add" if called == "add" else called.rpartition("trace.")[2]
            if how not in ("add", "emit") or not (called == "add" or called.endswith(f"trace.{how}")):
                continue
            where = f"{file.name}:{node.lineno}"
            if how == "emit" and isinstance(node.args[0], ast.Constant):
                found.append((str(node.args[0].value), len(node.args) - 1, where))
            elif (
                how == "add"
                and isinstance(node.args[0], ast.Tuple)
                and isinstance(node.args[0].elts[1], ast.Constant)
            ):
                found.append((str(node.args[0].elts[1].value), len(node.args[0].elts) - 2, where))
    return found


def test_every_record_is_of_a_known_kind_with_its_fields() -> None:
    records = written()
    assert len(records) > 40
    assert not [(kind, where) for kind, _, where in records if kind not in KINDS]
    assert not [(kind, fields, where) for kind, fields, where in records if len(KINDS[kind]) != fields]


def test_every_kind_is_written() -> None:
    assert not KINDS.keys() - {kind for kind, _, _ in written()}

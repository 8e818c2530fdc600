"""The contract three times: the WIT files, the host's transcription of them, the records that Python sees."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from twinloop.components.contract import contract

WIT = Path(__file__).parent.parent / "components" / "wit"


@pytest.fixture(scope="module")
def resolved() -> dict[str, Any]:
    beside = Path(sysconfig.get_path("scripts")) / "wasm-tools"
    tool = str(beside) if beside.exists() else shutil.which("wasm-tools")
    assert tool, "wasm-tools is part of the extra dev"
    done = subprocess.run(
        [tool, "component", "wit", str(WIT), "--json"], capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def described(resolved: dict[str, Any], wit: Any) -> str:
    """A type of wasm-tools' JSON in the words of contract.describe."""
    if wit is None:
        return "_"
    if isinstance(wit, str):
        return wit
    definition = resolved["types"][wit]
    kind = definition["kind"]
    if kind == "type" or "type" in kind:
        return described(resolved, kind["type"])
    if "list" in kind:
        return f"list<{described(resolved, kind['list'])}>"
    if "option" in kind:
        return f"option<{described(resolved, kind['option'])}>"
    if "tuple" in kind:
        return f"tuple<{','.join(described(resolved, item) for item in kind['tuple']['types'])}>"
    if "result" in kind:
        return f"result<{described(resolved, kind['result']['ok'])},{described(resolved, kind['result']['err'])}>"
    if "record" in kind:
        return f"record{{{','.join(f['name'] + ':' + described(resolved, f['type']) for f in kind['record']['fields'])}}}"
    if "variant" in kind:
        cases = [
            c["name"] + (f"({described(resolved, c['type'])})" if c.get("type") is not None else "")
            for c in kind["variant"]["cases"]
        ]
        return f"variant{{{','.join(cases)}}}"
    return f"enum{{{','.join(c['name'] for c in kind['enum']['cases'])}}}"


def function(resolved: dict[str, Any], definition: dict[str, Any]) -> str:
    parameters = ",".join(f"{p['name']}:{described(resolved, p['type'])}" for p in definition["params"])
    result = definition.get("result")
    return f"func({parameters})" + (f"->{described(resolved, result)}" if result is not None else "")


@pytest.mark.parametrize("name", [*contract.EXPORTS, *contract.IMPORTS])
def test_the_host_checks_what_the_wit_says(resolved: dict[str, Any], name: str) -> None:
    interface = next(i for i in resolved["interfaces"] if i["name"] == name)
    expected = (contract.EXPORTS.get(name) or contract.IMPORTS[name]).items()
    assert {f: function(resolved, d) for f, d in interface["functions"].items()} == dict(expected)


@pytest.mark.parametrize(
    ("record", "mirror"),
    [
        ("point-config", contract.PointConfig), ("settings", contract.Settings), ("reading", contract.Reading),
        ("text-reading", contract.TextReading), ("batch", contract.WitBatch), ("origin", contract.Origin), ("link-state", contract.LinkState),
        ("driver-status", contract.DriverStatus),
    ],
)  # fmt: skip
def test_python_mirrors_have_the_fields_of_the_wit(
    resolved: dict[str, Any], record: str, mirror: Any
) -> None:
    definition = next(
        t
        for t in resolved["types"]
        if t.get("name") == record and isinstance(t["kind"], dict) and "record" in t["kind"]
    )
    fields = [field["name"].replace("-", "_") for field in definition["kind"]["record"]["fields"]]
    assert list(mirror._fields) == fields


def test_every_promise_is_kept_in_the_wit_files() -> None:
    """One interface a file, each variant of ours ends in other(string)."""
    for path in sorted(WIT.glob("*.wit")):
        text = path.read_text()
        if path.name not in ("async.wit", "world.wit"):
            assert text.count("\ninterface ") + text.startswith("interface ") == 1, path.name
    types = (WIT / "types.wit").read_text()
    for variant in ("bus-error", "driver-error", "config-error", "transform-error", "policy-error"):
        body = types.split(f"variant {variant} {{")[1].split("}")[0]
        assert body.rstrip().rstrip(",").endswith("other(string)"), variant

"""The JSON Schema that editors get: a help for every key, what there is by name, and no file refused that a
run takes."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter, ValidationError

from tests.scenarios.cli.test_cli import TINY
from twinloop.scenarios.file.json_schema import json_schema
from twinloop.scenarios.file.load import LIBRARY, library_names, load
from twinloop.scenarios.text import quantities
from twinloop.scenarios.text.quantities import KIND

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
"""made once: jsonschema.validate would hold the whole schema against the schema of schemas each time"""
QUANTITIES = {
    name: found for name, one in vars(quantities).items() if hasattr(one, "__metadata__")
    for found in [TypeAdapter(one)] if KIND in found.json_schema()
}  # fmt: skip


def fields() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name}.{key}", one)
        for name, block in {"": SCHEMA, **SCHEMA["$defs"]}.items()
        for key, one in block.get("properties", {}).items()
    ]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_says_what_it_means() -> None:
    found = fields()
    assert len(found) > 150
    assert [key for key, one in found if len(one.get("description", "")) < 12 and key != ".seed"] == []


@pytest.mark.parametrize("name", library_names())
def test_a_shipped_scenario_is_of_the_schema(name: str) -> None:
    VALIDATOR.validate(load(LIBRARY / f"{name}.yaml").document.data)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("board", "raspbery-pi-4"), ("preset", "lann"), ("poll", "100"), ("poll", "100 parsecs"), ("device", "pres-sensor"), ("protocol", "modbus"),
        ("pol", "1 s"), ("format", 1), ("for", "soon"), ("loss", "0.1"),
    ],
)  # fmt: skip
def test_what_a_single_block_cannot_be_is_refused(key: str, value: Any) -> None:
    data = yaml.safe_load(TINY)
    data["timeline"] = [{"at": "1 s", "cut": "cloud", "for": "1 s"}]
    data["links"]["plant"] = {"preset": "lan", "loss": "1 %"}
    VALIDATOR.validate(data)

    def put(node: Any) -> bool:
        if isinstance(node, dict):
            if key in node or (key == "pol" and "poll" in node):
                node[key] = value
                return True
            return any(put(one) for one in node.values())
        return isinstance(node, list) and any(put(one) for one in node)

    assert put(data)
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(data)


TOLD = {name: adapter.json_schema() for name, adapter in QUANTITIES.items()}
"""made once, not for every example"""


@pytest.mark.parametrize("name", QUANTITIES)
def test_the_example_of_a_quantity_is_one(name: str) -> None:
    assert re.search(TOLD[name]["pattern"], TOLD[name]["examples"][0])
    QUANTITIES[name].validate_python(TOLD[name]["examples"][0])


@pytest.mark.parametrize("name", QUANTITIES)
@given(text=st.one_of(
    st.text(max_size=12),
    st.builds(lambda number, space, unit: f"{number}{space}{unit}", st.sampled_from(["0", "1", "50", ".5", "-2", "+3", "1.5", "1e3", ""]),
              st.sampled_from(["", " ", "  "]), st.sampled_from(["ns", "ms", "s", "h", "%", "MiB", "B", "kbit/s", "MB/s", "Bd", "/s", "ppm", "x", ""])),
    st.just("5 in 60 s"),
))  # fmt: skip
def test_whatever_is_taken_is_of_the_pattern_that_editors_are_told(name: str, text: str) -> None:
    adapter, schema = QUANTITIES[name], TOLD[name]
    try:
        adapter.validate_python(text)
    except ValidationError:
        return
    assert re.search(schema["pattern"], text)

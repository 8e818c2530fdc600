"""The JSON Schema of a scenario file, for editors.

Belongs here: what pydantic's own doesn't say of the file. Never: shapes (schema.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.file.schema import Scenario


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file."""
    schema = Scenario.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "twinloop scenario, format 2"
    schema["properties"].pop("overrides", None)
    fleets = schema["properties"]["fleets"]
    fleets["patternProperties"] = {r"^[a-z][a-z0-9-]*/[1-9][0-9]*$": {"$ref": "#/$defs/Override"}}
    fleets["patternProperties"][r"^[a-z][a-z0-9-]*$"] = {"$ref": "#/$defs/Fleet"}
    fleets["additionalProperties"] = False
    fleets.pop("propertyNames", None)
    _drop_internal_defaults(schema)
    return schema


def _drop_internal_defaults(node: Any) -> None:
    """A default in nanoseconds beside a type that is text would mislead an editor."""
    if isinstance(node, dict):
        if node.get("type") == "string" and "default" in node and not isinstance(node["default"], str):
            del node["default"]
        if isinstance(node.get("default"), dict | list):
            del node["default"]
        for value in list(node.values()):
            _drop_internal_defaults(value)
    elif isinstance(node, list):
        for value in node:
            _drop_internal_defaults(value)

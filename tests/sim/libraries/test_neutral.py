"""Clocks and entropy of protocol libraries: what is replaced, that nothing new has come, that everything is
put back."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import sys
import time
import uuid
from pathlib import Path

import pytest

from twinloop.sim.kernel.clock import Environment, S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.libraries.clocks_and_entropy import PACKAGES, neutralised

LOADED = (
    "asyncua",
    "asyncua.server",
    "asyncua.client",
    "pymodbus.client",
    "pymodbus.server",
    "amqtt.client",
    "amqtt.broker",
)
SOURCES = {
    "time": r"time|monotonic|perf_counter|time_ns|monotonic_ns|perf_counter_ns|process_time|sleep",
    "datetime": r"now|utcnow|today",
    "random": r"\w+",
    "secrets": r"\w+",
    "uuid": r"uuid1|uuid4|getnode",
    "os": r"urandom|getrandom",
}
MAYBE = re.compile(
    "|".join(
        [
            rf"\bfrom\s+({'|'.join(SOURCES)})\s+import\b",
            *(rf"\b{module}\b[\s)\\]*\.\s*({names})\b" for module, names in SOURCES.items()),
        ]
    )
)
"""text without any of this has no place that is looked for"""
KNOWN = Path(__file__).with_name("clock_sources.txt")
"""one line a place: module, function, what it asks; written by ``python -m
tests.sim.libraries.test_neutral``"""


def asked() -> list[str]:
    """Every place in the libraries' sources that asks a clock or entropy, found in the text: what an upgrade
    brings shows up here."""
    found: list[str] = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            name = ".".join([package, *path.relative_to(root).with_suffix("").parts])
            text = path.read_text(encoding="utf-8")
            if not MAYBE.search(text):
                continue  # parsing what libraries have generated takes seconds
            for node in ast.walk(ast.parse(text)):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and re.fullmatch(SOURCES.get(node.value.id, "(?!)"), node.attr)
                ):
                    found.append(f"{name} {node.value.id}.{node.attr}")
                elif isinstance(node, ast.ImportFrom) and node.module in SOURCES:
                    found += [f"{name} from {node.module} import {alias.name}" for alias in node.names]
    return sorted(dict.fromkeys(found))


def test_an_upgrade_that_brings_a_new_clock_or_entropy_source_fails_here() -> None:
    known, now = KNOWN.read_text().splitlines(), asked()
    assert [line for line in now if line not in known] == [], (
        "look whether sim/libraries/clocks_and_entropy.py covers it, then write the list anew"
    )
    assert [line for line in known if line not in now] == []


def test_what_a_library_holds_is_replaced_and_put_back() -> None:
    for module in LOADED:
        importlib.import_module(module)
    before = {
        name: dict(vars(module))
        for name, module in sys.modules.items()
        if module is not None and name.split(".")[0] in PACKAGES
    }
    env = Environment()
    with neutralised(env, RandomStreams(1)) as names:
        assert "asyncua.server.internal_subscription.time" in names
        assert "asyncua.ua.uaprotocol_auto.datetime" in names
        assert not [name for name in names if name.split(".")[0] not in PACKAGES]
        moment = sys.modules["asyncua.ua.uaprotocol_auto"].datetime
        assert moment.now(sys.modules["datetime"].timezone.utc).timestamp() == EPOCH_NS / S
        assert isinstance(moment.now(), sys.modules["datetime"].datetime)
    after = {name: dict(vars(module)) for name, module in sys.modules.items() if name in before}
    assert all(after[name][key] is value for name, names_ in before.items() for key, value in names_.items())


def library(text: str) -> object:
    """A module as if it belonged to a library."""
    module = type(sys)("amqtt.made_for_a_test")
    exec(text, vars(module))
    sys.modules[module.__name__] = module
    return module


def test_clocks_are_simulated_and_entropy_is_seeded() -> None:
    module = library(
        "import time, os, uuid, random, secrets\nfrom time import monotonic, sleep\nfrom datetime import datetime\nfrom random import randint"
    )
    env = Environment()
    drawn = []
    for seed in (1, 1, 2):
        with neutralised(env, RandomStreams(seed)):
            env.now = 90 * S
            assert module.time.time() == EPOCH_NS / S + 90  # type: ignore[attr-defined]
            assert module.time.monotonic() == module.monotonic() == 90.0  # type: ignore[attr-defined]
            assert module.datetime.utcnow().second == 30  # type: ignore[attr-defined]
            assert module.time.localtime() == module.time.gmtime() == time.gmtime(EPOCH_NS // S + 90)  # type: ignore[attr-defined]
            assert module.time.strftime("%S") == "30"  # type: ignore[attr-defined]
            assert module.time.struct_time is time.struct_time  # type: ignore[attr-defined]
            assert type(module.datetime(2020, 1, 1)) is sys.modules["datetime"].datetime  # type: ignore[attr-defined]
            assert module.random.Random(1).random() == sys.modules["random"].Random(1).random()  # type: ignore[attr-defined]
            assert len(module.secrets.token_bytes(None)) == 32  # type: ignore[attr-defined]
            assert len(module.secrets.token_hex(nbytes=4)) == 8  # type: ignore[attr-defined]
            with pytest.raises(InvariantError, match=r"time\.sleep inside the simulation"):
                module.sleep(1)  # type: ignore[attr-defined]
            values = (
                module.os.urandom(12),
                module.uuid.uuid4(),
                module.random.random(),
                module.randint(0, 10**9),
                module.secrets.token_hex(4),
            )  # type: ignore[attr-defined]
            drawn.append(values)
    del sys.modules["amqtt.made_for_a_test"]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0][0]) == 12
    assert isinstance(drawn[0][1], uuid.UUID)
    assert module.os is os  # type: ignore[attr-defined]


def test_one_at_a_time() -> None:
    with (
        neutralised(Environment(), RandomStreams(1)),
        pytest.raises(InvariantError, match="two simulations"),
        neutralised(Environment(), RandomStreams(1)),
    ):
        pass
    with neutralised(Environment(), RandomStreams(1)):
        pass


if __name__ == "__main__":
    KNOWN.write_text("\n".join(asked()) + "\n")

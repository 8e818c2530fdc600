"""The process that serves a scenario's devices for a test, which starts it (served.py).

Belongs here: lines of JSON on stdin and stdout, the first a scenario, each other one a question. It ends when
its stdin does, so with the test, however that ended. Never: sockets (serving.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from twinloop.scenarios.front import Scenario, load, load_text
from twinloop.scenarios.serving import serve
from twinloop.scenarios.text.errors import ScenarioError, machine_error


async def _serve(given: dict[str, Any], stdin: asyncio.StreamReader, out: TextIO) -> None:
    scenario = _scenario(given)
    broker = None if given["broker"] is None else (given["broker"][0], given["broker"][1])
    async with serve(scenario, seed=given["seed"], broker=broker) as field:
        endpoints = [(one.device, one.protocol, one.url) for one in field.endpoints.values()]
        _say(out, {"endpoints": endpoints, "left_out": field.left_out})
        while await stdin.readline():
            _say(out, {"requests": field.requests, "limits": field.limits})


def _scenario(given: dict[str, Any]) -> Scenario:
    """Read as the test has read it, so that mistakes found later are at the same places."""
    file = Path(given["file"])
    if "data" in given:
        return Scenario.of(given["data"], file.parent)
    return load_text(given["text"], file) if "text" in given else load(file)


async def _whole(out: TextIO) -> int:
    stdin = asyncio.StreamReader(limit=1 << 26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    try:
        await _serve(json.loads(await stdin.readline()), stdin, out)
    except ScenarioError as error:
        place = {"file": error.file, "line": error.line, "path": error.path, "text": error.text}
        _say(out, {"error": {"kind": "ScenarioError", **place}})
    except Exception as error:
        found = machine_error(error)
        _say(out, {"error": {"kind": "", "text": str(found or error) or type(error).__name__}})
        if found is None:
            raise
    else:
        return 0
    return 1


def _say(out: TextIO, told: dict[str, Any]) -> None:
    out.write(json.dumps(told) + "\n")
    out.flush()


def main() -> int:
    """Returns the exit code."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # whatever else is printed goes to stderr
        return asyncio.run(_whole(out))


if __name__ == "__main__":
    raise SystemExit(main())

"""The front door: a scenario as an object that can be read from a file, built or changed in Python, and run.

Belongs here: what ``import twinloop`` offers of scenarios. Never: what keys mean (schema.py), the order of a
run (runner.py).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from twinloop.scenarios import runner
from twinloop.scenarios.file import load as files
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.text.document import parse_document
from twinloop.scenarios.text.errors import ScenarioError

_CHANGED = "-changed-in-python"


class Scenario(Loaded):
    """A scenario that has been checked. It is never changed: ``changed`` makes another one."""

    @classmethod
    def of(cls, data: Mapping[str, Any], folder: Path | str = ".") -> Scenario:
        """Built from plain data: mappings, lists, text, numbers, as a file would hold them. Relative paths in
        it start from ``folder``.

        Raises:
            ScenarioError: with the place in the data.
        """
        return _made(data, Path(folder) / "built-in-python.yaml")

    @property
    def name(self) -> str:
        """As its file says."""
        return self.scenario.name

    @property
    def data(self) -> dict[str, Any]:
        """Its plain data, a copy: what ``Scenario.of`` takes."""
        return copy.deepcopy(self.document.data)

    def text(self) -> str:
        """As YAML, without comments."""
        return yaml.safe_dump(self.data, sort_keys=False, allow_unicode=True)

    def changed(self, changes: Mapping[str, Any] | None = None, /, **keys: Any) -> Scenario:
        """Another one, with these keys in place of its own. Mappings go into each other, None takes a key
        away, anything else replaces what there was.

        ``quickstart.changed({"links": {"cloud": {"loss": "1 %"}}}, duration="10 s")``

        Raises:
            ScenarioError: when that is no scenario any more, with the place in the data.
        """
        stem = self.file.stem.removesuffix(_CHANGED)
        return _made(
            _merged(self.data, {**(changes or {}), **keys}), self.file.with_name(f"{stem}{_CHANGED}.yaml")
        )


def load(scenario: Path | str) -> Scenario:
    """Read and check a scenario: a file, or a shipped one by its name.

    Raises:
        ScenarioError: with file, line and place, what was expected and what came.
    """
    file = files.find(str(scenario)) if isinstance(scenario, str) else scenario
    return _scenario(files.load(file))


def load_text(text: str, file: Path | str = Path("scenario.yaml")) -> Scenario:
    """The same from YAML; ``file`` is named in errors, and relative paths start from its folder."""
    return _scenario(files.load_text(text, Path(file)))


def run(scenario: Scenario | Path | str, options: runner.Options | None = None) -> Result:
    """Run a scenario in simulated time, and judge it.

    Raises:
        ScenarioError: for a mistake in it.
        HostLimitError, MachineError: for what this machine can't do.
    """
    return runner.run(
        scenario if isinstance(scenario, Scenario) else load(scenario), options or runner.Options()
    )


def _made(data: Any, file: Path) -> Scenario:
    """What stands in no file: its name says so, in errors and in the command that repeats a run, for which
    ``text`` must be saved there first."""
    try:
        text = yaml.safe_dump(_plain(data), sort_keys=False, allow_unicode=True)
    except TypeError as error:
        raise ScenarioError(file.name, None, "", str(error)) from error
    return _scenario(files.load_data(parse_document(text, file).data, file))


def _scenario(loaded: Loaded) -> Scenario:
    return Scenario(loaded.scenario, loaded.document, loaded.models, loaded.boards)


def _merged(old: Any, new: Any) -> Any:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    out = {key: value for key, value in old.items() if key not in new}
    for key, value in new.items():
        if value is not None:
            out[key] = _merged(old.get(key), value)
    return {
        key: out[key]
        for key in [*(key for key in old if key in out), *(key for key in out if key not in old)]
    }


def _plain(data: Any) -> Any:
    """Mappings and sequences of any kind as YAML's; paths as text. Raises TypeError for what no file could
    hold."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if data is None or type(data) in (str, int, float, bool):
        return data
    if isinstance(data, Path):
        return str(data)
    raise TypeError(
        f"expected plain data (mappings, lists, text, numbers, true, false, None), got "
        f"{type(data).__name__} {data!r}"
    )

"""Where a new model file comes from: a register list, what mbpoll printed, SunSpec, a device that is there.

Belongs here: which source is meant, and the text of the file. Never: how a source is read (register_list.py,
printed.py), asking a device (probing.py).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.sunspec_any import PREFIX
from twinloop.devices.model.device import DeviceModel
from twinloop.scenarios.file.datasheet.blocks import FORMAT
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.file.datasheet.writing import file_text, model_keys
from twinloop.scenarios.file.recordings import model_named
from twinloop.scenarios.learning.printed import Printed, looks_printed, read_printed
from twinloop.scenarios.learning.register_list import Rows, decoded, read_rows
from twinloop.scenarios.text.errors import ScenarioError, shown_path, unknown

SOURCE_BYTES_MAX = 16 << 20
STEP = "1 s"
"""of what is constant"""
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
_MODELS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Begun:
    """A model file that has been read back. ``notes``: what its author should know."""

    text: str
    model: DeviceModel
    notes: tuple[str, ...] = ()


def target_of(name: str, out: Path | None) -> Path:
    """The file of a device of that name; raises ScenarioError for what can't be one."""
    if not _NAME.fullmatch(name) or name.endswith(_MODELS):
        raise ScenarioError(
            "NAME",
            None,
            "",
            f'expected a name such as boiler, of which model/boiler.yaml is made, got "{name}"',
        )
    target = out or Path("model") / f"{name}.yaml"
    if target.exists():
        raise ScenarioError(
            "--out" if out else "NAME", None, "", f"{shown_path(target)} is there already, and nothing is "
            f"overwritten: choose another name, or remove it"
        )  # fmt: skip
    return target


def write(target: Path, text: str) -> None:
    """A new file, its folder with it; raises ScenarioError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ScenarioError("--out", None, "", f"{shown_path(target)} is there already") from error
    except OSError as error:
        raise ScenarioError("--out", None, "", f"{shown_path(target)}: {error.strerror}") from error


def next_lines(target: Path) -> list[str]:
    """What one does with a new model file."""
    return [
        f"  twinloop device show {shown_path(target)}   shows its map with values",
        f"  twinloop check SCENARIO.yaml   with device: model/{target.name}, in a scenario beside model/",
    ]


def begin(name: str, source: str, addresses_from: int | None = None) -> Begun:
    """The model file of a source; raises ScenarioError."""
    if source.startswith(("sunspec:", PREFIX)):
        return _copy(PREFIX + source[len(PREFIX) :], name)
    if source in catalog.names():
        return _copy(source, name)
    file = Path(source)
    if not file.exists():
        others = [*catalog.names(), "sunspec:N", "FILE.csv", "FILE.txt", "FILE.yaml"]
        raise ScenarioError(
            "--from", None, "", f"{source}: no such file, and {unknown('device', source, others)}"
        )
    data = _read(file)
    if file.suffix in _MODELS:
        text = decoded(data, file)
        return Begun(text, read_model(text, file, name))
    text = decoded(data, file)
    rows: Rows | Printed = (
        read_printed(text, file, addresses_from)
        if looks_printed(text)
        else read_rows(text, file, addresses_from or 0)
    )
    return _of_rows(rows, file, data, name)


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > SOURCE_BYTES_MAX:
            raise ScenarioError("--from", None, "", f"{shown_path(file)}: more than {SOURCE_BYTES_MAX} bytes")
        return file.read_bytes()
    except OSError as error:
        raise ScenarioError("--from", None, "", f"{shown_path(file)}: {error.strerror or error}") from error


def _copy(device: str, name: str) -> Begun:
    """A device that is there, as a file."""
    model = model_named(device, "--from")
    try:
        text = file_text(model_keys(model))
    except ValueError as error:
        raise ScenarioError("--from", None, "", f"{error}; copy another device, or write it down") from error
    return Begun(text, read_model(text, Path(f"{name}.yaml"), name))


def _of_rows(rows: Rows | Printed, file: Path, data: bytes, name: str) -> Begun:
    digest = hashlib.sha256(data).hexdigest()[:16]
    told = "its constant values" if isinstance(rows, Printed) else "its register list"
    keys: dict[str, Any] = {
        "format": FORMAT,
        "title": name,
        "source": f"{file.name} (sha256 {digest}), {told}, by twinloop device new",
        "step": STEP,
        "points": rows.points,
    }
    text = file_text(keys)
    try:
        model = read_model(text, Path(f"{name}.yaml"), name)
    except ScenarioError as error:
        if isinstance(rows, Printed):
            raise ScenarioError(rows.file, None, "", error.text) from error
        raise rows.place(error) from error
    return Begun(text, model, tuple(rows.notes))

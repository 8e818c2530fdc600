"""Recordings and device models that a command line names.

Belongs here: files and names given to commands. Never: those that a scenario names (models.py).
"""

from __future__ import annotations

from pathlib import Path

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.recording import Recording, RecordingError, parse
from twinloop.devices.catalogue.sunspec_any import PREFIX
from twinloop.devices.model.device import DeviceModel
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.file.models import FILE_BYTES_MAX, NODESET, RECORDING, Models
from twinloop.scenarios.text.document import Document
from twinloop.scenarios.text.errors import ScenarioError, shown_path, unknown


def read_recording(file: Path) -> Recording:
    """Raises ScenarioError with file and line."""
    name = shown_path(file)
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ScenarioError(name, None, "", f"more than {FILE_BYTES_MAX} bytes")
        return parse(file.read_text(encoding="utf-8-sig").splitlines())
    except OSError as error:
        raise ScenarioError(name, None, "", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise ScenarioError(name, None, "", f"not UTF-8 at byte {error.start}") from error
    except RecordingError as error:
        raise ScenarioError(name, error.line, "", error.args[1]) from error


def model_named(name: str, flag: str) -> DeviceModel:
    """A shipped model, sunspec/N, or a model file by its path; raises ScenarioError."""
    if name in catalog.names() or name.startswith(PREFIX):
        return Models(Document(Path(flag), {}, {}), Path()).of(name, ())
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise ScenarioError(
            flag, None, "", unknown("device", name, [*catalog.names(), f"{PREFIX}N", "FILE.yaml"])
        )
    try:
        return read_model(path.read_text(encoding="utf-8"), path, path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(
            flag, None, "", f"{shown_path(path)}: {getattr(error, 'strerror', None) or error}"
        ) from error


def device_named(name: str, flag: str) -> DeviceModel:
    """What ``device:`` of a scenario in this folder would mean: ``model_named``, and a recording or a
    NodeSet2 file; raises ScenarioError."""
    if name.startswith((RECORDING, NODESET)):
        return Models(Document(Path(flag), {}, {}), Path()).of(name, ())
    return model_named(name, flag)

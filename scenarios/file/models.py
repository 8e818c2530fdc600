"""Which device model a scenario's ``device:`` means: a shipped one, a SunSpec model by number, or a file
beside the scenario.

Belongs here: names and files of device models. Never: what a model is (devices/).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.packages import PackageError
from twinloop.devices.catalogue.recording import Recording, RecordingError, parse
from twinloop.devices.catalogue.sunspec_any import OPTIONS, PREFIX, UnknownOption, sunspec_named
from twinloop.devices.catalogue.sunspec_layout import published
from twinloop.devices.model.device import DeviceModel
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.text.document import Document, Location
from twinloop.scenarios.text.errors import ScenarioError, shown_path, unknown

RECORDING = "recording/"
NODESET = "nodeset/"
FILE = "model/"
FILE_BYTES_MAX = 512 << 20
"""of a recording or a NodeSet"""


class Models:
    """The device models of one scenario (files lie in folders ``recording``, ``nodeset`` and ``model`` beside
    it); each is made once.

    ``digests``: of the files that they came from.
    """

    def __init__(self, document: Document, folder: Path) -> None:
        self._document, self._folder = document, folder
        self._made: dict[str, DeviceModel] = {}
        self.digests: dict[str, str] = {}

    def of(self, name: str, at: Location) -> DeviceModel:
        """The model of that name; raises ScenarioError."""
        if name not in self._made:
            self._made[name] = self._make(name, at)
        return self._made[name]

    def twin(self, model: DeviceModel, name: str, at: Location) -> DeviceModel:
        """A model from a recording's end on; raises ScenarioError."""
        key = f"{model.name} from {name}"
        if key not in self._made:
            if not name.startswith(RECORDING):
                raise self._document.error(
                    at, f'a twin begins where a recording ends: expected {RECORDING}FILE.csv, got "{name}"'
                )
            if model.name.startswith(RECORDING):
                raise self._document.error(
                    at, f"{model.name} is a recording already, it has no state to begin with"
                )
            try:
                from twinloop.scenarios.twin.twin import twin  # of few scenarios

                self._made[key] = twin(model, self._read(name, at), name)
            except ValueError as error:
                raise self._document.error(at, f"{shown_path(self._folder / name)}: {error}") from error
        return self._made[key]

    def _make(self, name: str, at: Location) -> DeviceModel:
        if name.startswith(PREFIX):
            return self._sunspec(name, at)
        if name.startswith(RECORDING):
            return self._recording(name, at)
        if name.startswith(NODESET):
            return self._nodeset(name, at)
        if name.startswith(FILE):
            return read_model(self._text(name, at), self._folder / name, name)
        if name not in catalog.names():
            others = [f"{PREFIX}N", f"{RECORDING}FILE.csv", f"{NODESET}FILE.xml", f"{FILE}FILE.yaml"]
            raise self._document.error(at, unknown("device", name, [*catalog.names(), *others]))
        try:
            return catalog.model(name)
        except PackageError as error:
            raise self._document.error(at, str(error)) from error

    def _sunspec(self, name: str, at: Location) -> DeviceModel:
        try:
            return sunspec_named(name)
        except KeyError as error:
            known = [str(one) for one in published()]
            raise self._document.error(at, unknown("SunSpec model", error.args[0], known)) from None
        except UnknownOption as error:
            option, number = error.args
            known = [*OPTIONS, "instances as 3 or 2x4"]
            raise self._document.error(at, unknown(f"option of {PREFIX}{number}", option, known)) from None
        except ValueError as error:
            raise self._document.error(at, str(error)) from None

    def _text(self, name: str, at: Location) -> str:
        """A file beside the scenario; raises ScenarioError."""
        file = self._folder / name
        if ".." in name.split("/"):
            raise self._document.error(at, f'"{name}" leaves its folder')
        try:
            size = file.stat().st_size
            if size > FILE_BYTES_MAX:
                raise self._document.error(
                    at, f"{shown_path(file)}: {size} bytes, at most {FILE_BYTES_MAX} are read"
                )
            data = file.read_bytes()
            text = data.decode("utf-8-sig")  # what spreadsheets put before it is no part of it
        except OSError as error:
            raise self._document.error(at, f"{shown_path(file)}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise self._document.error(at, f"{shown_path(file)}: not UTF-8 at byte {error.start}") from error
        self.digests[name] = hashlib.sha256(data).hexdigest()
        return text

    def _read(self, name: str, at: Location) -> Recording:
        try:
            return parse(self._text(name, at).splitlines())
        except RecordingError as error:
            raise ScenarioError(shown_path(self._folder / name), error.line, "", error.args[1]) from error

    def _recording(self, name: str, at: Location) -> DeviceModel:
        try:
            return self._read(name, at).model(name)
        except ValueError as error:
            raise self._document.error(at, f"{shown_path(self._folder / name)}: {error}") from error

    def _nodeset(self, name: str, at: Location) -> DeviceModel:
        from twinloop.devices.opcua.nodeset import nodeset_model  # asyncua hangs on it

        text = self._text(name, at)
        try:
            return nodeset_model(text, name)
        except ValueError as error:
            raise self._document.error(at, f"{shown_path(self._folder / name)}: {error}") from error

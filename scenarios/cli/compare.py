"""``twinloop compare``: recordings of the field beside a model of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinloop.scenarios.judging.verdict import EXIT_CODES, Verdict
from twinloop.scenarios.text.errors import ScenarioError

if TYPE_CHECKING:
    from twinloop.devices.model.device import DeviceModel
    from twinloop.scenarios.twin.compare import Compared

LEFT_ITS_BAND = 1


def compare(
    files: Annotated[
        list[Path],
        typer.Argument(help="recordings, as twinloop record writes them", metavar="RECORDING.csv..."),
    ],
    model: Annotated[
        str | None, typer.Option(help="a device model by name, or the path of a model file", metavar="DEVICE")
    ] = None,
    fleet: Annotated[
        str | None, typer.Option(help="a fleet of the scenario, whose model is meant", metavar="FLEET")
    ] = None,
    scenario: Annotated[str | None, typer.Option(help="the scenario of --fleet", metavar="SCENARIO")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="write the figures as JSON", metavar="FILE")
    ] = None,
) -> int:
    """Run a model beside recordings: bias, spread and drift a day of each point, and when the device first
    left the model's band.

    Exit code 1 when any did, 4 when nothing could be compared. The model is that of --model, or of --fleet in
    --scenario.
    """
    from twinloop.scenarios.file.recordings import read_recording
    from twinloop.scenarios.text.errors import shown_path
    from twinloop.scenarios.twin.compare import compare as compare_recording

    meant = _model(model, fleet, scenario)
    found: dict[str, list[Compared]] = {}
    for file in files:
        recording = read_recording(file)
        try:
            found[shown_path(file)] = compare_recording(recording, meant)
        except ValueError as error:
            raise ScenarioError(shown_path(file), None, "", str(error)) from error
    for name, points in found.items():
        print(f"{name} beside {meant.name}")
        _tell(points)
    if json_file is not None:
        _write(json_file, {name: [_figures(point) for point in points] for name, points in found.items()})
    every = [point for points in found.values() for point in points]
    if all(point.why for point in every):
        return EXIT_CODES[Verdict.NO_DATA]
    return LEFT_ITS_BAND if any(point.left_ns is not None for point in every) else 0


def _model(model: str | None, fleet: str | None, scenario: str | None) -> DeviceModel:
    from twinloop.scenarios.file.load import find, load
    from twinloop.scenarios.file.recordings import model_named
    from twinloop.scenarios.text.errors import unknown

    if (model is None) == (fleet is None) or (fleet is None) != (scenario is None):
        raise ScenarioError(
            "compare", None, "", "say which model: --model DEVICE, or --fleet FLEET with --scenario SCENARIO"
        )
    if model is not None:
        return model_named(model, "--model")
    assert scenario is not None
    assert fleet is not None
    loaded = load(find(scenario))
    if fleet not in loaded.scenario.fleets:
        raise ScenarioError("--fleet", None, "", unknown("fleet", fleet, loaded.scenario.fleets))
    return loaded.models.of(loaded.scenario.fleets[fleet].device, ("fleets", fleet, "device"))


def _tell(points: list[Compared]) -> None:
    rows = [("point", "readings", "bias", "spread", "drift a day", "band of a block", "")]
    for point in points:
        unit = f" {point.unit}" if point.unit else ""
        if point.why:
            rows.append((point.point, str(point.readings), "", "", "", "", f"not compared: {point.why}"))
            continue
        band = "any" if point.band is None else f"{point.band:.3g}{unit}"
        drift = f"{point.drift_a_day.value:+.3g} +- {point.drift_a_day.error:.2g}{unit}"
        rows.append(
            (
                point.point,
                str(point.readings),
                f"{point.bias:+.3g}{unit}",
                f"{point.spread:.3g}{unit}",
                drift,
                band,
                _verdict(point, unit),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 6)), row[6]]
        print("  ".join(cells).rstrip())


def _verdict(point: Compared, unit: str) -> str:
    from twinloop.scenarios.text.units import show_clock

    if point.left_ns is None:
        return "ok"
    assert point.since_ns is not None
    if point.still:
        return f"LEFT its band: it stands still since {show_clock(point.since_ns)}"
    how = (
        f"drifts by {point.drifts_a_day:+.3g}{unit} a day"
        if point.drifts_a_day
        else f"shifted by {point.shifted:+.3g}{unit}"
    )
    return f"LEFT its band at {show_clock(point.left_ns)}; {how} since {show_clock(point.since_ns)}"


def _figures(point: Compared) -> dict[str, Any]:
    return {
        "point": point.point,
        "unit": point.unit,
        "readings": point.readings,
        "bias": point.bias,
        "spread": point.spread,
        "drift_a_day": point.drift_a_day.value,
        "drift_a_day_error": point.drift_a_day.error,
        "band": point.band,
        "left_ns": point.left_ns,
        "since_ns": point.since_ns,
        "drifts_a_day": point.drifts_a_day,
        "shifted": point.shifted,
        "still": point.still,
        "why": point.why,
    }


def _write(target: Path, data: Any) -> None:
    try:
        target.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ScenarioError("--json", None, "", f"{target}: {error.strerror}") from error

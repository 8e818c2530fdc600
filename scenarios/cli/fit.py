"""``twinloop fit``: a recording's signals and link, with what is known of each figure; written as a device
model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.words import number_of

if TYPE_CHECKING:
    from twinloop.devices.model.device import DeviceModel
    from twinloop.scenarios.twin.fit import Fitted, FittedLink, FittedPoint
    from twinloop.scenarios.twin.series import Estimate

STEPS_SHOWN_MAX = 8


def fit(
    file: Annotated[
        Path, typer.Argument(help="a recording, as twinloop record writes it", metavar="RECORDING.csv")
    ],
    like: Annotated[
        str | None,
        typer.Option(help="keep the register map of this device model, e.g. press-sensor", metavar="DEVICE"),
    ] = None,
    response: Annotated[
        str | None,
        typer.Option(help='the device\'s own time in an exchange, e.g. "1 ms"', metavar="DURATION"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="where the model goes; model/NAME.yaml", metavar="FILE")
    ] = None,
) -> int:
    """Estimate what moves a recorded device (level, period, noise, drift, step times) and its link (delay,
    jitter, bursts of loss).

    Each figure is given with two standard errors. The model is written as a device: use it with device:
    model/NAME.yaml in a scenario beside it.
    """
    from twinloop.devices.catalogue import catalog
    from twinloop.scenarios.file.datasheet.writing import write_model
    from twinloop.scenarios.file.recordings import model_named, read_recording
    from twinloop.scenarios.text.errors import shown_path
    from twinloop.scenarios.text.units import duration, show_duration
    from twinloop.scenarios.twin.fit import fit as fit_recording
    from twinloop.scenarios.twin.fit import model_of

    recording = read_recording(file)
    known = None if like is None else model_named(like, "--like")
    try:
        response_ns = (
            duration(response) if response is not None else known.response_ns if known is not None else 0
        )
    except ValueError as error:
        raise ScenarioError("--response", None, "", str(error)) from error
    try:
        fitted = fit_recording(recording, response_ns)
    except ValueError as error:
        raise ScenarioError(shown_path(file), None, "", str(error)) from error
    print(
        f"{shown_path(file)}: {show_duration(fitted.lasts_ns)}, a reading every "
        f"{show_duration(fitted.step_ns)}; figures +- two standard errors"
    )
    width = max(len(point.name) for point in fitted.points)
    for note in fitted.notes:
        print(f"note: {note}")
    for point in fitted.points:
        for line, text in enumerate(_told(point)):
            print(f"{point.name if not line else '':{width}}  {text}")
    _tell_link(fitted)
    target = out or Path("model") / f"{file.stem}.yaml"
    sha = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    try:
        model = model_of(fitted, target.stem, f"fitted to {file.name} (sha256 {sha}) by twinloop fit", known)
    except ValueError as error:
        raise ScenarioError(shown_path(file), None, "", str(error)) from error
    shipped = like if known is not None and like in catalog.names() else None
    _write(target, write_model(model, shipped), model)
    return 0


def _write(target: Path, text: str, model: DeviceModel) -> None:
    from twinloop.scenarios.text.errors import shown_path

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ScenarioError("--out", None, "", f"{shown_path(target)}: {error.strerror}") from error
    print(f"{shown_path(target)}: {number_of(len(model.points), 'point')}")


def _told(point: FittedPoint) -> list[str]:
    shape = point.shape
    if shape is None:
        return [f"not fitted: {point.why}"]
    lines = [
        f"{shape.signal.kind}, {number_of(point.readings, 'reading')}"
        + (f", {number_of(point.spikes, 'spike')} left out" if point.spikes else "")
    ]
    if point.lean:
        lines.append(
            f"  no shape here explains it (what is left leans on the reading before by {point.lean:.2f}): "
            f"the nearest, with wider errors"
        )
    lines.append(
        "  " + ", ".join(_figure(name, estimate, point.unit) for name, estimate in shape.estimates.items())
    )
    if shape.step_times_s and shape.signal.kind == "step":
        lines.append("  steps at " + ", ".join(f"{at:g} s" for at in shape.step_times_s[:STEPS_SHOWN_MAX]))
    return lines


def _figure(name: str, estimate: Estimate, unit: str) -> str:
    shown, unit = (
        (name[:-2], "s") if name.endswith("_s") else (name, "" if name in ("duty", "pull a step") else unit)
    )
    return f"{shown} {estimate.value:.6g} +- {estimate.error:.2g}{f' {unit}' if unit else ''}"


def _tell_link(fitted: Fitted) -> None:
    link = fitted.link
    if link is None:
        print(f"link: not fitted: {fitted.why_no_link}")
        return
    print(f"link: {number_of(link.exchanges, 'exchange')}, {_of_link(link)}")
    delay = round(link.delay_ns.value / 1000)
    jitter = round(min(link.jitter_ns.value, link.delay_ns.value) / 1000)
    keys = f"delay: {delay} us, jitter: {jitter} us"
    if link.bursty and link.r is not None:
        keys += f", bursts: {{p: {100 * link.p.value:.4f} %, r: {100 * link.r.value:.2f} %}}"
    elif link.loss.value:
        keys += f", loss: {100 * link.loss.value:.4f} %"
    print(f"  in a scenario: {{{keys}}}")


def _of_link(link: FittedLink) -> str:
    from twinloop.scenarios.text.units import show_duration

    parts = [f"each way delay {show_duration(link.delay_ns.value)} +- {show_duration(link.delay_ns.error)}"]
    own = show_duration(link.response_ns)
    parts[0] += (
        f" (taking {own} for the device's own time)"
        if link.response_ns
        else " (with half of the device's own time: --response isn't given)"
    )
    parts.append(f"jitter {show_duration(link.jitter_ns.value)} +- {show_duration(link.jitter_ns.error)}")
    parts.append(f"loss {100 * link.loss.value:.3g} +- {100 * link.loss.error:.2g} %")
    if link.r is not None:
        parts.append(
            f"bursts p {100 * link.p.value:.3g} +- {100 * link.p.error:.2g} %, r {100 * link.r.value:.3g} "
            f"+- {100 * link.r.error:.2g} %"
        )
    return ", ".join(parts)

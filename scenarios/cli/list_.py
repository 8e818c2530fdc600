"""``twinloop list``: what there is to run and to build from."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from twinloop.scenarios.text.errors import ScenarioError, printable, unknown
from twinloop.scenarios.text.words import number_of

_KINDS = ("scenarios", "devices", "links", "stores", "components", "metrics", "troubles")


def list_(
    kind: Annotated[str, typer.Argument(help=f"one of {', '.join(_KINDS)}", metavar="KIND")] = "scenarios",
) -> int:
    """List shipped scenarios, device models, link and store presets, components, metrics of expectations, or
    what can go wrong."""
    if kind not in _KINDS:
        raise ScenarioError("list", None, "", unknown("kind", kind, _KINDS))
    found = rows(kind)
    width = max((len(name) for name, _ in found), default=0)
    for name, text in found:
        print(f"{name:<{width}}  {text}")
    if kind == "devices":
        _tell_of_packages()
    return 0


def _tell_of_packages() -> None:
    """Which devices of other packages can't be used, and why; the others are listed all the same."""
    from twinloop.devices.catalogue import catalog

    broken = catalog.usable()[1]
    for name, error in broken.items():
        print(f"left out: {name}: {printable(str(error))}", file=sys.stderr)
    for text in catalog.ignored():
        print(f"warning: {printable(text)}", file=sys.stderr)


def rows(kind: str) -> list[tuple[str, str]]:
    """(name, what it is) of everything of a kind."""
    return _LISTS[kind]()


def _scenarios() -> list[tuple[str, str]]:
    from twinloop.scenarios.file.load import LIBRARY, library_names, load  # --help must stay quick

    return [(name, load(LIBRARY / f"{name}.yaml").scenario.description) for name in library_names()]


def _devices() -> list[tuple[str, str]]:
    from twinloop.devices.catalogue import catalog

    models, _ = catalog.usable()
    rows = [
        (m.name, f"{m.title}; {number_of(len(m.points), 'point')}; {', '.join(m.protocols)}; map: {m.source}")
        for m in models
    ]
    rows.append(
        (
            "sunspec/N",
            "any SunSpec model by its number, e.g. sunspec/103; sunspec/160:3 has three instances of its "
            "repeating group; values ours",
        )
    )
    rows.append(
        ("nodeset/FILE", "a NodeSet2 file in a folder nodeset/ beside the scenario, over OPC UA; motion ours")
    )
    return [
        *rows,
        (
            "recording/FILE",
            "a file in a folder recording/ beside the scenario: CSV with "
            "ns,point,value,status[,unit[,took_ns]]",
        ),
        ("model/FILE", "a file in a folder model/ beside the scenario, as twinloop fit writes it"),
    ]


def _links() -> list[tuple[str, str]]:
    from twinloop.scenarios.text.units import show_duration
    from twinloop.sim.network.presets import PRESETS

    out = []
    for name, preset in PRESETS.items():
        model = preset.model
        loss = (
            f"bursts p {model.bursts.p:g} r {model.bursts.r:g} loss {model.bursts.bad:g}"
            if model.bursts
            else f"loss {100 * model.loss:g} %"
        )
        rate = f"{model.rate_bps / 1e6:g} Mbit/s" if model.rate_bps else "any rate"
        out.append(
            (
                name,
                f"{show_duration(model.delay_ns)} +- {show_duration(model.jitter_ns)}, {loss}, {rate}; "
                f"source {preset.source}",
            )
        )
    return out


def _stores() -> list[tuple[str, str]]:
    from twinloop.sim.model.store_presets import STORE_PRESETS

    return [(name, preset.source) for name, preset in STORE_PRESETS.items()]


def _components() -> list[tuple[str, str]]:
    from twinloop.components.contract.options import stated_options
    from twinloop.components.host.component import read_component
    from twinloop.scenarios.planning.components import SHIPPED

    rows = []
    for file in sorted(SHIPPED.glob("*.wasm")):
        rows.append((file.name, f"{file.stat().st_size} bytes"))
        options = stated_options(read_component(file))
        if options is None:
            rows.append(("", "options unknown: it states none"))
        for option in options or ():
            default = f", default {option.default}" if option.default else ""
            rows.append(
                (
                    f"  {option.name}",
                    f"{option.type}{f' in {option.unit}' if option.unit else ''}{default}: {option.text}",
                )
            )
    return rows


def _metrics() -> list[tuple[str, str]]:
    from twinloop.scenarios.judging.metrics.table import METRICS

    return [
        (
            name,
            f"{m.kind} in {m.unit}; {m.meaning}; keys: {', '.join(m.keys) or 'none'}; statistics: "
            f"{', '.join(m.statistics) or 'stands alone'}",
        )
        for name, m in METRICS.items()
    ]


def _troubles() -> list[tuple[str, str]]:
    from twinloop.devices.model import misbehaviour, overlay
    from twinloop.sim.trouble.devices import keys_of_fault
    from twinloop.sim.trouble.verbs import VERBS

    rows = []
    for name, verb in VERBS.items():
        keys = [f"{key.name} (needed)" if key.needed else key.name for key in verb.own_keys()] + (
            ["for"] if verb.lasts else []
        )
        rows.append((name, f"{verb.help()}; keys: {', '.join(keys) or 'none'}"))
    faults = {**overlay.KINDS, **misbehaviour.KINDS}
    for kind, text in faults.items():
        keys = [key for key, needs in keys_of_fault(kind).items() if needs]
        rows.append((f"device-fault {kind}", f"{text}; keys: {', '.join([*keys, 'share'])}"))
    return rows


_LISTS = {
    "scenarios": _scenarios,
    "devices": _devices,
    "links": _links,
    "stores": _stores,
    "components": _components,
    "metrics": _metrics,
    "troubles": _troubles,
}

"""Board files: shipped and a user's own, host programs, runtimes, and what prices they come to, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import twinloop
from tests.scenarios.cli.test_cli import TINY
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.boards.programs import HOSTS, RUNTIMES, hosts, runtimes
from twinloop.scenarios.file.boards.reading import LIBRARY, names, read_board, shipped
from twinloop.scenarios.file.json_schema import board_file_schema
from twinloop.scenarios.text.document import parse_document, parse_shipped, read_text
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.model.boards import (
    RESERVATION_DEFAULT_BYTES,
    WORK,
    Board,
    End,
    Figure,
    HostProgram,
    memories_that_fit,
    prices,
    together,
)

FIGURE = {"source": "ours: by hand", "date": "2026-11-29", "band": 2}
OWN = {
    "format": 1,
    "title": "A board of round numbers",
    "isa": "aarch64",
    "cores": 1,
    "clock": "1 GHz",
    "memory": "256 MiB",
    "address-bits": {"value": 48, "source": "ours", "date": "2026-11-29"},
    "runtime": "wasmtime",
    "instruction": {"value": "1 ns", **FIGURE},
    "fuel": {"value": "1 ns", **FIGURE},
    "metered-fuel": {"value": "2 ns", **FIGURE},
    "instantiate": {"value": "100 us", **FIGURE},
    "flash": {"value": "10 MB/s", **FIGURE},
    "work": {work.replace("_", "-"): {"value": "1 us", **FIGURE} for work in WORK},
}


def text(**changes: object) -> str:
    """A board file with some keys changed; None takes one away."""
    changed = {**OWN, **changes}
    return yaml.safe_dump({key: one for key, one in changed.items() if one is not None}, sort_keys=False)


def board(**changes: object) -> Board:
    return read_board(text(**changes), Path("own.yaml"), "own")


def test_ten_boards_ship_and_every_figure_says_where_it_comes_from() -> None:
    assert len(names()) >= 10
    for name in names():
        one = shipped(name)
        assert one.name == name
        assert not one.calibrated
        for figure in (
            one.instruction_ps,
            one.fuel_ps,
            one.metered_fuel_ps,
            one.instantiate_ns,
            one.flash_bytes_per_s,
            *one.work_ns.values(),
        ):
            assert figure.source
            assert figure.date
            assert figure.band > 1
        assert set(one.work_ns) == set(WORK)


def test_prices_by_hand() -> None:
    """An instruction takes 1 ns: what a host program does for a call takes as many nanoseconds as it has
    instructions; fuel takes what the board's file says."""
    one = Figure(1, "x", 1.0)
    host = HostProgram(
        "h", "h", *(one._replace(value=n * 1000) for n in (4000, 1500, 2500, 50)), one._replace(value=250)
    )
    found = prices(board(), host, None, False, False)
    assert [
        found.call_ps.value,
        found.import_ps.value,
        found.exchange_ps.value,
        found.value_ps.value,
        found.byte_ps.value,
        found.fuel_ps.value,
    ] == [4_000_000, 1_500_000, 2_500_000, 50_000, 250, 1000]
    assert prices(board(), host, None, True, False).fuel_ps.value == 2000
    assert prices(board(), host, None, False, True).fuel_ps.value == 1700
    pulley = runtimes()["wasmtime-pulley"]
    assert prices(board(), host, pulley, False, False).fuel_ps.value == pulley.fuel.value


def test_the_ends_of_the_bands() -> None:
    """All prices at once: time by the band, and flash the other way round."""
    host = hosts()["rust-typed"]
    nominal = prices(board(), host, None, False, False)
    low, high = nominal.at(End.LOW), nominal.at(End.HIGH)
    assert (low.fuel_ps.value, nominal.fuel_ps.value, high.fuel_ps.value) == (500, 1000, 2000)
    assert (low.work_ns["publish"].value, high.work_ns["publish"].value) == (500, 2000)
    assert (low.flash_bytes_per_s.value, high.flash_bytes_per_s.value) == (20_000_000, 5_000_000)
    assert nominal.at(End.NOMINAL) is nominal


def test_bands_of_independent_factors_come_together_by_their_logarithms() -> None:
    assert together(2, 1) == 2
    assert together(2, 2) == 2.67  # 2 ** sqrt(2)
    assert together(10, 10) == 25.95  # 10 ** sqrt(2)


def test_memories_that_fit() -> None:
    """39 bits are 512 GiB: 126 times 4 GiB and 64 MiB, and something is left."""
    assert memories_that_fit(shipped("raspberry-pi-4"), RESERVATION_DEFAULT_BYTES) == 126
    assert memories_that_fit(shipped("beaglebone-black"), 0) == 8192


@pytest.mark.parametrize(
    ("changes", "place", "said"),
    [
        ({"cores": 0}, "$.cores", ""),
        ({"colour": "red"}, "$.colour", "unknown key"),
        ({"corse": 2}, "$.corse", 'did you mean "cores"'),
        ({"fuel": None}, "$", 'missing key "fuel"'),
        ({"fuel": {**FIGURE, "value": "1 s"}}, "$.fuel.value", "units: ps, ns, us, ms"),
        ({"fuel": {**FIGURE, "value": "0 ns"}}, "$.fuel.value", "over 0"),
        ({"fuel": {**FIGURE, "value": 1}}, "$.fuel.value", "with a unit"),
        ({"fuel": {**FIGURE, "value": "1 ns", "band": 0.5}}, "$.fuel.band", ""),
        ({"fuel": {"value": "1 ns", "band": 2, "source": "x"}}, "$.fuel", 'missing key "date"'),
        ({"fuel": {**FIGURE, "value": "1 ns", "date": "yesterday"}}, "$.fuel.date", "a date such as"),
        (
            {"metered-fuel": {**FIGURE, "value": "0.5 ns"}},
            "$.metered-fuel.value",
            "can't make guest code quicker",
        ),
        ({"runtime": "wasmtine"}, "$.runtime", 'did you mean "wasmtime"'),
        ({"isa": "armv7"}, "$.isa", ""),
        ({"work": {"publish": {**FIGURE, "value": "1 us"}}}, "$.work", ""),
        (
            {"price": {"value": 55, "currency": "euro", "source": "x", "date": "2026-11-29"}},
            "$.price.currency",
            "",
        ),
    ],
)
def test_a_mistake_has_its_place(changes: dict[str, object], place: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        board(**changes)
    if "isa" not in changes:
        assert place in str(error.value)
    assert said in str(error.value)


def test_an_own_board_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text(), encoding="utf-8")
    file = tmp_path / "s.yaml"
    file.write_text(TINY.replace("board: raspberry-pi-4", "board: ./own.yaml"), encoding="utf-8")
    first = twinloop.run(twinloop.load(file))
    assert first.data["gateways"]["gw"]["board"] == "own"
    assert first.data["bands"]["gw"]["fuel_ps"] == 2000, "TINY has a CPU limit: metered"
    (tmp_path / "own.yaml").write_text(text(fuel={**FIGURE, "value": "1.5 ns"}), encoding="utf-8")
    second = twinloop.run(twinloop.load(file))
    assert first.data["scenario_digest"] != second.data["scenario_digest"], (
        "the board is part of the scenario"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("./none.yaml", "No such file"),
        ("../own.yaml", "leaves its folder"),
        ("raspbery-pi-4", 'did you mean "raspberry-pi-4"'),
        ("bad.yaml", "not UTF-8"),
    ],
)
def test_a_board_that_is_not_there(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")
    file = tmp_path / "s.yaml"
    file.write_text(TINY.replace("board: raspberry-pi-4", f"board: {name}"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"s\.yaml:") as error:
        twinloop.run(twinloop.load(file))
    assert said in str(error.value)
    assert "$.gateways.gw.board" in str(error.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("host: rust", 'unknown host "rust"; did you mean "rust-typed"'),
        ("runtime: wasmtim", 'unknown runtime "wasmtim"; did you mean "wasmtime"'),
        ("host: by-hand", "knows components: nobody lifts values by hand there"),
        ("board: beaglebone-black, runtime: wasmtime", "doesn't run on armv7"),
        ("board: beaglebone-black, runtime: wazero", "known that do: wasmtime-pulley"),
        ("runtime: wazero, host: rust-typed", "has no component model, which a host in Rust"),
        ("runtime: wazero", "counts no fuel: limits: {cpu} can't hold"),
        ("runtime: wasmer, reservation: 64 MiB", "a setting of wasmtime"),
        ("runtime: wasmer, pool: {memories: 9}", "$.gateways.gw.pool: a pool is a setting of wasmtime"),
        ("board: beaglebone-black, pool: {memories: 9}", "reserves on armv7 hasn't been measured"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(tmp_path: Path, keys: str, said: str) -> None:
    file = tmp_path / "s.yaml"
    own = keys if "board" in keys else f"board: raspberry-pi-4, {keys}"
    file.write_text(TINY.replace("board: raspberry-pi-4", own), encoding="utf-8")
    with pytest.raises(ScenarioError) as error:
        twinloop.run(twinloop.load(file))
    assert said in str(error.value)


def test_boards_are_checked_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(text(price={"value": 55, "currency": "EUR", "source": "x", "date": "2026-11-29"}))
    bad.write_text(text(cores="two"))
    assert main(["boards", "check", str(good)]) == 0
    out = capsys.readouterr().out
    assert "A board of round numbers; aarch64; wasmtime; 55 EUR" in out
    assert "1 us  x/÷ 2    ours: by hand (2026-11-29)" in out
    assert main(["boards", "check", str(bad)]) == 3
    assert "bad.yaml:4: $.cores" in capsys.readouterr().err
    for flag in ("--hosts", "--runtimes"):
        assert main(["boards", flag]) == 0
    out = capsys.readouterr().out
    for name in (*hosts(), *runtimes()):
        assert f"{name}: " in out


def test_the_schema_takes_every_board_that_ships() -> None:
    import jsonschema

    from twinloop.scenarios.file.boards.reading import LIBRARY
    from twinloop.scenarios.text.document import parse_document, read_text

    schema = board_file_schema()
    for name in names():
        file = LIBRARY / f"{name}.yaml"
        jsonschema.validate(parse_document(read_text(file), file).data, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**OWN, "cores": "two"}, schema)


@pytest.mark.parametrize(
    "file", [HOSTS, RUNTIMES, *sorted(LIBRARY.glob("*.yaml"))], ids=lambda file: file.name
)
def test_our_own_files_are_read_alike_by_libyaml(file: Path) -> None:
    """Where PyYAML has it: data, and the line of each key and value."""
    assert parse_shipped(file) == parse_document(read_text(file), file)

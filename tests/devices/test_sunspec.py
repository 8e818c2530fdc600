"""SunSpec models as devices: where points lie, how many there are, what their names mean. What SunSpec's own
client reads of them: tests/scenarios/wire/test_sunspec.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinloop.devices.catalogue.sunspec import BASE, MODEL_BASE
from twinloop.devices.catalogue.sunspec_any import SYNTAX, UnknownOption, sunspec_named
from twinloop.devices.catalogue.sunspec_layout import Place, levels, places, published
from twinloop.devices.model.device import POINTS_MAX


@st.composite
def names(draw: st.DrawFn) -> str:
    """Of devices that there may be, but for those that are too large."""
    number = draw(st.sampled_from(published()))
    there = draw(st.integers(0, len(levels(number))))
    chosen = [draw(st.integers(1, 6)) for _ in range(there)]
    options = draw(st.permutations(["live", "texts"]))[: draw(st.integers(0, 2))]
    return f"sunspec/{number}" + "".join(
        f":{one}" for one in (["x".join(map(str, chosen))] if chosen else []) + options
    )


def test_a_place_has_sunspecs_address() -> None:
    """705 by hand from its JSON: 15 registers, curves of 10 registers with two points of two registers."""
    found = {place.path: place for place in places(705, 40_070, (2, 2))[0]}
    assert found["Crv.1.ActPt"].address == 40_070 + 15
    assert found["Crv.2.ActPt"].address == 40_070 + 15 + 14
    second: Place = found["Crv.2.Pt.2.V"]
    assert (second.address, second.name) == (40_070 + 15 + 14 + 10 + 2, "crv-2-pt-2-v")
    assert (second.factor, second.factor_name) == ("V_SF", "v-sf")


@given(names())
def test_every_register_of_a_model_is_one_points_or_a_constants(name: str) -> None:
    """From the first register to the end model none is missing; what is counted before it is made is what is
    made."""
    assert re.fullmatch(SYNTAX, name)
    try:
        model = sunspec_named(name)
    except ValueError as error:
        said = re.search(r"has (\d+) points in (\d+) registers", str(error))
        assert said is not None
        assert int(said[1]) > POINTS_MAX
        return
    taken = [address for _, address in model.constants]
    taken += [point.address + i for point in model.points for i in range(point.width)]
    length = model.constants["holding", MODEL_BASE + 1]
    assert sorted(taken) == [*range(BASE, MODEL_BASE + 2 + length + 2)]
    assert model.constants["holding", MODEL_BASE + 2 + length] == 0xFFFF, "the end model"
    assert (":live" in name) >= any(point.power is not None for point in model.points)
    assert (":texts" in name) == any(point.type == "text" for point in model.points)


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("sunspec/160:54", 489),
        ("sunspec/160:55", 498),
        ("sunspec/160:54:live", 493),
        ("sunspec/160:54:texts", 548),
    ],
)
def test_what_is_too_much_is_told_by_the_number_that_there_would_be(name: str, points: int) -> None:
    """160 has 3 points (Evt, N, TmsPer) and 9 a module; 4 scale factors; a string a module and 5 of model 1."""
    if points <= POINTS_MAX:
        assert len(sunspec_named(name).points) == points
    else:
        with pytest.raises(ValueError, match=f"has {points} points in .* at most sunspec/160:49:texts"):
            sunspec_named(name)


def test_names_that_are_none() -> None:
    for name in (
        "sunspec/103:",
        "sunspec/103:Live",
        "sunspec/160:2x",
        "sunspec/160:live:2",
        "sunspec/160:-1",
    ):
        assert not re.fullmatch(SYNTAX, name)
        with pytest.raises(UnknownOption):
            sunspec_named(name)
    for name in ("sunspec/", "sunspec/x", "sunspec/9999", "sunspec/\u0661"):
        with pytest.raises(KeyError):
            sunspec_named(name)

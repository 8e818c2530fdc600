"""Many instances: addresses, maps, RAM and boots, computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.claims.benches import LINEAR, MS, Bench, banded
from twinloop.components.contract.errors import HostLimitError
from twinloop.scenarios.claims import density
from twinloop.scenarios.claims.claim import HERE, Holds, Verdict, of_what, verdict
from twinloop.scenarios.claims.plants import Ran
from twinloop.scenarios.claims.workbench import Crowd
from twinloop.scenarios.file.boards.reading import shipped

EACH = LINEAR + (21 << 10)
"""bytes of a driver on a board that compiles"""


@pytest.mark.parametrize(
    ("board", "fits", "holds"),
    [
        ("raspberry-pi-4", (1 << 39) // (4160 << 20), Holds.NO),  # 126
        ("siemens-iot2050", 65_530 // 4, Holds.YES),  # 48 bits: the kernel's maps decide
        ("imx6ull", (512 << 20) // (64 << 10), Holds.YES),  # nothing is reserved on 32 bits
    ],
)
def test_memories_that_fit(board: str, fits: int, holds: Holds) -> None:
    found = density.drivers_fit(shipped(board))
    assert (found.value, found.holds) == (fits, holds)


@pytest.mark.parametrize(
    ("board", "holds"), [("raspberry-pi-zero-2-w", Holds.YES), ("raspberry-pi-4", Holds.YES)]
)
def test_memory_of_a_thousand(board: str, holds: Holds) -> None:
    found = density.drivers_memory(shipped(board), LINEAR)
    assert (found.value, found.holds) == (1000 * EACH, holds)


def test_a_board_holds_no_more_than_its_ram() -> None:
    """512 MiB of a Zero 2 W, and 600 KB each: 600 MB don't fit, though the claim would allow 3 GB."""
    found = density.drivers_memory(shipped("raspberry-pi-zero-2-w"), 600_000)
    assert found.bound.most == 512 << 20
    assert found.holds is Holds.NO


@pytest.mark.parametrize(
    ("board", "small", "fits"),
    [
        ("raspberry-pi-4", False, 126),
        ("raspberry-pi-4", True, (1 << 39) // ((64 << 20) + (64 << 10))),  # 8184
        ("raspberry-pi-5", False, (4 << 30) // EACH),  # 12 300: RAM, 4 GiB of its 8
        ("raspberry-pi-zero-2-w", True, (512 << 20) // EACH),
    ],
)
def test_instances_in_4_gb(board: str, small: bool, fits: int) -> None:
    assert density.in_4_gb(shipped(board), EACH, small).value == fits


def test_a_thousand_boot_in_ten_times_the_time_of_a_hundred() -> None:
    figures = density.thousand(Bench("raspberry-pi-4"))
    boots = of_what(figures, density.BOOT, measured=False)
    assert [(one.host, one.value, one.low, one.high) for one in boots] == [
        (host, 20 * MS, 10 * MS, 40 * MS) for host in ("rust-typed", "c-api")
    ]
    why = density.why_thousand(figures)
    assert "fewer than 1000 start on raspberry-pi-4" in why
    assert "0.5 s" not in why


@pytest.mark.parametrize(
    ("boot_ms", "words"),
    [(140, "They take longer than 0.5 s on imx6ull, where code is"), (30, "the band decides")],
)
def test_a_slow_boot_is_told(boot_ms: int, words: str) -> None:
    ran = Ran(*(banded(2 * MS) for _ in range(3)), boot=banded(boot_ms * MS))
    figures = density.thousand(Bench("imx6ull", ran=ran))
    assert verdict(figures) is Verdict.DEPENDS
    assert words in density.why_thousand(figures)


def test_a_thousand_are_up_here_or_it_is_said_why_not() -> None:
    figures = density.thousand(Bench(crowd=Crowd(600 * MS, 4e6)))
    assert [one.value for one in figures] == [600 * MS, 4e9]
    assert verdict(figures) is Verdict.FALSE
    figures = density.thousand(Bench(crowd=HostLimitError("maps")))
    assert verdict(figures) is Verdict.OPEN
    assert {one.how for one in figures} == {"this machine can't: maps"}


def test_here_maps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density, "maps_max", lambda: 65_530)
    (found,) = density.four_gb(Bench())
    assert (found.where, found.value) == (HERE, 16_382)  # by RAM it would be 91 000
    monkeypatch.setattr(density, "maps_max", lambda: None)
    (found,) = density.four_gb(Bench())
    assert found.value == (4 << 30) // 47_000


def test_where_addresses_run_out_is_told() -> None:
    figures = density.four_gb(Bench("raspberry-pi-4", "siemens-iot2050"))
    assert verdict(figures) is Verdict.DEPENDS
    assert density.why_four_gb(figures).startswith(
        "Addresses run out before RAM does: 126 fit on raspberry-pi-4, whose kernels have 39 bits of them"
    )


def test_a_kernel_without_that_file_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert density.maps_max() is None

"""A stream of batches, polled once a second: who is faster is held back, who is slower misses samples with a cause,
and each sample ends in one state. The values are worked out by hand: the device shows 10, and 2 more each second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.components.test_adapting import adapted, point
from tests.components.test_modbus_driver import ask
from tests.scenarios.cases import COMPONENTS, scenario
from tests.scenarios.test_async import RAMP
from tests.scenarios.test_languages import GUESTS
from twinloop.components.contract.contract import Settings
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run

STREAM = GUESTS / "rust-stream-driver" / "rust-stream-driver.wasm"
SHOWN = [10.0 + 2 * second for second in range(20)]
MS = 1_000_000


class Streamed:
    """A run of 20 s. ``values``: of what the gateway sent on, in order."""

    def __init__(self, tmp_path: Path, host: Host, bodies: list[Any], status: str, options: Any) -> None:
        driver = {"wasm": str(STREAM), "grants": ["fieldbus", "clock"], "with": options}
        gateway: dict[str, Any] = {"board": "raspberry-pi-4", "transform": "normalize", "policy": "route"}
        if status:
            gateway["supervision"] = {"status": status}
        text = scenario(
            tmp_path,
            {"device": "model/m.yaml"},
            {"m.yaml": RAMP},
            components={**COMPONENTS, "modbus-driver": driver},
            gateways={"gw": {**gateway, "uplink": {"link": "cloud"}, "store": {}}},
        )
        bodies.clear()
        self.result: Result = run(load_text(text, tmp_path / "scenario.yaml"), Options(band="never"), host)
        self.values = [body["values"]["a"] for body in bodies]
        ledger = self.result.data["ledger"]
        self.missed: dict[str, int] = ledger["missed"]
        self.faults: dict[str, int] = self.result.data["gateways"]["gw"]["faults"]
        assert ledger["due"] == 20 == ledger["delivered"] + sum(self.missed.values())
        assert ledger["delivered"] == len(self.values)


@pytest.fixture
def streamed(tmp_path: Path, host: Host, bodies: list[Any]) -> Any:
    return lambda status="", **options: Streamed(
        tmp_path, host, bodies, status, {name.replace("_", "-"): text for name, text in options.items()}
    )


def test_as_fast_as_the_polls(streamed: Any) -> None:
    found = streamed()
    assert (found.values, found.missed, found.faults) == (SHOWN, {}, {})
    assert found.result.data["truth"]["wrong"] == 0


@pytest.mark.parametrize("options", [{"pause": "0"}, {}, {"at_once": "7"}, {"pause": "0", "at_once": "500"}])
def test_who_is_faster_is_held_back(streamed: Any, options: dict[str, str]) -> None:
    """It would give a batch each ms, or as fast as it can, or many at a time: it gives the next one of them to
    each poll, and none is left out."""
    found = streamed(count="yes", **options)
    assert (found.values, found.missed, found.faults) == ([float(number) for number in range(20)], {}, {})


def test_who_is_a_little_slower_makes_polls_longer(streamed: Any) -> None:
    """700 ms from batch to batch, within the deadline of 1 s: all but the first poll take them."""
    found = streamed(pause="700")
    stage = found.result.data["latency"]["stages"]["driver"]
    assert 700 * MS <= stage["p50_ns"] <= stage["max_ns"] < 701 * MS
    assert (found.values, found.missed, found.faults) == (SHOWN, {}, {})


def test_who_is_slower_than_polls_misses_them(streamed: Any) -> None:
    """2.5 s from batch to batch, within a deadline of 1 s: the first poll has its batch at once. The next one
    waits until the deadline ends it, which is when the poll after it is due: that has no driver. Then all begins
    anew, with a batch at once: of three polls one. The fifth fault, in the poll at 13 s, is one too many within a
    minute: the last five of 20 find it in quarantine."""
    found = streamed(pause="2500")
    assert found.values == [10.0, 16.0, 22.0, 28.0, 34.0]  # at 0, 3, 6, 9 and 12 s
    assert found.missed == {"deadline": 5, "overrun": 5, "quarantined": 5}
    assert found.faults == {"deadline": 5}


def test_a_stream_that_ends_is_subscribed_to_again(streamed: Any) -> None:
    """Of four polls three have a batch; in the fourth the stream is over."""
    found = streamed(batches="3", count="yes")
    assert (found.values, found.missed, found.faults) == ([0.0, 1.0, 2.0] * 5, {"disconnected": 5}, {})
    assert streamed(batches="0").missed == {"disconnected": 20}


def test_who_traps_in_its_stream_begins_anew(streamed: Any) -> None:
    """In the poll that waits for the fourth batch."""
    found = streamed(trap="3", count="yes")
    assert found.values == [0.0, 1.0, 2.0] * 5
    assert (found.missed, found.faults) == ({"driver-fault": 5}, {"unreachable": 5})


def test_a_status_that_is_asked_between_polls_costs_no_sample(streamed: Any) -> None:
    """It lets the stream's writer go on, which then finds no bus: the poll after it has a batch of its own."""
    found = streamed("1500 ms")
    assert (found.values, found.missed, found.faults) == (SHOWN, {}, {})
    assert found.result.data["truth"]["wrong"] == 0


def test_a_status_leaves_out_no_batch(streamed: Any) -> None:
    found = streamed("1500 ms", count="yes", pause="0")
    assert (found.values, found.missed) == ([float(number) for number in range(20)], {})


def test_a_stream_that_ends_meanwhile_is_subscribed_to_in_the_next_poll(streamed: Any) -> None:
    """Each stream ends after one batch: as its status is asked between the polls, all of them have one. Without, it
    is found out by every second poll."""
    assert streamed("300 ms", batches="1", count="yes").missed == {}


def test_one_that_says_that_it_has_failed_is_heard(streamed: Any) -> None:
    assert streamed("1500 ms", sick="5").faults["unhealthy"] >= 1


def test_its_memory_is_flat_and_it_is_one_batch_ahead_at_most(host: Host) -> None:
    """3000 polls of a stream that would give as much as it can."""
    made: list[float] = []

    def answer(request: Any) -> Any:
        raise AssertionError(f"it asks for {request}")

    with adapted(host, STREAM.read_bytes(), ("fieldbus", "clock")) as instance:
        told = Settings("d/1", [point()], [("count", "yes"), ("pause", "0")])
        given = told.of(instance.linked.component.contract)
        assert ask(instance, answer, "configure", (given,)).ok
        for _ in range(100):
            made.append(ask(instance, answer).value.readings[0].value)
        before = instance.memory.size_bytes
        for _ in range(2900):
            made.append(ask(instance, answer).value.readings[0].value)
        assert made == [float(number) for number in range(3000)]
        assert instance.memory.size_bytes == before
        assert ask(instance, answer, "get-status").polls <= 3001

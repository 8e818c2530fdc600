"""An upgrade takes a component from the contract 0.1 to 0.2, and one takes it back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.plants import offer
from tests.sim.upgrade.upgrade_runs import Run, order, small
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End

OLD = Path(__file__).parents[2] / "guests" / "contract-0.1"


@pytest.mark.parametrize("name", ["modbus-driver", "normalize", "route"])
def test_to_the_next_contract_and_back(host: Host, name: str) -> None:
    """Settings, batches and verdicts are each instance's own: nothing is lost at either swap."""
    before = (OLD / f"{name}.wasm").read_bytes()
    spec = small(
        host,
        order(2, name, "1.1.0"),
        order(20, name, "1.2.0"),
        offers=(offer(name, "1.2.0", before),),
        duration_ns=40 * 10**9,
    )
    components = tuple(
        replace(one, component=host.load(before, one.role)) if one.name == name else one
        for one in spec.components
    )
    assert [one.component.contract.track for one in components].count("0.1") == 1
    ran = Run(replace(spec, components=components), host)
    assert [one.state for one in ran.orders] == ["done", "done"]
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due > 0
    assert ran.world.truth.wrong == 0
    assert {slot.linked.knows_integers for slot in ran.final.values() if slot.spec.name == name} == {False}

"""One tiny golden trace, record by record: two presses, two polls, a lossy field link, a cut uplink.

It changes whenever the engine's timing or a guest's bytes do; look at the difference, then write it anew with
``python -m tests.sim.kernel.test_golden``.
"""

from __future__ import annotations

from pathlib import Path

from tests.plants import plant
from twinloop.components.host.host import Host
from twinloop.scenarios.determinism import explain
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

GOLDEN = Path(__file__).parents[2] / "golden" / "tiny.trace"


def trace(host: Host) -> str:
    lines: list[str] = []
    cut = act(1200 * MS, "cut", "cloud", 1400 * MS)
    world = World(plant(host, count=2, duration_ns=2 * S, loss=0.05, timeline=(cut,)), host)
    world.trace.sinks.append(lambda records: lines.extend(explain(record) for record in records))
    world.run()
    world.close()
    return "\n".join([*lines, f"digest {world.trace.digest()}", ""])


def test_the_golden_trace(host: Host) -> None:
    assert trace(host) == GOLDEN.read_text()


if __name__ == "__main__":
    own = Host()
    GOLDEN.write_text(trace(own))
    own.close()

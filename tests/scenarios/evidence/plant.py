"""A small plant whose luck depends on its seed: over a link that loses frames, some seeds miss more than others.

Belongs here: the scenario as text. Never: assertions.
"""

from __future__ import annotations

SCENARIO = """\
format: 2
name: lucky
duration: 20 s
grace: 5 s
fleets:
  presses:
    {{device: press-sensor, protocol: modbus-tcp, count: {count}, poll: 1 s, link: plant, gateway: gw,
     driver: reader}}
links:
  plant: {{delay: 1 ms, loss: {loss}}}
  cloud: {{delay: 10 ms, jitter: 4 ms}}
components:
  reader: {{wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], with: {{timeout: 150 ms, retries: "0"}}}}
  normalize: {{wasm: normalize.wasm, grants: [log]}}
  route: {{wasm: route.wasm, grants: [log]}}
gateways:
  gw: {{board: raspberry-pi-4, transform: normalize, policy: route, uplink: {{link: cloud}}, store: {{}}}}
expect:
- count(samples.missed) <= {missed}
- count(samples.lost) == 0
- ratio(samples.delivered) >= 50 %
- {rank}(latency.gateway) <= 10 s
"""


def scenario(missed: int = 0, loss: str = "1 %", count: int = 2, rank: str = "p50") -> str:
    """``missed``: how many samples may be missed; ``rank``: of the latency that is looked at: with p99.9 it is
    never where one is missed."""
    return SCENARIO.format(missed=missed, loss=loss, count=count, rank=rank)

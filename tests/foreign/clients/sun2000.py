"""huawei-solar as its users call it: a bridge, which finds out what the inverter is, then all points by name in
batches of the client's own, and a write. Prints JSON. Runs in an environment of its own, which has nothing of
twinloop. Arguments: host, port, names of points."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from enum import IntEnum
from typing import Any

from huawei_solar import create_tcp_bridge
from huawei_solar.registers import REGISTERS

WRITTEN = "storage_maximum_charging_power"


def plain(value: Any) -> Any:
    """What JSON can say: a time as seconds, an enumeration as its number, alarms by their names."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bool | IntEnum):
        return int(value)
    if isinstance(value, list):
        return [getattr(one, "name", one) for one in value]
    return value


async def main(host: str, port: int, names: list[str]) -> None:
    """Connect, read, write, read again."""
    bridge = await create_tcp_bridge(host, port)
    known = [name for name in names if name in REGISTERS]
    found = {name: plain(result.value) for name, result in (await bridge.batch_update(known)).items()}
    assert await bridge.set(WRITTEN, 2000)
    written = (await bridge.client.get(WRITTEN, bridge.slave_id)).value
    who = {
        "kind": type(bridge).__name__,
        "model": bridge.model_name,
        "serial": bridge.serial_number,
        "strings": bridge.pv_string_count,
        "battery": int(bridge.battery_type),
        "meter": bridge.power_meter_online,
        "capacity control": bridge.supports_capacity_control,
    }
    await bridge.stop()
    print(json.dumps({"who": who, "found": found, "written": written}))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))

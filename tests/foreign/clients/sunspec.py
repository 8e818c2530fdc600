"""SunSpec's own client as its users call it: scans each device and tells all that it has found in its model, as
JSON: unit id -> (number of the model, address -> value). Runs in an environment of its own, which has nothing of
twinloop. Arguments: host, port, unit ids."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP


def flat(group: Any) -> Iterator[Any]:
    """All points of a model, those of its groups and their instances, too."""
    yield from group.points.values()
    for inner in group.groups.values():
        for one in inner if isinstance(inner, list) else [inner]:
            yield from flat(one)


found = {}
for unit in sys.argv[3:]:
    client = SunSpecModbusClientDeviceTCP(
        slave_id=int(unit), ipaddr=sys.argv[1], ipport=int(sys.argv[2]), timeout=10
    )
    client.scan()
    _, model = client.model_list
    assert not model.error_info, model.error_info
    places = {model.model_addr + point.offset: point.cvalue for point in flat(model)}
    found[unit] = model.model_id, places
    client.close()
print(json.dumps(found))

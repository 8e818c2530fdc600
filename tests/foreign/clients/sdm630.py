"""sdm_modbus as its users call it: all that it knows of an SDM630, both tables, as JSON. Runs in an environment
of its own, which has nothing of twinloop. Arguments: host, port, unit id."""

from __future__ import annotations

import json
import sys

import sdm_modbus

host, port, unit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
meter = sdm_modbus.SDM630(host=host, port=port, unit=unit, timeout=5)
found = meter.read_all() | meter.read_all(sdm_modbus.registerType.HOLDING)
assert sorted(found) == sorted(meter.registers), "a block without an answer"
one = meter.read("serial_number")
assert one == found["serial_number"], "the same, asked alone"
meter.disconnect()
print(json.dumps(found))

"""Stores that behave like those of gateways in the field, with where that is documented.

Belongs here: figures and their source. Never: behaviour (store.py).
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.sim.model.spec import MIB, StoreSpec


class StorePreset(NamedTuple):
    """A named store."""

    spec: StoreSpec
    source: str


STORE_PRESETS: dict[str, StorePreset] = {
    "iot-edge": StorePreset(
        StoreSpec(capacity_bytes=1024 * MIB, ttl_ns=7_200_000_000_000),
        "timeToLiveSecs is 7200 by default, no limit but the disk (sandervandevelde.wordpress.com "
        "2019/01/28; learn.microsoft.com iot-edge "
        "offline-capabilities); capacity, drain and commit are ours",
    ),
    "greengrass": StorePreset(
        StoreSpec(capacity_bytes=5 * MIB // 2, volatile=True, refuse=True),
        "in memory, 2.5 MB, full: the new message is refused "
        "(aws-greengrass/aws-greengrass-nucleus@001009f mqttclient/spool/Spool.java); "
        "our uplink is QoS 1, so that its dropping of QoS 0 doesn't show; drain is ours",
    ),
    "edgex": StorePreset(
        StoreSpec(retry_ns=300_000_000_000, retries=10),
        "RetryInterval 5m, MaxRetryCount 10, then deleted; order not guaranteed (docs.edgexfoundry.org/4.0 "
        "StoreAndForward); capacity, drain "
        "and commit are ours",
    ),
}
"""by name"""
